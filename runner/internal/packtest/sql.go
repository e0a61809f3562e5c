package packtest

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/session"
)

// Run executes SQL, without arguments several statements at once.
func Run(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// Get reads one value.
func Get[T any](t testing.TB, conn *pgx.Conn, sql string, args ...any) T {
	t.Helper()
	var value T
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// Lines reads rows of one text column.
func Lines(t testing.TB, conn *pgx.Conn, query string) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return found
}

// Zoids reads the zoids that a query finds, in order.
func Zoids(t testing.TB, conn *pgx.Conn, sql string) []int64 {
	t.Helper()
	found, err := session.Rows(t.Context(), conn, pgx.RowTo[int64], sql)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found
}

// Catalog is all that somebody created in a database, one object a line.
func Catalog(t testing.TB, conn *pgx.Conn) string {
	t.Helper()
	return Get[string](t, conn, `
		SELECT coalesce(string_agg(entry, E'\n' ORDER BY entry), '')
		FROM (
		    SELECT 'schema ' || nspname || coalesce(' ' || obj_description(oid, 'pg_namespace'), '')
		    FROM pg_namespace
		    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
		    UNION ALL
		    SELECT 'relation ' || oid::regclass
		    FROM pg_class
		    WHERE oid >= 16384 AND relnamespace::regnamespace::text !~ '^pg_'
		    UNION ALL
		    SELECT 'trigger ' || tgname || ' ' || tgrelid::regclass
		    FROM pg_trigger
		    WHERE NOT tgisinternal
		    UNION ALL
		    SELECT 'function ' || oid::regprocedure
		    FROM pg_proc
		    WHERE oid >= 16384
		) AS created (entry)`)
}

// Log writes to the test's log what a user would see with --verbose, but for
// statements.
func Log(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(line []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(line), "\n"))
	return len(line), nil
}
