package schema_test

import (
	"strings"
	"testing"
	"time"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/schema"
)

func TestARoleThatOwnsNothingPacks(t *testing.T) {
	t.Parallel()
	h := packtest.NewHouse(t)
	app := h.As(t, h.App)
	tid := packtest.CommitAt(t, app, 48*time.Hour, packtest.Garden)
	packer := h.NewPacker(t)
	target := packtest.As(h.Target, packer)

	packtest.DryRun(t, target)
	packtest.ExpectExact(t, h.Admin)
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, h.Admin, 0, 1, 2)

	// A change by the application, a deletion and a restored row.
	packtest.Commit(t, app, packtest.Links{1: {20}, 20: nil, 21: {22}, 22: {21}})
	packtest.Restore(t, app, 30, tid, zodbtest.Record(zodbtest.Blob))
	packtest.Run(t, app, "DELETE FROM object_state WHERE zoid = 2")
	report := packtest.Pack(t, target, packtest.Everything)
	if report.FirstBuild || report.Compared {
		t.Error("the second pack began from the start")
	}
	packtest.ExpectStored(t, h.Admin, 0, 1, 20)
	packtest.ExpectExact(t, h.Admin)

	// Everything from the start, which drops and builds indexes.
	packtest.Commit(t, app, packtest.Links{0: {20}})
	o := packtest.Everything
	o.Init = true
	packtest.Pack(t, target, o)
	packtest.ExpectStored(t, h.Admin, 0, 20)
	packtest.ExpectExact(t, h.Admin)
	if findings := packtest.Lines(t, h.As(t, packer), "SELECT finding FROM relpack.verify()"); len(findings) > 0 {
		t.Errorf("verify: %q", findings)
	}
}

// What the handbook tells the owner to run is enough.
func TestTheDocumentedGrantsLetARolePack(t *testing.T) {
	t.Parallel()
	h := packtest.NewHouse(t)
	packtest.CommitAt(t, h.As(t, h.App), 48*time.Hour, packtest.Garden)
	packer := packtest.NewRole(t, h.Admin)
	grantMissing(t, h, "SELECT DISTINCT remedy FROM relpack.missing_privilege('packer')", "packer", packer)
	packtest.Pack(t, packtest.As(h.Target, packer), packtest.Everything)
	packtest.ExpectStored(t, h.Admin, 0, 1, 2)

	if missing := packtest.Lines(t, h.As(t, packer), "SELECT privilege || ' on ' || target FROM relpack.missing_privilege()"); len(missing) > 0 {
		t.Errorf("it lacks %v", missing)
	}
}

func TestARoleThatPacksMayDoNothingElse(t *testing.T) {
	t.Parallel()
	h := packtest.NewHouse(t)
	packtest.CommitAt(t, h.As(t, h.App), 48*time.Hour, packtest.Garden)
	packtest.Run(t, h.As(t, h.Owner), "CREATE TABLE secret AS SELECT 1 AS number")
	packer := h.NewPacker(t)
	packtest.DryRun(t, packtest.As(h.Target, packer))
	before := packtest.Catalog(t, h.Admin)
	denied(t, h.As(t, packer),
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
		_, err := h.As(t, packer).Exec(t.Context(), "SELECT relpack."+function+"()")
		packtest.ExpectState(t, err, "42501")
	}
	packtest.ExpectRefusal(t, schema.Up(t.Context(), packtest.As(h.Target, packer), migrations.Files, packtest.Log(t)), "role "+packer, "own public.object_state")
	packtest.ExpectRefusal(t, schema.Down(t.Context(), packtest.As(h.Target, packer), migrations.Files, packtest.Log(t)), "role "+packer)
	if after := packtest.Catalog(t, h.Admin); after != before {
		t.Errorf("the catalogs changed from\n%s\nto\n%s", before, after)
	}
}

// Whatever is missing is found out before the pack begins.
func TestEachPrivilegeThatAPackNeedsIsAskedFor(t *testing.T) {
	t.Parallel()
	h := packtest.NewHouse(t)
	packtest.CommitAt(t, h.As(t, h.App), 48*time.Hour, packtest.Garden)
	packer := h.NewPacker(t)
	conn := h.As(t, packer)
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
		packtest.Run(t, h.Admin, "REVOKE "+test.privilege+" FROM "+packer)
		err := schema.CheckMayPack(t.Context(), conn)
		packtest.ExpectRefusal(t, err, "it lacks "+test.says+". Let the owner run: GRANT")
		packtest.Run(t, h.Admin, "GRANT "+test.privilege+" TO "+packer)
	}
	if err := schema.CheckMayPack(t.Context(), conn); err != nil {
		t.Error(err)
	}
	packtest.ExpectStored(t, h.Admin, 0, 1, 2, 10, 11, 12, 13)
}

func TestARoleWithoutAnyGrantIsToldWhatToGrant(t *testing.T) {
	t.Parallel()
	h := packtest.NewHouse(t)
	packtest.CommitAt(t, h.As(t, h.App), 48*time.Hour, packtest.Garden)
	role := packtest.NewRole(t, h.Admin)
	_, err := pack.Run(t.Context(), packtest.As(h.Target, role), packtest.Everything, packtest.Log(t))
	packtest.ExpectRefusal(t, err, "role "+role+" may not pack", "Let the owner run: GRANT")
	_, grants, _ := strings.Cut(fault.Message(err), "Let the owner run: ")
	packtest.Run(t, h.Admin, grants)
	packtest.Pack(t, packtest.As(h.Target, role), packtest.Everything)
	packtest.ExpectStored(t, h.Admin, 0, 1, 2)
}

func TestAPackWithAGraceMustSeeTheTransactionsOfOthers(t *testing.T) {
	t.Parallel()
	h := packtest.NewHouse(t)
	packtest.CommitAt(t, h.As(t, h.App), 48*time.Hour, packtest.Garden)
	packer := h.NewPacker(t)
	o := packtest.Everything
	o.Days = 1
	other := h.As(t, h.App)
	packtest.Run(t, other, "BEGIN; SELECT count(*) FROM object_state")
	report, err := pack.Run(t.Context(), packtest.As(h.Target, packer), o, packtest.Log(t))
	packtest.ExpectRefusal(t, err, "may not see when the transaction of pid", "Let a superuser run: GRANT pg_read_all_stats TO "+packer)
	if report.Deleted.Objects != 0 {
		t.Errorf("%d objects were deleted", report.Deleted.Objects)
	}
	packtest.Run(t, h.Admin, "GRANT pg_read_all_stats TO "+packer)
	// The transaction may have seen all of this attached.
	packtest.Pack(t, packtest.As(h.Target, packer), o)
	packtest.ExpectStored(t, h.Admin, 0, 1, 2, 10, 11, 12, 13)
	packtest.Run(t, other, "COMMIT")
	packtest.Pack(t, packtest.As(h.Target, packer), o)
	packtest.ExpectStored(t, h.Admin, 0, 1, 2)
}

func TestTheApplicationsRoleNeedsNoPrivilege(t *testing.T) {
	t.Parallel()
	h := packtest.NewHouse(t)
	app := h.As(t, h.App)
	tid := packtest.CommitAt(t, app, 48*time.Hour, packtest.Garden)
	denied(t, app, "SELECT * FROM relpack.storage", "SELECT relpack.doubt()")
	target := packtest.As(h.Target, h.Owner)
	packtest.DryRun(t, target)

	packtest.Commit(t, app, packtest.Links{1: {14}, 14: nil})
	packtest.Restore(t, app, 15, tid, nil)
	packtest.Run(t, app, "DELETE FROM object_state WHERE zoid = 2")
	events := packtest.Lines(t, h.Admin, "SELECT kind || ' ' || zoid FROM relpack.write_event ORDER BY 1")
	if got := strings.Join(events, ", "); got != "deleted 2, written 15" {
		t.Errorf("events: %s", got)
	}
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, h.Admin, 0, 1, 14)

	packtest.Run(t, h.Admin, "GRANT TRUNCATE ON object_state, blob_chunk TO "+h.App)
	packtest.Run(t, app, "TRUNCATE object_state, blob_chunk")
	if events := packtest.Lines(t, h.Admin, "SELECT kind FROM relpack.write_event"); len(events) != 1 || events[0] != "truncated" {
		t.Errorf("events of a TRUNCATE: %q", events)
	}
}

// What a policy hides from a role can't be told from what isn't stored.
func TestARoleThatMayNotSeeAllObjectsDoesNotPack(t *testing.T) {
	t.Parallel()
	h := packtest.NewHouse(t)
	packtest.CommitAt(t, h.As(t, h.App), 48*time.Hour, packtest.Garden)
	packer := h.NewPacker(t)
	packtest.Run(t, h.Admin, "ALTER TABLE object_state ENABLE ROW LEVEL SECURITY; CREATE POLICY others ON object_state USING (zoid <> 1)")
	_, err := pack.Run(t.Context(), packtest.As(h.Target, packer), packtest.Everything, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "may hide objects from role "+packer, "BYPASSRLS")
	packtest.ExpectStored(t, h.Admin, 0, 1, 2, 10, 11, 12, 13)
	// The owner sees everything.
	packtest.Pack(t, packtest.As(h.Target, h.Owner), packtest.Everything)
	packtest.ExpectStored(t, h.Admin, 0, 1, 2)
}

func TestTheOwnerOfEachTableIsTheOneToGrantIt(t *testing.T) {
	t.Parallel()
	h := packtest.NewHouse(t)
	other := packtest.NewRole(t, h.Admin)
	packtest.Run(t, h.Admin, "ALTER TABLE blob_chunk OWNER TO "+other+"; GRANT SELECT ON relpack.goose_db_version TO "+h.App+"; GRANT USAGE ON SCHEMA relpack TO "+h.App)
	_, err := pack.Run(t.Context(), packtest.As(h.Target, h.Owner), packtest.Everything, packtest.Log(t))
	packtest.ExpectRefusal(t, err, `lacks SELECT on public.blob_chunk. Let `+other+`, who owns public.blob_chunk, run: GRANT SELECT ON public.blob_chunk TO `+h.Owner+`;`)
	packtest.Run(t, h.Admin, "REVOKE ALL ON blob_chunk FROM "+h.App)
	_, err = pack.Run(t.Context(), packtest.As(h.Target, h.App), packtest.Everything, packtest.Log(t))
	packtest.ExpectRefusal(t, err, "Let "+other+", who owns public.blob_chunk, run: GRANT SELECT ON public.blob_chunk",
		"Let the owner run: GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA relpack")
}
