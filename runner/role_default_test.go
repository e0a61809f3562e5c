package runner

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/pack"
	"relpack/runner/schema"
	"relpack/runner/status"
	"relpack/runner/target"
	"relpack/runner/verify"
)

// generous are default privileges as a site may have them for its application.
const generous = `
	ALTER DEFAULT PRIVILEGES FOR ROLE %owner% GRANT ALL ON TABLES TO %app%;
	ALTER DEFAULT PRIVILEGES FOR ROLE %owner% GRANT ALL ON SEQUENCES TO %app%;
	ALTER DEFAULT PRIVILEGES FOR ROLE %owner% GRANT EXECUTE ON FUNCTIONS TO %app%;
	ALTER DEFAULT PRIVILEGES FOR ROLE %owner% GRANT ALL ON SCHEMAS TO %app%`

// newGenerousHouse is a house whose owner has such default privileges.
func newGenerousHouse(t *testing.T) house {
	t.Helper()
	h := newLand(t)
	run(t, h.admin, "GRANT CREATE ON DATABASE "+h.admin.Config().Database+" TO "+h.owner)
	run(t, h.admin, strings.NewReplacer("%owner%", h.owner, "%app%", h.app).Replace(generous))
	up(t, as(h.target, h.owner))
	commitAt(t, h.as(t, h.app), 48*time.Hour, garden)
	return h
}

// ofRole lists what of relpack a role was given by name.
func ofRole(t *testing.T, conn *pgx.Conn, role string) []string {
	t.Helper()
	return lines(t, conn, `
		SELECT name || ' ' || privilege_type
		FROM (
		    SELECT nspname::text, nspacl FROM pg_namespace WHERE nspname = 'relpack'
		    UNION ALL
		    SELECT relname, relacl FROM pg_class WHERE relnamespace = 'relpack'::regnamespace
		    UNION ALL
		    SELECT proname, proacl FROM pg_proc WHERE pronamespace = 'relpack'::regnamespace
		) AS given (name, acl), aclexplode(acl)
		WHERE grantee = '`+role+`'::regrole
		ORDER BY 1`)
}

// relpackTables are those of relpack but goose's.
func relpackTables(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	return lines(t, conn, `SELECT relname::text FROM pg_class
		WHERE relnamespace = 'relpack'::regnamespace AND relkind = 'r' AND relname <> 'goose_db_version' ORDER BY 1`)
}

// snare counts, by a sequence that no rollback takes back, how often code of a
// role's own runs with other rights than that role's.
func snare(t *testing.T, h house) *pgx.Conn {
	t.Helper()
	run(t, h.admin, "CREATE SCHEMA snare; CREATE SEQUENCE snare.caught; GRANT USAGE ON SCHEMA snare TO PUBLIC; GRANT USAGE ON SEQUENCE snare.caught TO PUBLIC")
	app := h.as(t, h.app)
	run(t, app, `CREATE FUNCTION pg_temp.snare() RETURNS trigger LANGUAGE plpgsql AS
		$$BEGIN IF current_user <> '`+h.app+`' THEN PERFORM nextval('snare.caught'); END IF; RETURN coalesce(new, old); END$$`)
	return app
}

func expectNobodyCaught(t *testing.T, h house, by string) {
	t.Helper()
	if get[bool](t, h.admin, "SELECT is_called FROM snare.caught") {
		t.Fatalf("%s: code of the application's role ran with other rights", by)
	}
}

func TestDefaultPrivilegesGiveNothingOfRelpack(t *testing.T) {
	t.Parallel()
	h := newGenerousHouse(t)
	if given := ofRole(t, h.admin, h.app); len(given) > 0 {
		t.Errorf("the application has %q", given)
	}
	app := snare(t, h)
	for _, table := range relpackTables(t, h.admin) {
		denied(t, app, "CREATE TRIGGER snare BEFORE INSERT OR UPDATE OR DELETE ON relpack."+table+" FOR EACH ROW EXECUTE FUNCTION pg_temp.snare()")
	}
	run(t, app, "UPDATE object_state SET tid = tid - 1 WHERE zoid = 2")
	packStorage(t, as(h.target, h.owner), everything)
	expectStored(t, h.admin, 0, 1, 2)
	expectNobodyCaught(t, h, "a pack")
}

// What an owner grants on purpose is his to keep, as an update must not lock the
// packer out; by what is taken nobody packs or looks.
func TestAnUpdateTakesBackOnlyRightsToRunCode(t *testing.T) {
	t.Parallel()
	h := newGenerousHouse(t)
	packer, watcher := h.newPacker(t), newRole(t, h.admin)
	letLook(t, h, watcher)
	before := [2]string{strings.Join(ofRole(t, h.admin, packer), "\n"), strings.Join(ofRole(t, h.admin, watcher), "\n")}
	run(t, h.as(t, h.owner), "GRANT ALL ON SCHEMA relpack TO "+h.app+"; GRANT ALL ON ALL TABLES IN SCHEMA relpack TO "+h.app+` WITH GRANT OPTION;
		GRANT TRIGGER ON relpack.run TO PUBLIC; GRANT REFERENCES (zoid) ON relpack.object TO `+h.app)
	run(t, h.as(t, h.app), "GRANT TRIGGER ON relpack.run TO "+packer)
	up(t, as(h.target, h.owner))
	if after := [2]string{strings.Join(ofRole(t, h.admin, packer), "\n"), strings.Join(ofRole(t, h.admin, watcher), "\n")}; after != before {
		t.Errorf("the rights of packer and watcher are others than before: %d and %d bytes of names, %d and %d", len(after[0]), len(after[1]), len(before[0]), len(before[1]))
	}
	for _, right := range ofRole(t, h.admin, h.app) {
		if strings.HasSuffix(right, "TRIGGER") || strings.HasSuffix(right, "REFERENCES") || strings.HasSuffix(right, "CREATE") {
			t.Errorf("the application still has %s", right)
		}
	}
	packStorage(t, as(h.target, packer), everything)
}

func TestARightToRunCodeAsTheOwnerIsRefused(t *testing.T) {
	t.Parallel()
	for _, grant := range []string{"TRIGGER ON relpack.write_event", "REFERENCES ON relpack.class", "REFERENCES (zoid) ON relpack.object", "CREATE ON SCHEMA relpack"} {
		t.Run(grant, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			commitAt(t, h.as(t, h.app), 48*time.Hour, garden)
			owner := as(h.target, h.owner)
			dryRun(t, owner)
			run(t, h.as(t, h.owner), "GRANT "+grant+" TO "+h.app)
			says := []string{h.app + " has " + grant, "REVOKE " + grant + " FROM " + h.app}
			expectOwnRefused(t, owner, says...)
			run(t, h.as(t, h.owner), "SELECT relpack.try_pack_lock()")
			_, err := h.as(t, h.owner).Exec(t.Context(), "SELECT relpack.require_own()")
			expectError(t, err, fault.ExitRefused, h.app+" has")
		})
	}
}

// expectOwnRefused wants a pack, a verification and status to refuse, and no
// run to have begun.
func expectOwnRefused(t *testing.T, owner target.Target, says ...string) {
	t.Helper()
	conn := sessionOn(t, owner)
	runs := get[int](t, conn, "SELECT count(*) FROM relpack.run")
	_, err := pack.Run(t.Context(), owner, everything, testLog(t))
	expectRefusal(t, err, says...)
	_, err = verify.Run(t.Context(), owner, verify.Options{Migrations: migrations.Files}, testLog(t))
	expectRefusal(t, err, says...)
	report, err := status.Look(t.Context(), owner, migrations.Files, testLog(t))
	if err != nil || report.Packable {
		t.Errorf("status: packable %v, %v", report.Packable, err)
	}
	for _, part := range says {
		if !strings.Contains(report.Advice, part) {
			t.Errorf("status advises %q, not %q", report.Advice, part)
		}
	}
	if n := get[int](t, conn, "SELECT count(*) FROM relpack.run"); n != runs {
		t.Errorf("%d runs began", n-runs)
	}
}

// Whoever had the right before it was taken back may have left something.
func TestNoTriggerOfOthersOnRelpacksTablesEverRuns(t *testing.T) {
	t.Parallel()
	h := newGenerousHouse(t)
	owner := as(h.target, h.owner)
	dryRun(t, owner)
	app := snare(t, h)
	for _, table := range relpackTables(t, h.admin) {
		run(t, h.admin, "GRANT USAGE ON SCHEMA relpack TO "+h.app+"; GRANT ALL ON relpack."+table+" TO "+h.app)
		run(t, app, "CREATE TRIGGER snare BEFORE INSERT OR UPDATE OR DELETE ON relpack."+table+" FOR EACH ROW EXECUTE FUNCTION pg_temp.snare()")
		drop := "DROP TRIGGER snare ON relpack." + table
		expectOwnRefused(t, owner, "trigger snare on relpack."+table, drop)
		expectRefusal(t, schema.Up(t.Context(), owner, migrations.Files, testLog(t)), drop)
		if _, err := schema.ReadStatus(t.Context(), owner, migrations.Files, testLog(t)); err != nil {
			t.Error(err)
		}
		denied(t, app, "CREATE TRIGGER again BEFORE INSERT ON relpack."+table+" FOR EACH ROW EXECUTE FUNCTION pg_temp.snare()")
		expectNobodyCaught(t, h, table)
		run(t, h.as(t, h.owner), drop)
	}
	run(t, h.admin, "GRANT TRIGGER ON relpack.run TO "+h.app)
	run(t, app, "CREATE TRIGGER snare BEFORE INSERT ON relpack.run FOR EACH ROW EXECUTE FUNCTION pg_temp.snare()")
	down(t, owner)
	expectNobodyCaught(t, h, "migrate down")
}

func TestAForeignKeyOfOthersOnRelpacksTablesIsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	commitAt(t, h.as(t, h.app), 48*time.Hour, garden)
	owner := as(h.target, h.owner)
	dryRun(t, owner)
	run(t, h.admin, "GRANT USAGE ON SCHEMA relpack TO "+h.app+"; GRANT REFERENCES ON relpack.class TO "+h.app+"; GRANT CREATE ON SCHEMA public TO "+h.app)
	run(t, h.as(t, h.app), "CREATE TABLE public.mine (id integer CONSTRAINT mine REFERENCES relpack.class ON DELETE CASCADE)")
	run(t, h.admin, "REVOKE REFERENCES ON relpack.class FROM "+h.app)
	expectOwnRefused(t, owner, "foreign key mine of public.mine on relpack.class", "ALTER TABLE public.mine DROP CONSTRAINT mine")
	_, err := h.as(t, h.owner).Exec(t.Context(), "SELECT relpack.require_own()")
	expectError(t, err, fault.ExitRefused, "foreign key mine")
}

// A dump says nothing of rights that nobody has, and the default privileges of
// the database that it is restored into apply.
func TestDefaultPrivilegesOfTheDatabaseThatADumpIsRestoredIntoAreRefusedAndHealed(t *testing.T) {
	t.Parallel()
	source := newHouse(t)
	commitAt(t, source.as(t, source.app), 48*time.Hour, garden)
	dryRun(t, as(source.target, source.owner))
	h := source
	h.target, h.admin = newEmptyDatabase(t)
	run(t, h.admin, "GRANT CREATE ON DATABASE "+h.admin.Config().Database+" TO "+h.owner+"; GRANT CREATE ON SCHEMA public TO "+h.owner)
	run(t, h.admin, strings.NewReplacer("%owner%", h.owner, "%app%", h.app).Replace(generous))
	restoreInto(t, h.target, []string{"--no-owner", "--no-comments", "--role=" + h.owner}, source.target)
	owner := as(h.target, h.owner)
	expectOwnRefused(t, owner, h.app+" has ", "relpack migrate up")
	up(t, owner)
	packStorage(t, owner, everything)
	expectStored(t, h.admin, 0, 1, 2)
}
