package look

import (
	"context"
	"fmt"
	"slices"
)

// MaxLooked is how many objects a search for a way looks at.
const MaxLooked = 100_000

// A Way leads from the root to an object.
type Way struct {
	Zoids []int64 // from the root to the object, each refers to the next; nil: none was found
	// Complete is set if all objects from which the object can be reached were
	// looked at: if there is no way then, there is none.
	Complete bool
	Looked   int // objects
}

// Way finds a way from the root to an object, as a person would go: by the objects
// that hold each other, where these say so, and else a short one.
func (g *Graph) Way(ctx context.Context, zoid int64) (Way, error) { return g.way(ctx, zoid, none) }

// WayWithout finds one that doesn't lead through avoid.
func (g *Graph) WayWithout(ctx context.Context, zoid, avoid int64) (Way, error) {
	return g.way(ctx, zoid, avoid)
}

func (g *Graph) way(ctx context.Context, zoid, avoid int64) (Way, error) {
	s := search{Graph: g, avoid: avoid, memo: map[int64]bool{}, came: map[int64]int64{zoid: zoid}}
	way, err := s.up(ctx, zoid)
	if err != nil {
		return way, fmt.Errorf("look for a way from the root to zoid %d: %w", zoid, err)
	}
	if way.Zoids == nil {
		return way, nil
	}
	better, err := g.byHolders(ctx, zoid, avoid)
	if err != nil {
		return way, fmt.Errorf("look for a way from the root to zoid %d: %w", zoid, err)
	}
	if better != nil {
		way.Zoids = better
	}
	return way, nil
}

// search goes up from an object, level by level.
type search struct {
	*Graph
	avoid int64
	memo  map[int64]bool
	came  map[int64]int64 // what each object that was met refers to
}

func (s *search) up(ctx context.Context, zoid int64) (Way, error) {
	if zoid == s.avoid {
		return Way{Complete: true}, nil
	}
	level := []int64{zoid}
	for len(level) > 0 {
		if err := s.climb(ctx, level); err != nil {
			return Way{}, err
		}
		for _, at := range level {
			if s.hangsOnRoot(at, s.avoid, s.memo) {
				return Way{Zoids: s.joined(at, zoid), Complete: true, Looked: len(s.came)}, nil
			}
		}
		var complete bool
		var err error
		if level, complete, err = s.next(ctx, level); err != nil || !complete {
			return Way{Looked: len(s.came)}, err
		}
	}
	return Way{Complete: true, Looked: len(s.came)}, nil
}

// levelObjects is how many objects are looked up at once.
const levelObjects = 5_000

// next are the objects that refer to those of a level and were not met before.
func (s *search) next(ctx context.Context, level []int64) (above []int64, complete bool, err error) {
	for chunk := range slices.Chunk(level, levelObjects) {
		edges, err := s.referrers(ctx, chunk, MaxLooked)
		if err != nil {
			return nil, false, err
		}
		for _, e := range edges {
			if _, met := s.came[e.from]; met || e.from == s.avoid {
				continue
			}
			s.came[e.from] = e.to
			above = append(above, e.from)
		}
		if len(s.came) > MaxLooked || len(edges) >= MaxLooked {
			return nil, false, nil
		}
		s.progress.Add(int64(len(chunk)))
	}
	return above, true, nil
}

// joined goes by the tree to an object that was met, and from there the way that
// the search came.
func (s *search) joined(at, zoid int64) []int64 {
	way := s.chain(at)
	for at != zoid {
		at = s.came[at]
		way = append(way, at)
	}
	return way
}

// Held is how much hangs on one object alone.
type Held struct {
	Objects, Bytes int64 // itself included
	Complete       bool  // false: so much hangs on it in the tree that it was not counted
}

// MaxHeld is how many objects are counted that hang on one: 100 MiB of memory.
const MaxHeld = 1_000_000

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
	held := Held{Complete: true}
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
				LIMIT $2`, chunk, MaxHeld)
			if err != nil {
				return nil, err
			}
			at, err := scanPairs(rows, func(child int64, size int32) {
				if _, met := below[child]; !met {
					below[child] = size
					next = append(next, child)
				}
			})
			if err != nil || len(below) >= MaxHeld {
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
