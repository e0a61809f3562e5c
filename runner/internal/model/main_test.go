package model

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
)

// Every worker's database is a copy of one with an empty storage of RelStorage 4.2
// and relpack installed.
func TestMain(m *testing.M) {
	os.Exit(pgtest.Main(m, func(ctx context.Context, conn *pgx.Conn) error {
		if err := zodbtest.CreateStorage(ctx, conn, zodbtest.V42); err != nil {
			return err
		}
		return zodbtest.Install(ctx, conn)
	}))
}

// run executes SQL, without arguments several statements at once.
func run(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
