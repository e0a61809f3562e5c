package look

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// A Foreign counts references of live objects to another database.
type Foreign struct {
	Database   string
	References int64
	First      int64 // an object that has one
}

// A foreignRef leads from an object to one of another database.
type foreignRef struct {
	from, to int64
	database string
}

// Foreigns counts references to other databases.
func (g *Graph) Foreigns(ctx context.Context) ([]Foreign, error) {
	attached, err := g.attached(ctx)
	if err != nil {
		return nil, err
	}
	var outdated []int64
	for zoid := range g.fresh.refs {
		if g.fresh.has(zoid) {
			outdated = append(outdated, zoid)
		}
	}
	from, to, databases, err := g.freshForeigns(ctx)
	if err != nil {
		return nil, err
	}
	// Of a history, revisions since the last pack may have the same references as those before.
	rows, err := g.tx.Query(ctx, `
		SELECT database, count(*), min(inref)
		FROM (
		    SELECT database, inref
		    FROM relpack.foreign_reference
		    JOIN relpack.object ON object.zoid = foreign_reference.inref
		    WHERE foreign_reference.zoid >= 0 AND (object.parent IS NOT NULL OR object.zoid = ANY ($1::bigint[]))
		      AND object.zoid <> ALL (coalesce($2::bigint[], '{}'))
		    UNION ALL
		    SELECT database, inref
		    FROM (
		        SELECT DISTINCT inref, zoid, database COLLATE "C" AS database
		        FROM unnest($3::bigint[], $4::bigint[], $5::text[]) AS read (inref, zoid, database)
		    ) AS fresh
		    WHERE fresh.inref = ANY ($2)
		       OR NOT EXISTS (
		           SELECT
		           FROM relpack.foreign_reference AS known
		           WHERE known.inref = fresh.inref AND known.database = fresh.database AND known.zoid = fresh.zoid)
		) AS reference
		GROUP BY database
		ORDER BY database`, attached, outdated, from, to, databases)
	if err != nil {
		return nil, fmt.Errorf("count references to other databases: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Foreign])
}

// freshForeigns are those of live objects that were written since the last pack.
func (g *Graph) freshForeigns(ctx context.Context) (from, to []int64, databases []string, err error) {
	for chunk := range slices.Chunk(g.fresh.foreign, lostChunk) {
		var zoids []int64
		for _, ref := range chunk {
			zoids = append(zoids, ref.from)
		}
		alive, err := g.stillAlive(ctx, slices.Compact(zoids))
		if err != nil {
			return nil, nil, nil, err
		}
		for _, ref := range chunk {
			if alive[ref.from] {
				from, to, databases = append(from, ref.from), append(to, ref.to), append(databases, ref.database)
			}
		}
	}
	return from, to, databases, nil
}
