package look

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// A Foreign counts references of live objects to another database.
type Foreign struct {
	Database   string
	References int64
	First      int64 // an object that has one
}

// Foreigns counts references to other databases, as they were at the last pack.
func (g *Graph) Foreigns(ctx context.Context) ([]Foreign, error) {
	attached, err := g.attached(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := g.tx.Query(ctx, `
		SELECT database, count(*), min(inref)
		FROM relpack.foreign_reference
		JOIN relpack.object ON object.zoid = foreign_reference.inref
		WHERE foreign_reference.zoid >= 0 AND (object.parent IS NOT NULL OR object.zoid = ANY ($1::bigint[]))
		GROUP BY database
		ORDER BY database`, attached)
	if err != nil {
		return nil, fmt.Errorf("count references to other databases: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Foreign])
}
