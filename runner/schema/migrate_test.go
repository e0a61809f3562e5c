package schema_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/schema"
	"relpack/runner/target"
)

func down(t testing.TB, target target.Target) {
	t.Helper()
	if err := schema.Down(t.Context(), target, migrations.Files, packtest.Log(t)); err != nil {
		t.Fatal(err)
	}
}

func TestDownLeavesNothingAndUpWorksAgain(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewBareStorage(t)
	before := packtest.Catalog(t, conn)
	packtest.MigrateUp(t, target)
	installed := packtest.Catalog(t, conn)
	if installed == before {
		t.Fatal("up created nothing")
	}
	packtest.Run(t, conn, "INSERT INTO object_state VALUES (0, 1, 1, 'x')")
	down(t, target)
	if after := packtest.Catalog(t, conn); after != before {
		t.Errorf("down leaves\n%s\nof\n%s", after, before)
	}
	down(t, target) // nothing to do
	packtest.MigrateUp(t, target)
	if again := packtest.Catalog(t, conn); again != installed {
		t.Errorf("up again creates\n%s\nnot\n%s", again, installed)
	}
	packtest.MigrateUp(t, target) // nothing to do
	if err := schema.CheckInstalled(t.Context(), conn, target, migrations.Files); err != nil {
		t.Error(err)
	}
}

func TestDownWarnsOfBlobFilesThatNobodyWillRemove(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.Run(t, conn, "INSERT INTO relpack.blob_removal (zoid, tid) VALUES (5, 5), (6, 5)")
	var said bytes.Buffer
	if err := schema.Down(t.Context(), target, migrations.Files, slog.New(slog.NewTextHandler(&said, nil))); err != nil {
		t.Fatal(err)
	}
	packtest.ExpectWords(t, said.String(), "the files of 2 deleted blobs stay", "migrate up", "lists them as gone")
}

func TestDownWarnsOfBlobFilesOfAHistory(t *testing.T) {
	t.Parallel()
	a := packtest.NewHistoryAlbum(t, zodbtest.Bushy, true)
	packtest.Run(t, a.Conn, "INSERT INTO relpack.blob_removal (zoid, tid) VALUES (5, 5), (5, 6)")
	var said bytes.Buffer
	if err := schema.Down(t.Context(), a.Target, migrations.Files, slog.New(slog.NewTextHandler(&said, nil))); err != nil {
		t.Fatal(err)
	}
	packtest.ExpectWords(t, said.String(), "the files of 2 deleted revisions stay", "lists them as gone")
}

func TestDownWorksWhenTheStorageIsGone(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.Run(t, conn, "DROP TABLE object_state CASCADE")
	down(t, target)
	if packtest.Get[int](t, conn, "SELECT count(*) FROM pg_namespace WHERE nspname = 'relpack'") != 0 {
		t.Error("the schema relpack is left")
	}
}

func TestDownKeepsWhatSomebodyElsePutIntoTheSchema(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.Run(t, conn, "CREATE TABLE relpack.report_of_a_dba AS SELECT 1 AS one")
	packtest.ExpectRefusal(t, schema.Down(t.Context(), target, migrations.Files, packtest.Log(t)), "report_of_a_dba")
	packtest.Run(t, conn, "DROP TABLE relpack.report_of_a_dba")
	down(t, target)
	if strings.Contains(packtest.Catalog(t, conn), "relpack") {
		t.Error(packtest.Catalog(t, conn))
	}
}

func TestDownThatFailsKeepsRelpackAtWork(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.Run(t, conn, "INSERT INTO object_state VALUES (0, 1, 1, 'x'); CREATE VIEW public.of_a_dba AS SELECT * FROM relpack.writer")
	installed := packtest.Catalog(t, conn)
	packtest.ExpectRefusal(t, schema.Down(t.Context(), target, migrations.Files, packtest.Log(t)), "view public.of_a_dba depends on")
	if after := packtest.Catalog(t, conn); after != installed {
		t.Errorf("half of relpack is gone, left is\n%s", after)
	}
	packtest.Run(t, conn, "SELECT relpack.require_storage()")
}

func TestStockGooseInstallsAndRemovesTheSameSchema(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewBareStorage(t)
	packtest.MigrateUp(t, target)
	ours := packtest.Catalog(t, conn)
	db := stdlib.OpenDB(*conn.Config())
	defer func() { _ = db.Close() }()
	stock := func() *goose.Provider {
		provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Files, goose.WithTableName("relpack.goose_db_version"))
		if err != nil {
			t.Fatal(err)
		}
		return provider
	}
	if pending, err := stock().HasPending(t.Context()); err != nil || pending {
		t.Errorf("goose sees pending migrations: %v, %v", pending, err)
	}
	if _, err := stock().DownTo(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	down(t, target)
	packtest.Run(t, conn, "CREATE SCHEMA relpack")
	if _, err := stock().Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if theirs := packtest.Catalog(t, conn); theirs != ours {
		t.Errorf("goose creates\n%s\nrelpack\n%s", theirs, ours)
	}
	packtest.MigrateUp(t, target)
}

func TestNoMigrationWhileAPackRuns(t *testing.T) {
	t.Parallel()
	for _, version := range []zodbtest.Version{zodbtest.V15, zodbtest.V30, zodbtest.V42} {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewEmptyDatabase(t)
			if err := zodbtest.CreateStorage(t.Context(), conn, version); err != nil {
				t.Fatal(err)
			}
			packtest.MigrateUp(t, target)
			packtest.Run(t, conn, "SET application_name = 'zodbpack'; SELECT pg_advisory_lock("+fmt.Sprint(version.PackLock())+")")
			pid := fmt.Sprintf("pid %d", conn.PgConn().PID())
			packtest.ExpectError(t, schema.Up(t.Context(), target, migrations.Files, packtest.Log(t)), fault.ExitLocked, pid, "zodbpack")
			packtest.ExpectError(t, schema.Down(t.Context(), target, migrations.Files, packtest.Log(t)), fault.ExitLocked, pid, "zodbpack")
			packtest.Run(t, conn, "SELECT pg_advisory_unlock_all()")
			down(t, target)
		})
	}
	bare, conn := packtest.NewBareStorage(t)
	packtest.Run(t, conn, "SELECT pg_advisory_lock(-2)")
	packtest.ExpectError(t, schema.Up(t.Context(), bare, migrations.Files, packtest.Log(t)), fault.ExitLocked, fmt.Sprint(conn.PgConn().PID()))
}

func TestMigrateUpPutsTriggersBackInForce(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]string{
		"dropped":                      "DROP TRIGGER relpack_report_delete ON object_state",
		"all dropped":                  "SELECT relpack.drop_triggers()",
		"disabled":                     "ALTER TABLE object_state DISABLE TRIGGER relpack_lock_writer",
		"no longer firing in replicas": "ALTER TABLE object_state ENABLE TRIGGER relpack_report_insert",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewStorage(t)
			packtest.Run(t, conn, "INSERT INTO object_state VALUES (0, 1, 1, 'x')")
			packtest.Run(t, conn, "SELECT relpack.require_storage()")
			packtest.Run(t, conn, damage)
			log := &pgtest.Log{}
			if err := schema.Up(t.Context(), target, migrations.Files, log.Logger()); err != nil {
				t.Fatal(err)
			}
			packtest.Run(t, conn, "SELECT relpack.require_storage()")
			log.Wait(t, "installed again")
		})
	}
}

func TestAnUpdateFromAnOlderVersionThatFailsKeepsTheOldOne(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	before := packtest.Catalog(t, conn)
	newer := withMore(t, "99999_broken.sql", "-- +goose Up\nCREATE TABLE relpack.half ();\nSELECT 1/0;\n-- +goose Down\nDROP TABLE relpack.half;\n")
	err := schema.Up(t.Context(), target, newer, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitFailure, "99999_broken.sql", "division by zero")
	if after := packtest.Catalog(t, conn); after != before {
		t.Errorf("it left\n%s", after)
	}
	if err := schema.CheckInstalled(t.Context(), conn, target, migrations.Files); err != nil {
		t.Error(err)
	}
	good := withMore(t, "99999_more.sql", "-- +goose Up\nCREATE TABLE relpack.more ();\n-- +goose Down\nDROP TABLE relpack.more;\n")
	if err := schema.Up(t.Context(), target, good, packtest.Log(t)); err != nil {
		t.Fatal(err)
	}
	packtest.ExpectRefusal(t, schema.CheckInstalled(t.Context(), conn, target, migrations.Files), "older than the schema")
	if err := schema.Down(t.Context(), target, good, packtest.Log(t)); err != nil {
		t.Fatal(err)
	}
}

func TestMigrateStatusLooksWithoutATrace(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewBareStorage(t)
	before := packtest.Catalog(t, conn)
	status, err := schema.ReadStatus(t.Context(), target, migrations.Files, packtest.Log(t))
	if err != nil || status.Version != 0 || len(status.Migrations) == 0 || status.Migrations[0].Applied != nil {
		t.Fatalf("%+v, %v", status, err)
	}
	if after := packtest.Catalog(t, conn); after != before {
		t.Errorf("it left\n%s", after)
	}
	packtest.MigrateUp(t, target)
	if status, err = schema.ReadStatus(t.Context(), target, migrations.Files, packtest.Log(t)); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := status.Write(&text); err != nil || strings.Contains(text.String(), "pending") {
		t.Errorf("%s, %v", &text, err)
	}
	for _, m := range status.Migrations {
		if m.Applied == nil || time.Since(*m.Applied).Abs() > time.Hour {
			t.Errorf("%+v", m)
		}
	}
}

// A pack that follows at once must not be told that another runs. Goose's own lock
// may last a moment longer: a migration waits for it. So may the one by which
// sessions of relpack are known, which they share: it keeps nobody out.
func TestAMigrationThatIsOverHoldsNoLock(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewBareStorage(t)
	for range 50 {
		packtest.MigrateUp(t, target)
		if held := packtest.Lines(t, conn, `SELECT format('%s/%s %s of %s', classid, objid, mode, application_name)
			FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)
			WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
			  AND (classid, objid) IS DISTINCT FROM (1919249520::oid, 3::oid)
			  AND (classid::bigint << 32) | objid::bigint <> `+strconv.Itoa(schema.MigrationLock)); len(held) > 0 {
			t.Fatalf("held: %v", held)
		}
	}
}
