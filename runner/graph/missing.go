package graph

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"relpack/runner/session"
)

// AcceptMissing gives up those of the objects that are missing.
func (p *Packer) AcceptMissing(ctx context.Context, zoids []int64) (accepted bool, err error) {
	if len(zoids) == 0 {
		return false, nil
	}
	given, err := session.Rows(ctx, p.Conn, pgx.RowTo[int64], "SELECT relpack.accept_if_missing($1)", zoids)
	if err != nil {
		return false, fmt.Errorf("accept what is missing: %w", err)
	}
	for _, zoid := range given {
		p.Log.Info(fmt.Sprintf("zoid %d is given up: what only it referred to is garbage now, and its grace begins", zoid))
		p.Accepted = append(p.Accepted, zoid)
	}
	return len(given) > 0, nil
}
