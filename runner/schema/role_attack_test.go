package schema_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/schema"
	"relpack/runner/target"
)

// newLand is a storage of a role that is no superuser, without relpack.
func newLand(t *testing.T) packtest.House {
	t.Helper()
	target, admin := packtest.NewEmptyDatabase(t)
	h := packtest.House{Target: target, Admin: admin, Owner: packtest.NewRole(t, admin), App: packtest.NewRole(t, admin)}
	packtest.Run(t, admin, "GRANT CREATE ON SCHEMA public TO "+h.Owner)
	if err := zodbtest.CreateStorage(t.Context(), h.As(t, h.Owner), zodbtest.V42); err != nil {
		t.Fatal(err)
	}
	packtest.Run(t, admin, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "+h.App)
	return h
}

// ofOthers lists what in the schema belongs to another role.
func ofOthers(t *testing.T, conn *pgx.Conn, owner string) []string {
	t.Helper()
	return packtest.Lines(t, conn, `
		SELECT 'schema' FROM pg_namespace WHERE nspname = 'relpack' AND nspowner <> '`+owner+`'::regrole
		UNION ALL
		SELECT relname::text FROM pg_class WHERE relnamespace = 'relpack'::regnamespace AND relowner <> '`+owner+`'::regrole
		UNION ALL
		SELECT proname::text FROM pg_proc WHERE pronamespace = 'relpack'::regnamespace AND proowner <> '`+owner+`'::regrole`)
}

// bait are types of a role's own, whose casts count how often they run with the
// rights of a superuser: by a sequence, which no rollback takes back.
const bait = `
	CREATE SCHEMA bait;
	CREATE SEQUENCE bait.caught;
	GRANT USAGE ON SCHEMA bait TO PUBLIC;
	GRANT USAGE ON SEQUENCE bait.caught TO PUBLIC;
	CREATE TYPE bait.number AS ENUM ('1', '2', '3');
	CREATE FUNCTION bait.to_bigint(bait.number) RETURNS bigint LANGUAGE plpgsql AS
	    'BEGIN PERFORM nextval(''bait.caught'') FROM pg_roles WHERE rolname = current_user AND rolsuper; RETURN 1; END';
	CREATE CAST (bait.number AS bigint) WITH FUNCTION bait.to_bigint AS IMPLICIT;`

// Whoever owns the table may give it columns of any type.
func TestTypesOfTheOwnersRunWithNobodyElsesRights(t *testing.T) {
	t.Parallel()
	for name, given := range map[string]bool{"installed by the owner": false, "given away by a superuser": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newLand(t)
			packtest.Run(t, h.Admin, "GRANT CREATE ON DATABASE "+h.Admin.Config().Database+" TO "+h.Owner)
			migrated := packtest.As(h.Target, h.Owner)
			if given {
				packtest.Run(t, h.Admin, "ALTER TABLE object_state OWNER TO CURRENT_USER; ALTER TABLE blob_chunk OWNER TO CURRENT_USER; ALTER FUNCTION blob_chunk_delete_trigger() OWNER TO CURRENT_USER")
				migrated = h.Target
			}
			packtest.MigrateUp(t, migrated)
			packtest.CommitAt(t, h.Admin, 48*time.Hour, packtest.Garden)
			packtest.DryRun(t, migrated)
			if given {
				packtest.Run(t, h.Admin, "ALTER TABLE object_state OWNER TO "+h.Owner)
			}
			owner := h.As(t, h.Owner)
			packtest.Run(t, owner, bait)
			packtest.Run(t, owner, `DROP TRIGGER relpack_report_move ON object_state;
				ALTER TABLE object_state RENAME tid TO tid_before;
				ALTER TABLE object_state ALTER tid_before SET DEFAULT 1, ADD tid bait.number NOT NULL DEFAULT '1'`)
			packtest.Run(t, h.Admin, "GRANT INSERT, UPDATE, DELETE ON object_state TO "+h.App)
			for _, conn := range []*pgx.Conn{owner, h.As(t, h.App)} {
				for _, begin := range []string{"BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ"} {
					for _, statement := range []string{
						"INSERT INTO object_state (zoid, tid, state_size) VALUES (77, '2', 0)",
						"UPDATE object_state SET tid = '3' WHERE zoid = 2",
						"DELETE FROM object_state WHERE zoid = 2",
					} {
						// Whether it is refused or done does not matter.
						packtest.Run(t, conn, begin)
						_, _ = conn.Exec(t.Context(), statement)
						_, _ = conn.Exec(t.Context(), "COMMIT")
					}
				}
			}
			if packtest.Get[bool](t, h.Admin, "SELECT is_called FROM bait.caught") {
				t.Error("the owner's code ran with the rights of a superuser")
			}
			for _, target := range []target.Target{h.Target, packtest.As(h.Target, h.Owner)} {
				_, err := pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
				packtest.ExpectError(t, err, fault.ExitRefused, "object_state")
			}
			if n := packtest.Get[int](t, h.Admin, "SELECT count(*) FROM object_state"); n < 6 {
				t.Errorf("%d objects are left", n)
			}
		})
	}
}

// A role that may create schemas can be there first.
func TestASchemaThatSomebodyElsePlantedIsRefused(t *testing.T) {
	t.Parallel()
	for name, planted := range map[string]string{
		"empty": "CREATE SCHEMA relpack",
		"looking like relpack's": `CREATE SCHEMA relpack;
			CREATE TABLE relpack.goose_db_version (id serial, version_id bigint, is_applied boolean, tstamp timestamp DEFAULT now());
			INSERT INTO relpack.goose_db_version (version_id, is_applied) VALUES (0, true), (1, true), (2, true);
			CREATE TABLE relpack.caught (role text);
			CREATE FUNCTION relpack.drop_triggers() RETURNS void LANGUAGE sql AS 'INSERT INTO relpack.caught VALUES (current_user)';
			CREATE FUNCTION relpack.try_pack_lock() RETURNS boolean LANGUAGE sql AS 'INSERT INTO relpack.caught VALUES (current_user) RETURNING true';
			CREATE FUNCTION relpack.missing_trigger() RETURNS SETOF text LANGUAGE sql AS 'INSERT INTO relpack.caught VALUES (current_user) RETURNING role';
			GRANT ALL ON SCHEMA relpack TO PUBLIC; GRANT ALL ON ALL TABLES IN SCHEMA relpack TO PUBLIC`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newLand(t)
			attacker := packtest.NewRole(t, h.Admin)
			packtest.Run(t, h.Admin, "GRANT CREATE ON DATABASE "+h.Admin.Config().Database+" TO "+attacker+", "+h.Owner)
			packtest.Run(t, h.As(t, attacker), planted)
			before := packtest.Catalog(t, h.Admin)
			says := []string{"belongs to " + attacker, "object_state of database", "belongs to " + h.Owner, "DROP SCHEMA relpack CASCADE"}
			owner := packtest.As(h.Target, h.Owner)
			packtest.ExpectRefusal(t, schema.Up(t.Context(), owner, migrations.Files, packtest.Log(t)), says...)
			_, err := pack.Run(t.Context(), owner, packtest.Everything, packtest.Log(t))
			packtest.ExpectRefusal(t, err, says...)
			packtest.ExpectRefusal(t, schema.Down(t.Context(), owner, migrations.Files, packtest.Log(t)), "does not own the schema relpack")
			expectUntouched(t, h, h.Target, "is a superuser, and object_state belongs to "+h.Owner)
			if after := packtest.Catalog(t, h.Admin); after != before {
				t.Errorf("the catalogs changed from\n%s\nto\n%s", before, after)
			}
			if strings.Contains(before, "relpack.caught") {
				for _, role := range packtest.Lines(t, h.Admin, "SELECT role FROM relpack.caught") {
					t.Errorf("planted code ran with the rights of %s", role)
				}
			}
		})
	}
}

// pg_restore -x forgets what was revoked, and a GRANT may say ALL FUNCTIONS.
func TestWhoMayExecuteEverythingChangesNothing(t *testing.T) {
	t.Parallel()
	h := packtest.NewHouse(t)
	packtest.CommitAt(t, h.As(t, h.App), 48*time.Hour, packtest.Garden)
	packtest.DryRun(t, packtest.As(h.Target, h.Owner))
	watcher := packtest.NewRole(t, h.Admin)
	letLook(t, h, watcher)
	packtest.Run(t, h.Admin, "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA relpack TO PUBLIC; GRANT TRIGGER ON object_state TO "+watcher)
	graph := func() []string {
		return packtest.Lines(t, h.Admin, `SELECT to_jsonb(object)::text FROM relpack.object UNION ALL SELECT to_jsonb(object_inref)::text FROM relpack.object_inref
			UNION ALL SELECT to_jsonb(storage)::text FROM relpack.storage UNION ALL SELECT 'file ' || pg_relation_filenode('relpack.object') ORDER BY 1`)
	}
	before, catalogBefore := graph(), packtest.Catalog(t, h.Admin)
	for _, role := range []string{watcher, h.App} {
		conn := h.As(t, role)
		packtest.Run(t, conn, "SET lock_timeout = '2s'")
		for _, call := range packtest.Lines(t, h.Admin, `
			SELECT CASE WHEN prosecdef THEN '/* closed */ ' ELSE '' END || format('SELECT relpack.%I(%s)', proname, (SELECT string_agg('NULL::' || format_type(type, NULL), ', ') FROM unnest(proargtypes) AS type))
			FROM pg_proc
			WHERE pronamespace = 'relpack'::regnamespace AND prokind = 'f' AND prorettype <> 'trigger'::regtype AND provolatile = 'v'`) {
			_, err := conn.Exec(t.Context(), call)
			if strings.Contains(call, "closed") && !fault.IsState(err, "42501") {
				t.Errorf("%s: %v", call, err)
			}
		}
		packtest.Run(t, conn, "SELECT pg_advisory_unlock_all()")
	}
	if after := graph(); strings.Join(after, "\n") != strings.Join(before, "\n") {
		t.Errorf("the graph changed from\n%s\nto\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	if after := packtest.Catalog(t, h.Admin); after != catalogBefore {
		t.Errorf("the catalogs changed from\n%s\nto\n%s", catalogBefore, after)
	}
	packtest.ExpectStored(t, h.Admin, 0, 1, 2, 10, 11, 12, 13)
	packtest.Pack(t, packtest.As(h.Target, h.Owner), packtest.Everything)
	packtest.ExpectStored(t, h.Admin, 0, 1, 2)
}

// Whatever sits on relpack's own tables sees, and may change, what decides about
// life and death.
func TestNothingOfOthersOnRelpacksTablesIsTolerated(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ statement, says string }{
		"a rule":       {"CREATE RULE mine AS ON INSERT TO relpack.write_event DO INSTEAD NOTHING", "a rule mine on relpack.write_event"},
		"a trigger":    {"CREATE TRIGGER mine BEFORE INSERT ON relpack.object_inref FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()", "a trigger mine on relpack.object_inref"},
		"a policy":     {"ALTER TABLE relpack.object_inref ENABLE ROW LEVEL SECURITY", "relpack.object_inref is no plain table"},
		"an heir":      {"CREATE TABLE public.heir () INHERITS (relpack.doomed)", "relpack.doomed is no plain table"},
		"another role": {"CREATE ROLE of_nobody_else; ALTER TABLE relpack.doomed OWNER TO of_nobody_else", "relpack.doomed belongs to of_nobody_else"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewGarden(t)
			if name == "another role" {
				role := packtest.NewRole(t, conn)
				c.statement, c.says = "ALTER TABLE relpack.doomed OWNER TO "+role, "relpack.doomed belongs to "+role
			}
			packtest.Run(t, conn, c.statement)
			_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
			packtest.ExpectError(t, err, fault.ExitRefused, c.says)
			_, err = pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
			packtest.ExpectError(t, err, fault.ExitRefused, c.says)
			packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
		})
	}
}
