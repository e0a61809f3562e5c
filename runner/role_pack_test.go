package runner

import (
	"strings"
	"testing"
	"time"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/schema"
)

func TestARoleThatOwnsNothingPacks(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	app := h.as(t, h.app)
	tid := commitAt(t, app, 48*time.Hour, garden)
	packer := h.newPacker(t)
	target := as(h.target, packer)

	dryRun(t, target)
	expectExact(t, h.admin)
	packStorage(t, target, everything)
	expectStored(t, h.admin, 0, 1, 2)

	// A change by the application, a deletion and a restored row.
	commit(t, app, links{1: {20}, 20: nil, 21: {22}, 22: {21}})
	restore(t, app, 30, tid, zodbtest.Record(zodbtest.Blob))
	run(t, app, "DELETE FROM object_state WHERE zoid = 2")
	report := packStorage(t, target, everything)
	if report.FirstBuild || report.Compared {
		t.Error("the second pack began from the start")
	}
	expectStored(t, h.admin, 0, 1, 20)
	expectExact(t, h.admin)

	// Everything from the start, which drops and builds indexes.
	commit(t, app, links{0: {20}})
	o := everything
	o.Init = true
	packStorage(t, target, o)
	expectStored(t, h.admin, 0, 20)
	expectExact(t, h.admin)
	if findings := lines(t, h.as(t, packer), "SELECT finding FROM relpack.verify()"); len(findings) > 0 {
		t.Errorf("verify: %q", findings)
	}
}

// What the handbook tells the owner to run is enough.
func TestTheDocumentedGrantsLetARolePack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	commitAt(t, h.as(t, h.app), 48*time.Hour, garden)
	packer := newRole(t, h.admin)
	grantMissing(t, h, "SELECT DISTINCT remedy FROM relpack.missing_privilege('packer')", "packer", packer)
	packStorage(t, as(h.target, packer), everything)
	expectStored(t, h.admin, 0, 1, 2)

	if missing := lines(t, h.as(t, packer), "SELECT privilege || ' on ' || target FROM relpack.missing_privilege()"); len(missing) > 0 {
		t.Errorf("it lacks %v", missing)
	}
}

func TestARoleThatPacksMayDoNothingElse(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	commitAt(t, h.as(t, h.app), 48*time.Hour, garden)
	run(t, h.as(t, h.owner), "CREATE TABLE secret AS SELECT 1 AS number")
	packer := h.newPacker(t)
	dryRun(t, as(h.target, packer))
	before := catalog(t, h.admin)
	denied(t, h.as(t, packer),
		"INSERT INTO object_state (zoid, tid, state_size) VALUES (7, 7, 0)",
		"UPDATE object_state SET state = 'x'",
		"UPDATE object_state SET tid = 7",
		"UPDATE object_state SET state_size = 7",
		"TRUNCATE object_state",
		"ALTER TABLE object_state DISABLE TRIGGER ALL",
		"DELETE FROM blob_chunk",
		"SELECT * FROM secret",
		"CREATE TABLE public.mine ()",
		"CREATE TABLE relpack.mine ()",
		"CREATE FUNCTION relpack.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
		"ALTER TABLE relpack.object ADD mine int",
		"DROP INDEX relpack.object_detached",
		// Code of its own on relpack's tables would run with the owner's rights.
		"CREATE TRIGGER mine BEFORE INSERT ON relpack.write_event FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
		"CREATE RULE mine AS ON INSERT TO relpack.write_event DO ALSO SELECT 1",
		"UPDATE relpack.goose_db_version SET version_id = 99",
		"DROP SCHEMA relpack CASCADE",
		"CREATE SCHEMA mine",
	)
	for _, function := range []string{"create_triggers", "drop_triggers"} {
		_, err := h.as(t, packer).Exec(t.Context(), "SELECT relpack."+function+"()")
		expectState(t, err, "42501")
	}
	expectRefusal(t, schema.Up(t.Context(), as(h.target, packer), migrations.Files, testLog(t)), "role "+packer, "own public.object_state")
	expectRefusal(t, schema.Down(t.Context(), as(h.target, packer), migrations.Files, testLog(t)), "role "+packer)
	if after := catalog(t, h.admin); after != before {
		t.Errorf("the catalogs changed from\n%s\nto\n%s", before, after)
	}
}

// Whatever is missing is found out before the pack begins.
func TestEachPrivilegeThatAPackNeedsIsAskedFor(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	commitAt(t, h.as(t, h.app), 48*time.Hour, garden)
	packer := h.newPacker(t)
	conn := h.as(t, packer)
	for _, test := range []struct{ privilege, says string }{
		{"SELECT ON public.object_state", "SELECT on public.object_state"},
		{"DELETE ON public.object_state", "DELETE on public.object_state"},
		{"SELECT ON public.blob_chunk", "SELECT on public.blob_chunk"},
		{"TRUNCATE ON relpack.reached", "TRUNCATE on relpack.reached"},
		{"INSERT ON relpack.object_inref", "INSERT on relpack.object_inref"},
		{"SELECT ON relpack.writer", "SELECT on relpack.writer"},
		{"USAGE ON SEQUENCE relpack.write_event_id_seq", "USAGE on relpack.write_event_id_seq"},
		{"EXECUTE ON FUNCTION relpack.sweep", "EXECUTE on relpack.sweep"},
	} {
		run(t, h.admin, "REVOKE "+test.privilege+" FROM "+packer)
		err := schema.CheckMayPack(t.Context(), conn)
		expectRefusal(t, err, "it lacks "+test.says+". Let the owner run: GRANT")
		run(t, h.admin, "GRANT "+test.privilege+" TO "+packer)
	}
	if err := schema.CheckMayPack(t.Context(), conn); err != nil {
		t.Error(err)
	}
	expectStored(t, h.admin, 0, 1, 2, 10, 11, 12, 13)
}

func TestARoleWithoutAnyGrantIsToldWhatToGrant(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	commitAt(t, h.as(t, h.app), 48*time.Hour, garden)
	role := newRole(t, h.admin)
	_, err := pack.Run(t.Context(), as(h.target, role), everything, testLog(t))
	expectRefusal(t, err, "role "+role+" may not pack", "Let the owner run: GRANT")
	_, grants, _ := strings.Cut(fault.Message(err), "Let the owner run: ")
	run(t, h.admin, grants)
	packStorage(t, as(h.target, role), everything)
	expectStored(t, h.admin, 0, 1, 2)
}

func TestAPackWithAGraceMustSeeTheTransactionsOfOthers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	commitAt(t, h.as(t, h.app), 48*time.Hour, garden)
	packer := h.newPacker(t)
	o := everything
	o.Days = 1
	other := h.as(t, h.app)
	run(t, other, "BEGIN; SELECT count(*) FROM object_state")
	report, err := pack.Run(t.Context(), as(h.target, packer), o, testLog(t))
	expectRefusal(t, err, "may not see when the transaction of pid", "Let a superuser run: GRANT pg_read_all_stats TO "+packer)
	if report.Deleted.Objects != 0 {
		t.Errorf("%d objects were deleted", report.Deleted.Objects)
	}
	run(t, h.admin, "GRANT pg_read_all_stats TO "+packer)
	// The transaction may have seen all of this attached.
	packStorage(t, as(h.target, packer), o)
	expectStored(t, h.admin, 0, 1, 2, 10, 11, 12, 13)
	run(t, other, "COMMIT")
	packStorage(t, as(h.target, packer), o)
	expectStored(t, h.admin, 0, 1, 2)
}

func TestTheApplicationsRoleNeedsNoPrivilege(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	app := h.as(t, h.app)
	tid := commitAt(t, app, 48*time.Hour, garden)
	denied(t, app, "SELECT * FROM relpack.storage", "SELECT relpack.doubt()")
	target := as(h.target, h.owner)
	dryRun(t, target)

	commit(t, app, links{1: {14}, 14: nil})
	restore(t, app, 15, tid, nil)
	run(t, app, "DELETE FROM object_state WHERE zoid = 2")
	events := lines(t, h.admin, "SELECT kind || ' ' || zoid FROM relpack.write_event ORDER BY 1")
	if got := strings.Join(events, ", "); got != "deleted 2, written 15" {
		t.Errorf("events: %s", got)
	}
	packStorage(t, target, everything)
	expectStored(t, h.admin, 0, 1, 14)

	run(t, h.admin, "GRANT TRUNCATE ON object_state, blob_chunk TO "+h.app)
	run(t, app, "TRUNCATE object_state, blob_chunk")
	if events := lines(t, h.admin, "SELECT kind FROM relpack.write_event"); len(events) != 1 || events[0] != "truncated" {
		t.Errorf("events of a TRUNCATE: %q", events)
	}
}

// What a policy hides from a role can't be told from what isn't stored.
func TestARoleThatMayNotSeeAllObjectsDoesNotPack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	commitAt(t, h.as(t, h.app), 48*time.Hour, garden)
	packer := h.newPacker(t)
	run(t, h.admin, "ALTER TABLE object_state ENABLE ROW LEVEL SECURITY; CREATE POLICY others ON object_state USING (zoid <> 1)")
	_, err := pack.Run(t.Context(), as(h.target, packer), everything, testLog(t))
	expectError(t, err, fault.ExitRefused, "may hide objects from role "+packer, "BYPASSRLS")
	expectStored(t, h.admin, 0, 1, 2, 10, 11, 12, 13)
	// The owner sees everything.
	packStorage(t, as(h.target, h.owner), everything)
	expectStored(t, h.admin, 0, 1, 2)
}

func TestTheOwnerOfEachTableIsTheOneToGrantIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	other := newRole(t, h.admin)
	run(t, h.admin, "ALTER TABLE blob_chunk OWNER TO "+other+"; GRANT SELECT ON relpack.goose_db_version TO "+h.app+"; GRANT USAGE ON SCHEMA relpack TO "+h.app)
	_, err := pack.Run(t.Context(), as(h.target, h.owner), everything, testLog(t))
	expectRefusal(t, err, `lacks SELECT on public.blob_chunk. Let `+other+`, who owns public.blob_chunk, run: GRANT SELECT ON public.blob_chunk TO `+h.owner+`;`)
	run(t, h.admin, "REVOKE ALL ON blob_chunk FROM "+h.app)
	_, err = pack.Run(t.Context(), as(h.target, h.app), everything, testLog(t))
	expectRefusal(t, err, "Let "+other+", who owns public.blob_chunk, run: GRANT SELECT ON public.blob_chunk",
		"Let the owner run: GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA relpack")
}
