package runner

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
)

// Every test's database is a copy of one with an empty storage of RelStorage
// 4.2 and relpack installed.
func TestMain(m *testing.M) {
	os.Exit(pgtest.Main(m, func(ctx context.Context, conn *pgx.Conn) error {
		if err := zodbtest.CreateStorage(ctx, conn, zodbtest.V42); err != nil {
			return err
		}
		return zodbtest.Install(ctx, conn)
	}))
}

// newStorage is a database with an empty storage of RelStorage 4.2 and relpack
// installed.
func newStorage(t testing.TB) (target.Target, *pgx.Conn) {
	t.Helper()
	db := pgtest.NewDatabase(t)
	return target.Target{
		Name: "main", DSN: db.DSN,
		CommitLockTimeout: target.DefaultLockTimeout, BatchTimeout: target.DefaultBatchTimeout,
	}, db.Connect(t)
}

// newBareStorage is one that relpack has never seen.
func newBareStorage(t testing.TB) (target.Target, *pgx.Conn) {
	t.Helper()
	target, conn := newStorage(t)
	run(t, conn, "SET client_min_messages = warning; DROP SCHEMA relpack CASCADE")
	return target, conn
}

// newEmptyDatabase holds nothing at all.
func newEmptyDatabase(t testing.TB) (target.Target, *pgx.Conn) {
	t.Helper()
	target, conn := newBareStorage(t)
	run(t, conn, "DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC")
	return target, conn
}

// loadSmall fills a storage with the sample data, and blobDir with its blobs
// unless it is empty.
func loadSmall(t testing.TB, conn *pgx.Conn, blobDir string) {
	t.Helper()
	if err := zodbtest.LoadSmall(t.Context(), conn, blobDir); err != nil {
		t.Fatal(err)
	}
}

// run executes SQL, without arguments several statements at once.
func run(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// get reads one value.
func get[T any](t testing.TB, conn *pgx.Conn, sql string, args ...any) T {
	t.Helper()
	var value T
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// testLog writes to the test's log what a user would see with --verbose, but
// for statements.
func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(line []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(line), "\n"))
	return len(line), nil
}

// newServer is a PostgreSQL of a test's own, which may be stopped and spoilt.
func newServer(t testing.TB) *pgtest.Server {
	t.Helper()
	server, err := pgtest.Start(t.Context(), pgtest.Options{Settings: map[string]string{"shared_buffers": "32MB"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}
