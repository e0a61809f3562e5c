package packtest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
)

// Main runs the tests of a package, whose databases are copies of one with an empty
// storage of RelStorage 4.2 and relpack installed. TestMain hands its result to os.Exit.
func Main(m *testing.M) int {
	return pgtest.Main(m, func(ctx context.Context, conn *pgx.Conn) error {
		if err := zodbtest.CreateStorage(ctx, conn, zodbtest.V42); err != nil {
			return err
		}
		return zodbtest.Install(ctx, conn)
	})
}
