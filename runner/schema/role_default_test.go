package schema_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
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
func newGenerousHouse(t *testing.T) packtest.House {
	t.Helper()
	h := newLand(t)
	packtest.Run(t, h.Admin, "GRANT CREATE ON DATABASE "+h.Admin.Config().Database+" TO "+h.Owner)
	packtest.Run(t, h.Admin, strings.NewReplacer("%owner%", h.Owner, "%app%", h.App).Replace(generous))
	packtest.MigrateUp(t, packtest.As(h.Target, h.Owner))
	packtest.CommitAt(t, h.As(t, h.App), 48*time.Hour, packtest.Garden)
	return h
}

// ofRole lists what of relpack a role was given by name.
func ofRole(t *testing.T, conn *pgx.Conn, role string) []string {
	t.Helper()
	return packtest.Lines(t, conn, `
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
	return packtest.Lines(t, conn, `SELECT relname::text FROM pg_class
		WHERE relnamespace = 'relpack'::regnamespace AND relkind = 'r' AND relname <> 'goose_db_version' ORDER BY 1`)
}

// snare counts, by a sequence that no rollback takes back, how often code of a
// role's own runs with other rights than that role's.
func snare(t *testing.T, h packtest.House) *pgx.Conn {
	t.Helper()
	packtest.Run(t, h.Admin, "CREATE SCHEMA snare; CREATE SEQUENCE snare.caught; GRANT USAGE ON SCHEMA snare TO PUBLIC; GRANT USAGE ON SEQUENCE snare.caught TO PUBLIC")
	app := h.As(t, h.App)
	packtest.Run(t, app, `CREATE FUNCTION pg_temp.snare() RETURNS trigger LANGUAGE plpgsql AS
		$$BEGIN IF current_user <> '`+h.App+`' THEN PERFORM nextval('snare.caught'); END IF; RETURN coalesce(new, old); END$$`)
	return app
}

func expectNobodyCaught(t *testing.T, h packtest.House, by string) {
	t.Helper()
	if packtest.Get[bool](t, h.Admin, "SELECT is_called FROM snare.caught") {
		t.Fatalf("%s: code of the application's role ran with other rights", by)
	}
}

func TestDefaultPrivilegesGiveNothingOfRelpack(t *testing.T) {
	t.Parallel()
	h := newGenerousHouse(t)
	if given := ofRole(t, h.Admin, h.App); len(given) > 0 {
		t.Errorf("the application has %q", given)
	}
	app := snare(t, h)
	for _, table := range relpackTables(t, h.Admin) {
		denied(t, app, "CREATE TRIGGER snare BEFORE INSERT OR UPDATE OR DELETE ON relpack."+table+" FOR EACH ROW EXECUTE FUNCTION pg_temp.snare()")
	}
	packtest.Run(t, app, "UPDATE object_state SET tid = tid - 1 WHERE zoid = 2")
	packtest.Pack(t, packtest.As(h.Target, h.Owner), packtest.Everything)
	packtest.ExpectStored(t, h.Admin, 0, 1, 2)
	expectNobodyCaught(t, h, "a pack")
}

// What an owner grants on purpose is his to keep, as an update must not lock the
// packer out; by what is taken nobody packs or looks.
func TestAnUpdateTakesBackOnlyRightsToRunCode(t *testing.T) {
	t.Parallel()
	h := newGenerousHouse(t)
	packer, watcher := h.NewPacker(t), packtest.NewRole(t, h.Admin)
	letLook(t, h, watcher)
	before := [2]string{strings.Join(ofRole(t, h.Admin, packer), "\n"), strings.Join(ofRole(t, h.Admin, watcher), "\n")}
	packtest.Run(t, h.As(t, h.Owner), "GRANT ALL ON SCHEMA relpack TO "+h.App+"; GRANT ALL ON ALL TABLES IN SCHEMA relpack TO "+h.App+` WITH GRANT OPTION;
		GRANT TRIGGER ON relpack.run TO PUBLIC; GRANT REFERENCES (zoid) ON relpack.object TO `+h.App)
	packtest.Run(t, h.As(t, h.App), "GRANT TRIGGER ON relpack.run TO "+packer)
	packtest.MigrateUp(t, packtest.As(h.Target, h.Owner))
	if after := [2]string{strings.Join(ofRole(t, h.Admin, packer), "\n"), strings.Join(ofRole(t, h.Admin, watcher), "\n")}; after != before {
		t.Errorf("the rights of packer and watcher are others than before: %d and %d bytes of names, %d and %d", len(after[0]), len(after[1]), len(before[0]), len(before[1]))
	}
	for _, right := range ofRole(t, h.Admin, h.App) {
		if strings.HasSuffix(right, "TRIGGER") || strings.HasSuffix(right, "REFERENCES") || strings.HasSuffix(right, "CREATE") {
			t.Errorf("the application still has %s", right)
		}
	}
	packtest.Pack(t, packtest.As(h.Target, packer), packtest.Everything)
}

func TestARightToRunCodeAsTheOwnerIsRefused(t *testing.T) {
	t.Parallel()
	for _, grant := range []string{"TRIGGER ON relpack.write_event", "REFERENCES ON relpack.class", "REFERENCES (zoid) ON relpack.object", "CREATE ON SCHEMA relpack"} {
		t.Run(grant, func(t *testing.T) {
			t.Parallel()
			h := packtest.NewHouse(t)
			packtest.CommitAt(t, h.As(t, h.App), 48*time.Hour, packtest.Garden)
			owner := packtest.As(h.Target, h.Owner)
			packtest.DryRun(t, owner)
			packtest.Run(t, h.As(t, h.Owner), "GRANT "+grant+" TO "+h.App)
			says := []string{h.App + " has " + grant, "REVOKE " + grant + " FROM " + h.App}
			expectOwnRefused(t, owner, says...)
			packtest.Run(t, h.As(t, h.Owner), "SELECT relpack.try_pack_lock()")
			_, err := h.As(t, h.Owner).Exec(t.Context(), "SELECT relpack.require_own()")
			packtest.ExpectError(t, err, fault.ExitRefused, h.App+" has")
		})
	}
}

// expectOwnRefused wants a pack, a verification and status to refuse, and no
// run to have begun.
func expectOwnRefused(t *testing.T, owner target.Target, says ...string) {
	t.Helper()
	conn := packtest.Session(t, owner)
	runs := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.run")
	_, err := pack.Run(t.Context(), owner, packtest.Everything, packtest.Log(t))
	packtest.ExpectRefusal(t, err, says...)
	_, err = verify.Run(t.Context(), owner, verify.Options{Migrations: migrations.Files}, packtest.Log(t))
	packtest.ExpectRefusal(t, err, says...)
	report, err := status.Look(t.Context(), owner, migrations.Files, packtest.Log(t))
	if err != nil || report.Packable {
		t.Errorf("status: packable %v, %v", report.Packable, err)
	}
	for _, part := range says {
		if !strings.Contains(report.Advice, part) {
			t.Errorf("status advises %q, not %q", report.Advice, part)
		}
	}
	if n := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.run"); n != runs {
		t.Errorf("%d runs began", n-runs)
	}
}

// Whoever had the right before it was taken back may have left something.
func TestNoTriggerOfOthersOnRelpacksTablesEverRuns(t *testing.T) {
	t.Parallel()
	h := newGenerousHouse(t)
	owner := packtest.As(h.Target, h.Owner)
	packtest.DryRun(t, owner)
	app := snare(t, h)
	for _, table := range relpackTables(t, h.Admin) {
		packtest.Run(t, h.Admin, "GRANT USAGE ON SCHEMA relpack TO "+h.App+"; GRANT ALL ON relpack."+table+" TO "+h.App)
		packtest.Run(t, app, "CREATE TRIGGER snare BEFORE INSERT OR UPDATE OR DELETE ON relpack."+table+" FOR EACH ROW EXECUTE FUNCTION pg_temp.snare()")
		drop := "DROP TRIGGER snare ON relpack." + table
		expectOwnRefused(t, owner, "trigger snare on relpack."+table, drop)
		packtest.ExpectRefusal(t, schema.Up(t.Context(), owner, migrations.Files, packtest.Log(t)), drop)
		if _, err := schema.ReadStatus(t.Context(), owner, migrations.Files, packtest.Log(t)); err != nil {
			t.Error(err)
		}
		denied(t, app, "CREATE TRIGGER again BEFORE INSERT ON relpack."+table+" FOR EACH ROW EXECUTE FUNCTION pg_temp.snare()")
		expectNobodyCaught(t, h, table)
		packtest.Run(t, h.As(t, h.Owner), drop)
	}
	packtest.Run(t, h.Admin, "GRANT TRIGGER ON relpack.run TO "+h.App)
	packtest.Run(t, app, "CREATE TRIGGER snare BEFORE INSERT ON relpack.run FOR EACH ROW EXECUTE FUNCTION pg_temp.snare()")
	down(t, owner)
	expectNobodyCaught(t, h, "migrate down")
}

func TestAForeignKeyOfOthersOnRelpacksTablesIsRefused(t *testing.T) {
	t.Parallel()
	h := packtest.NewHouse(t)
	packtest.CommitAt(t, h.As(t, h.App), 48*time.Hour, packtest.Garden)
	owner := packtest.As(h.Target, h.Owner)
	packtest.DryRun(t, owner)
	packtest.Run(t, h.Admin, "GRANT USAGE ON SCHEMA relpack TO "+h.App+"; GRANT REFERENCES ON relpack.class TO "+h.App+"; GRANT CREATE ON SCHEMA public TO "+h.App)
	packtest.Run(t, h.As(t, h.App), "CREATE TABLE public.mine (id integer CONSTRAINT mine REFERENCES relpack.class ON DELETE CASCADE)")
	packtest.Run(t, h.Admin, "REVOKE REFERENCES ON relpack.class FROM "+h.App)
	expectOwnRefused(t, owner, "foreign key mine of public.mine on relpack.class", "ALTER TABLE public.mine DROP CONSTRAINT mine")
	_, err := h.As(t, h.Owner).Exec(t.Context(), "SELECT relpack.require_own()")
	packtest.ExpectError(t, err, fault.ExitRefused, "foreign key mine")
}

// A dump says nothing of rights that nobody has, and the default privileges of
// the database that it is restored into apply.
func TestDefaultPrivilegesOfTheDatabaseThatADumpIsRestoredIntoAreRefusedAndHealed(t *testing.T) {
	t.Parallel()
	source := packtest.NewHouse(t)
	packtest.CommitAt(t, source.As(t, source.App), 48*time.Hour, packtest.Garden)
	packtest.DryRun(t, packtest.As(source.Target, source.Owner))
	h := source
	h.Target, h.Admin = packtest.NewEmptyDatabase(t)
	packtest.Run(t, h.Admin, "GRANT CREATE ON DATABASE "+h.Admin.Config().Database+" TO "+h.Owner+"; GRANT CREATE ON SCHEMA public TO "+h.Owner)
	packtest.Run(t, h.Admin, strings.NewReplacer("%owner%", h.Owner, "%app%", h.App).Replace(generous))
	packtest.RestoreInto(t, h.Target, []string{"--no-owner", "--no-comments", "--role=" + h.Owner}, source.Target)
	owner := packtest.As(h.Target, h.Owner)
	expectOwnRefused(t, owner, h.App+" has ", "relpack migrate up")
	packtest.MigrateUp(t, owner)
	packtest.Pack(t, owner, packtest.Everything)
	packtest.ExpectStored(t, h.Admin, 0, 1, 2)
}
