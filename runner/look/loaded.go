package look

import (
	"context"
	"fmt"
	"slices"

	"relpack/runner/record"
)

// maxLoaded is how many objects are taken for what a client loads of them, in the search
// for a way.
const maxLoaded = 50

// byLoaded finds a way of a history-preserving storage that a client can go, if a few more
// searches find one: of each object on a way that has the next one in old revisions alone,
// only what a client loads counts then. Otherwise the way stays.
func (g *Graph) byLoaded(ctx context.Context, zoid, avoid int64, way Way) (Way, error) {
	alive := g.alive // whatever refers to an object
	g.alive, g.visible = map[int64]bool{}, map[int64][]int64{}
	defer func() { g.alive, g.visible = alive, nil }()
	looked := way.Looked
	for found := way; ; looked += found.Looked {
		holder, err := g.oldHolder(ctx, found.Zoids)
		if err != nil {
			return way, err
		}
		if holder == none {
			found.Looked = looked
			return found, nil
		}
		if _, again := g.visible[holder]; again || len(g.visible) == maxLoaded || looked > g.limits.Looked {
			return way, nil
		}
		if err := g.readLoaded(ctx, holder); err != nil {
			return way, err
		}
		if found, err = g.shortOrHeld(ctx, zoid, avoid); err != nil || found.Zoids == nil {
			return way, err
		}
	}
}

// oldHolder is the first object on a way that has the next one in old revisions alone.
func (g *Graph) oldHolder(ctx context.Context, way []int64) (int64, error) {
	if len(way) > maxNamed {
		return none, nil
	}
	for i := range len(way) - 1 {
		name, err := g.NameOf(ctx, way[i], way[i+1])
		if err != nil {
			return none, err
		}
		if name.Old {
			return way[i], nil
		}
	}
	return none, nil
}

// readLoaded reads what a client finds in an object.
func (g *Graph) readLoaded(ctx context.Context, zoid int64) error {
	g.visible[zoid] = []int64{}
	states := record.NewReader(nil, func(_ context.Context, _ record.Row, found record.Decoded) error {
		refs := slices.Clone(found.Refs)
		slices.Sort(refs)
		g.visible[zoid] = refs
		return nil
	})
	if err := states.Query(ctx, g.conn, fmt.Sprintf(`SELECT loaded.zoid, loaded.tid, loaded.state
		FROM public.current_object AS named
		CROSS JOIN LATERAL (
		    SELECT stored.zoid, stored.tid, stored.state
		    FROM relpack.stored()
		    WHERE stored.zoid = named.zoid AND stored.tid BETWEEN named.tid AND named.tid
		    OFFSET 0
		) AS loaded
		WHERE named.zoid = %d`, zoid)); err != nil {
		return fmt.Errorf("read the current revision of object %d: %w", zoid, err)
	}
	return nil
}

// left tells whether what a client loads of an object refers to another no more, as far as
// that counts.
func (g *Graph) left(from, to int64) bool {
	refs, read := g.visible[from]
	if !read {
		return false
	}
	_, found := slices.BinarySearch(refs, to)
	return !found
}
