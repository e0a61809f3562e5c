package inventory

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"relpack/runner/figures"
	"relpack/runner/session"
)

// A Leftover is a table that another packer left filled.
type Leftover struct {
	Owner  string `json:"owner"`
	Table  string `json:"table"`
	Bytes  int64  `json:"bytes"`
	Remedy string `json:"remedy"`
}

// String is for people.
func (l Leftover) String() string {
	return fmt.Sprintf("%s of %s takes %s; if that tool is not running: %s", l.Table, l.Owner, figures.Size(l.Bytes), l.Remedy)
}

// ReadLeftovers reads those of more than so many bytes.
func ReadLeftovers(ctx context.Context, db session.Querier, bytes int64) ([]Leftover, error) {
	found, err := session.Rows(ctx, db, pgx.RowToStructByPos[Leftover],
		"SELECT owner, table_name, bytes, remedy FROM relpack.leftover WHERE bytes > $1", bytes)
	if err != nil {
		return nil, fmt.Errorf("read relpack.leftover: %w", err)
	}
	return found, nil
}
