package look

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Lost is an object that is not stored, and that live ones refer to.
type Lost struct {
	Zoid    int64
	Class   string     // as last read; "" where relpack never read it
	Since   *time.Time // a pack found that its row had vanished; nil: relpack never saw the row, or not yet that it is gone
	Holders int64      // live objects that refer to it
	Some    []int64    // of them
}

// How many objects are looked up at once, and how many holders of each are looked
// at one by one.
const (
	lostChunk   = 1_000
	someHolders = 25
)

// EachLost hands on what live objects refer to and is not stored.
func (g *Graph) EachLost(ctx context.Context, each func(Lost) error) error {
	for after := int64(-1); ; {
		rows, err := g.tx.Query(ctx, `
			SELECT zoid FROM (
			    (SELECT zoid FROM relpack.dangling WHERE zoid > $1 ORDER BY zoid LIMIT $2)
			    UNION
			    (SELECT zoid FROM relpack.missing WHERE zoid > $1 ORDER BY zoid LIMIT $2)
			) AS lost
			ORDER BY zoid
			LIMIT $2`, after, lostChunk)
		if err != nil {
			return fmt.Errorf("look for references to what is not stored: %w", err)
		}
		zoids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return fmt.Errorf("look for references to what is not stored: %w", err)
		}
		if len(zoids) == 0 {
			return g.eachFreshLost(ctx, each)
		}
		after = zoids[len(zoids)-1]
		if err := g.lost(ctx, zoids, each); err != nil {
			return fmt.Errorf("look for references to what is not stored: %w", err)
		}
	}
}

// eachFreshLost hands on what nobody missed at the last pack.
func (g *Graph) eachFreshLost(ctx context.Context, each func(Lost) error) error {
	targets := slices.Clone(g.fresh.gone)
	for to := range g.fresh.by {
		targets = append(targets, to)
	}
	slices.Sort(targets)
	for chunk := range slices.Chunk(slices.Compact(targets), lostChunk) {
		rows, err := g.tx.Query(ctx, `
			SELECT target.zoid
			FROM unnest($1::bigint[]) AS target (zoid)
			WHERE NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = target.zoid OFFSET 0)
			  AND NOT EXISTS (SELECT FROM relpack.dangling WHERE dangling.zoid = target.zoid OFFSET 0)
			  AND NOT EXISTS (SELECT FROM relpack.missing WHERE missing.zoid = target.zoid OFFSET 0)`, chunk)
		if err != nil {
			return err
		}
		zoids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return err
		}
		if err := g.lost(ctx, zoids, each); err != nil {
			return fmt.Errorf("look for references to what is not stored: %w", err)
		}
	}
	return nil
}

// lost hands on those of some objects that are not stored, and that live ones refer
// to.
func (g *Graph) lost(ctx context.Context, zoids []int64, each func(Lost) error) error {
	attached, err := g.attached(ctx)
	if err != nil {
		return err
	}
	rows, err := g.tx.Query(ctx, `
		SELECT lost.zoid, coalesce(nullif(class.label, '(unknown)'), ''), missing.since, holder.count, holder.some
		FROM unnest($1::bigint[]) WITH ORDINALITY AS lost (zoid, place)
		LEFT JOIN relpack.missing ON missing.zoid = lost.zoid
		LEFT JOIN relpack.object ON object.zoid = lost.zoid
		LEFT JOIN relpack.class ON class.id = object.class
		CROSS JOIN LATERAL (
		    SELECT count(*) AS count,
		           coalesce(array_agg(live.inref) FILTER (WHERE live.place <= $2), '{}') AS some
		    FROM (
		        SELECT edge.inref, row_number() OVER () AS place
		        FROM (
		            SELECT object_inref.inref
		            FROM relpack.object_inref
		            WHERE object_inref.zoid = lost.zoid
		            ORDER BY object_inref.inref
		        ) AS edge
		        CROSS JOIN LATERAL (
		            SELECT
		            FROM relpack.object
		            WHERE object.zoid = edge.inref AND (object.parent IS NOT NULL OR object.zoid = ANY ($3::bigint[]))
		            OFFSET 0
		        ) AS alive
		        WHERE NOT EXISTS (SELECT FROM relpack.missing AS other WHERE other.zoid = edge.inref)
		    ) AS live
		) AS holder
		WHERE NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = lost.zoid)
		ORDER BY lost.place`, zoids, someHolders, attached)
	if err != nil {
		return err
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (l Lost, err error) {
		err = row.Scan(&l.Zoid, &l.Class, &l.Since, &l.Holders, &l.Some)
		return l, err
	})
	if err != nil {
		return err
	}
	alive, err := g.aliveHolders(ctx, found)
	if err != nil {
		return err
	}
	for _, l := range found {
		if g.Fresh > 0 {
			l.Some = slices.DeleteFunc(g.holders(l), func(zoid int64) bool { return !alive[zoid] })
			if l.Holders <= someHolders {
				l.Holders = int64(len(l.Some))
			} else if len(l.Some) == 0 {
				if l.Some, err = g.firstHolders(ctx, l.Zoid); err != nil {
					return err
				}
			}
		}
		if l.Holders == 0 || g.Fresh > 0 && len(l.Some) == 0 {
			continue
		}
		if err := each(l); err != nil {
			return err
		}
	}
	return nil
}

// holders are the objects that refer to a lost one now.
func (g *Graph) holders(l Lost) []int64 {
	all := append(slices.DeleteFunc(slices.Clone(l.Some), g.fresh.has), g.fresh.by[l.Zoid]...)
	slices.Sort(all)
	return slices.Compact(all)
}

// firstHolders are live holders of a lost object that has many, none of the first of
// which is.
func (g *Graph) firstHolders(ctx context.Context, zoid int64) (some []int64, err error) {
	for after := int64(-1); ; {
		rows, err := g.tx.Query(ctx, "SELECT inref FROM relpack.object_inref WHERE zoid = $1 AND inref > $2 ORDER BY inref LIMIT $3", zoid, after, lostChunk)
		if err != nil {
			return nil, err
		}
		holders, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil || len(holders) == 0 {
			return nil, err
		}
		after = holders[len(holders)-1]
		objects, err := g.Objects(ctx, slices.DeleteFunc(holders, g.fresh.has))
		if err != nil {
			return nil, err
		}
		alive, err := g.areAlive(ctx, objects)
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			if alive[o.Zoid] && len(some) < someHolders {
				some = append(some, o.Zoid)
			}
		}
		if len(some) > 0 {
			return some, nil
		}
	}
}

// aliveHolders are those that are alive now: what was written since the last pack may
// have cut them off, or attached them again.
func (g *Graph) aliveHolders(ctx context.Context, lost []Lost) (map[int64]bool, error) {
	if g.Fresh == 0 {
		return nil, nil
	}
	var zoids []int64
	for _, l := range lost {
		zoids = append(zoids, g.holders(l)...)
	}
	slices.Sort(zoids)
	objects, err := g.Objects(ctx, slices.Compact(zoids))
	if err != nil {
		return nil, err
	}
	return g.areAlive(ctx, objects)
}
