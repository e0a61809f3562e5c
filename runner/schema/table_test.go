package schema_test

import (
	"strings"
	"testing"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/schema"
	"relpack/runner/status"
)

const secondStorage = "CREATE SCHEMA plone; CREATE TABLE plone.object_state (LIKE public.object_state INCLUDING ALL)"

// RelStorage works on the table that its search path finds first.
func TestTwoStoragesInADatabaseAreNotPacked(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Run(t, conn, secondStorage)
	says := []string{"two storages, public.object_state and plone.object_state", "rename or move the other"}
	_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
	packtest.ExpectError(t, err, fault.ExitRefused, "two storages")
	_, err = pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
	packtest.ExpectRefusal(t, err, says...)
	packtest.ExpectRefusal(t, schema.Up(t.Context(), target, migrations.Files, packtest.Log(t)), says...)
	status, err := status.Look(t.Context(), target, migrations.Files, packtest.Log(t))
	if err != nil || !strings.Contains(status.Advice, "two storages") {
		t.Errorf("%+v, %v", status, err)
	}
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
	// One of another shape is no storage.
	packtest.Run(t, conn, "ALTER TABLE plone.object_state DROP COLUMN state_size")
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2)
}

func TestAnotherTableThatTheSessionTakesForObjectStateIsRefused(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"a table": "CREATE TABLE plone.object_state (zoid bigint)",
		"a view":  "CREATE VIEW plone.object_state AS SELECT * FROM public.object_state",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewGarden(t)
			packtest.Run(t, conn, "CREATE SCHEMA plone; "+sql)
			lost := target
			lost.DSN += " options='-c search_path=plone,public'"
			if strings.Contains(target.DSN, "://") {
				t.Skip("the server for the tests is named by a URI")
			}
			_, err := pack.Run(t.Context(), lost, packtest.Everything, packtest.Log(t))
			packtest.ExpectRefusal(t, err, "plone.object_state", "public.object_state")
			packtest.Run(t, conn, "ALTER DATABASE "+conn.Config().Database+" SET search_path = plone, public")
			_, err = pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
			packtest.ExpectRefusal(t, err, "plone.object_state", "public.object_state")
			packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
			packtest.Run(t, conn, "ALTER DATABASE "+conn.Config().Database+" SET search_path = public, plone")
			packtest.Pack(t, target, packtest.Everything)
		})
	}
}

func TestColumnsOfAnotherTypeAreRefused(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Run(t, conn, "ALTER TABLE object_state ALTER state_size TYPE numeric")
	_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
	packtest.ExpectState(t, err, fault.StateRefused)
	_, err = pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
	packtest.ExpectRefusal(t, err, "is not RelStorage's: its column state_size is numeric, not bigint")
	packtest.Run(t, conn, "ALTER TABLE object_state ALTER state_size TYPE bigint")
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2)
	packtest.ExpectExact(t, conn)
}

// Subscribers have no tables of relpack's, and these have no key at times.
func TestAPublicationOfEverythingIsRefused(t *testing.T) {
	t.Parallel()
	for name, publish := range map[string]string{
		"all tables":   "CREATE PUBLICATION everything FOR ALL TABLES",
		"the schema":   "CREATE PUBLICATION everything FOR TABLES IN SCHEMA relpack",
		"one of these": "CREATE PUBLICATION everything FOR TABLE object_state, relpack.run",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewGarden(t)
			packtest.Run(t, conn, "SET client_min_messages = error; "+publish)
			says := []string{"publication", "everything", "includes relpack's tables", "FOR TABLES IN SCHEMA public"}
			_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
			packtest.ExpectError(t, err, fault.ExitRefused, says...)
			_, err = pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
			packtest.ExpectRefusal(t, err, says...)
			status, err := status.Look(t.Context(), target, migrations.Files, packtest.Log(t))
			if err != nil || !strings.Contains(status.Advice, "includes relpack's tables") {
				t.Errorf("%+v, %v", status, err)
			}
			packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
			packtest.Run(t, conn, "DROP PUBLICATION everything; CREATE PUBLICATION everything FOR TABLES IN SCHEMA public")
			packtest.Pack(t, target, packtest.Everything)
			packtest.ExpectStored(t, conn, 0, 1, 2)
		})
	}
	target, conn := packtest.NewBareStorage(t)
	packtest.Run(t, conn, "SET client_min_messages = error; CREATE PUBLICATION everything FOR ALL TABLES")
	before := packtest.Catalog(t, conn)
	packtest.ExpectRefusal(t, schema.Up(t.Context(), target, migrations.Files, packtest.Log(t)), "everything", "FOR TABLES IN SCHEMA public")
	if after := packtest.Catalog(t, conn); after != before {
		t.Errorf("the catalogs changed from\n%s\nto\n%s", before, after)
	}
}

// A dump by "pg_dump -T 'relpack.*'" has the triggers and their functions.
func TestASiteRestoredWithoutRelpacksTablesWrites(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Run(t, conn, `SET client_min_messages = warning;
		DO $$
		DECLARE
		    v_table regclass;
		BEGIN
		    FOR v_table IN SELECT oid FROM pg_class WHERE relnamespace = 'relpack'::regnamespace AND relkind = 'r' LOOP
		        EXECUTE format('DROP TABLE %s CASCADE', v_table);
		    END LOOP;
		END $$`)
	packtest.Commit(t, conn, packtest.Links{1: {2, 30}, 30: nil})
	packtest.Restore(t, conn, 2, 5, packtest.Document(10))
	packtest.Run(t, conn, "UPDATE object_state SET zoid = 31 WHERE zoid = 30")
	packtest.Run(t, conn, "BEGIN ISOLATION LEVEL REPEATABLE READ; UPDATE object_state SET tid = tid; COMMIT")
	packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = 13")
	packtest.Run(t, conn, "BEGIN; TRUNCATE object_state CASCADE; ROLLBACK")
	// Nothing is left that relpack would have to know.
	packtest.Run(t, conn, "SET client_min_messages = warning; DROP SCHEMA relpack CASCADE")
	if n := packtest.Get[int](t, conn, "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'relpack%'"); n != 0 {
		t.Errorf("%d triggers are left", n)
	}
	packtest.MigrateUp(t, target)
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectExact(t, conn)
}

func TestAStorageOfZodbPgjsonbIsRefused(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewEmptyDatabase(t)
	if err := zodbtest.CreateStorage(t.Context(), conn, zodbtest.V42); err != nil {
		t.Fatal(err)
	}
	packtest.Run(t, conn, "ALTER TABLE object_state ALTER state TYPE jsonb USING NULL")
	before := packtest.Catalog(t, conn)
	packtest.ExpectRefusal(t, schema.Up(t.Context(), target, migrations.Files, packtest.Log(t)),
		"is not RelStorage's: its column state is jsonb, not bytea", "zodb-pgjsonb")
	if after := packtest.Catalog(t, conn); after != before {
		t.Errorf("the catalogs changed from\n%s\nto\n%s", before, after)
	}
}
