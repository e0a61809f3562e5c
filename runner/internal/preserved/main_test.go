package preserved

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
)

// Every test's database is a copy of one with an empty history-preserving storage of
// RelStorage 4.2 and relpack installed. Those of an older release are made anew.
func TestMain(m *testing.M) {
	os.Exit(pgtest.Main(m, func(ctx context.Context, conn *pgx.Conn) error {
		if err := zodbtest.CreateHistory(ctx, conn, zodbtest.V42); err != nil {
			return err
		}
		return zodbtest.Install(ctx, conn)
	}))
}
