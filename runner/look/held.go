package look

import (
	"context"
	"fmt"
	"slices"
)

// Held is how much hangs on one object alone.
type Held struct {
	Objects, Bytes int64 // itself included
	Own            int64 // bytes of itself among these
	Complete       bool  // false: so much hangs on it in the tree that it was not counted
}

// HeldBy counts what would be garbage without an object, as of the last pack: what
// hangs on it in the tree, less what other objects refer to, and what hangs on
// that.
func (g *Graph) HeldBy(ctx context.Context, zoid int64) (Held, error) {
	g.progress.Phase(fmt.Sprintf("count what hangs on zoid %d", zoid), "objects", 0)
	defer g.progress.End()
	below, err := g.below(ctx, zoid)
	if err != nil || below == nil {
		return Held{}, err
	}
	saved, err := g.savedFrom(ctx, zoid, below)
	if err != nil {
		return Held{}, err
	}
	held := Held{Complete: true, Own: int64(below[zoid])}
	for at, size := range below {
		if !saved[at] {
			held.Objects++
			held.Bytes += int64(size)
		}
	}
	return held, nil
}

// below are the objects whose parents lead to one, itself included, with their
// sizes; nil if there are too many.
func (g *Graph) below(ctx context.Context, zoid int64) (map[int64]int32, error) {
	below := map[int64]int32{}
	level := []int64{zoid}
	var size int32
	if err := g.tx.QueryRow(ctx, "SELECT coalesce((SELECT size FROM relpack.object WHERE zoid = $1), 0)", zoid).Scan(&size); err != nil {
		return nil, err
	}
	below[zoid] = size
	for len(level) > 0 {
		var next []int64
		for chunk := range slices.Chunk(level, levelObjects) {
			rows, err := g.tx.Query(ctx, `
				SELECT child.zoid, child.size
				FROM unnest($1::bigint[]) AS holder (zoid)
				CROSS JOIN LATERAL (
				    SELECT object_inref.zoid
				    FROM relpack.object_inref
				    WHERE object_inref.inref = holder.zoid
				    OFFSET 0
				) AS edge
				CROSS JOIN LATERAL (
				    SELECT object.zoid, object.size
				    FROM relpack.object
				    WHERE object.zoid = edge.zoid AND object.parent = holder.zoid AND object.zoid <> 0
				    OFFSET 0
				) AS child
				LIMIT $2`, chunk, g.limits.Held)
			if err != nil {
				return nil, err
			}
			at, err := scanPairs(rows, func(child int64, size int32) {
				if _, met := below[child]; !met {
					below[child] = size
					next = append(next, child)
				}
			})
			if err != nil || len(below) >= g.limits.Held {
				return nil, err
			}
			g.progress.Add(at)
		}
		level = next
	}
	return below, nil
}

// savedFrom are those of the objects below one that stay alive without it: live
// objects elsewhere refer to them, or others that are saved.
func (g *Graph) savedFrom(ctx context.Context, zoid int64, below map[int64]int32) (map[int64]bool, error) {
	saved := map[int64]bool{}
	var level []int64
	all := make([]int64, 0, len(below))
	for at := range below {
		if at != zoid {
			all = append(all, at)
		}
	}
	slices.Sort(all)
	for chunk := range slices.Chunk(all, levelObjects) {
		rows, err := g.tx.Query(ctx, `
			SELECT held.zoid, edge.inref
			FROM unnest($1::bigint[]) AS held (zoid)
			CROSS JOIN LATERAL (
			    SELECT object_inref.inref
			    FROM relpack.object_inref
			    WHERE object_inref.zoid = held.zoid
			    OFFSET 0
			) AS edge
			CROSS JOIN LATERAL (
			    SELECT FROM relpack.object WHERE object.zoid = edge.inref AND object.parent IS NOT NULL OFFSET 0
			) AS live`, chunk)
		if err != nil {
			return nil, err
		}
		if _, err := scanPairs(rows, func(held, from int64) {
			if _, inside := below[from]; !inside && !saved[held] {
				saved[held] = true
				level = append(level, held)
			}
		}); err != nil {
			return nil, err
		}
		g.progress.Add(int64(len(chunk)))
	}
	for len(level) > 0 {
		var next []int64
		for chunk := range slices.Chunk(level, levelObjects) {
			rows, err := g.tx.Query(ctx, `
				SELECT object_inref.inref, object_inref.zoid
				FROM unnest($1::bigint[]) AS holder (zoid)
				CROSS JOIN LATERAL (
				    SELECT object_inref.inref, object_inref.zoid
				    FROM relpack.object_inref
				    WHERE object_inref.inref = holder.zoid
				    OFFSET 0
				) AS object_inref`, chunk)
			if err != nil {
				return nil, err
			}
			if _, err := scanPairs(rows, func(_, to int64) {
				if _, inside := below[to]; inside && to != zoid && !saved[to] {
					saved[to] = true
					next = append(next, to)
				}
			}); err != nil {
				return nil, err
			}
		}
		level = next
	}
	return saved, nil
}
