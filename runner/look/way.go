package look

import (
	"context"
	"fmt"
	"slices"
)

// A Way leads from the root to an object.
type Way struct {
	Zoids []int64 // from the root to the object, each refers to the next; nil: none was found
	// Complete is set if all objects from which the object can be reached were
	// looked at: if there is no way then, there is none.
	Complete bool
	Looked   int // objects
}

// Way finds a way from the root to an object, as a person would go: by the objects
// that hold each other, where these say so, and else a short one. In a history-preserving
// storage one that a client can go is better than one by old revisions.
func (g *Graph) Way(ctx context.Context, zoid int64) (Way, error) { return g.way(ctx, zoid, none) }

// WayWithout finds one that doesn't lead through avoid.
func (g *Graph) WayWithout(ctx context.Context, zoid, avoid int64) (Way, error) {
	return g.way(ctx, zoid, avoid)
}

func (g *Graph) way(ctx context.Context, zoid, avoid int64) (Way, error) {
	way, err := g.shortOrHeld(ctx, zoid, avoid)
	if err == nil && way.Zoids != nil && g.fresh.history {
		way, err = g.byLoaded(ctx, zoid, avoid, way)
	}
	return way, err
}

// shortOrHeld goes by the objects that hold each other, or a short way.
func (g *Graph) shortOrHeld(ctx context.Context, zoid, avoid int64) (Way, error) {
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
		edges, all, err := s.referrers(ctx, chunk, s.limits.Looked)
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
		if len(s.came) > s.limits.Looked || !all {
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
