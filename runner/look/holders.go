package look

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"relpack/runner/naming"
	"relpack/runner/pickle/tree"
)

// scanPairs reads rows of two columns and returns how many there were.
func scanPairs[A, B any](rows pgx.Rows, each func(A, B)) (n int64, err error) {
	var a A
	var b B
	_, err = pgx.ForEachRow(rows, []any{&a, &b}, func() error {
		n++
		each(a, b)
		return nil
	})
	return n, err
}

// maxHolders is how many objects may hold each other on a way.
const maxHolders = 100

// byHolders finds a way along the objects that say themselves who holds them
// (__parent__): the folders that a person goes through, not the catalog that has
// each document a few references away from the root. nil: there is none.
func (g *Graph) byHolders(ctx context.Context, zoid, avoid int64) ([]int64, error) {
	way := []int64{zoid} // from the object up
	for at := zoid; at != 0; at = way[len(way)-1] {
		if len(way) > 10*maxHolders {
			return nil, nil
		}
		part, err := g.heldBy(ctx, at)
		if err != nil {
			return nil, err
		}
		if part == nil {
			parent, known := g.parents[at]
			if !known || parent < 0 || !g.holds(parent, at) {
				return nil, nil
			}
			part = []int64{parent}
		}
		for _, step := range part {
			if step == avoid || slices.Contains(way, step) {
				return nil, nil
			}
			way = append(way, step)
		}
	}
	slices.Reverse(way)
	return way, nil
}

// heldBy goes from an object up to the live one that its __parent__ names; nil: there
// is none, or it holds the object in no way that could be found.
func (g *Graph) heldBy(ctx context.Context, zoid int64) ([]int64, error) {
	holder, named, err := g.namedHolder(ctx, zoid)
	if err != nil || !named {
		return nil, err
	}
	if err := g.climb(ctx, []int64{holder}); err != nil || !g.hangsOnRoot(holder, none, g.alive) {
		return nil, err
	}
	return g.within(ctx, holder, zoid)
}

// namedHolder is the object that the __parent__ of another names.
func (g *Graph) namedHolder(ctx context.Context, zoid int64) (holder int64, named bool, err error) {
	r, err := g.Record(ctx, zoid)
	if err != nil {
		return 0, false, err
	}
	n := naming.Attribute(r.Record, "__parent__")
	if n == nil || n.Kind != tree.Ref || n.Int == zoid {
		return 0, false, nil
	}
	return n.Int, true, nil
}

// within goes from an object up to its holder, through containers only.
func (g *Graph) within(ctx context.Context, holder, zoid int64) ([]int64, error) {
	came := map[int64]int64{zoid: zoid}
	for level, depth := []int64{zoid}, 0; len(level) > 0 && depth < holderDepth; depth++ {
		next, err := g.containers(ctx, level, holder, came)
		if err != nil {
			return nil, err
		}
		if _, found := came[holder]; found {
			var up []int64
			for at := holder; at != zoid; at = came[at] {
				up = append(up, at)
			}
			slices.Reverse(up)
			return up, nil
		}
		if level = next; len(came) > holderObjects {
			return nil, nil
		}
	}
	return nil, nil
}

// A holder holds an object in an attribute, or by containers: so many of these
// may lie in each other, and so many are looked at.
const (
	holderDepth   = 12
	holderObjects = 2_000
	holderEdges   = 500 // references to one object that are looked at
)

// containers are what refers to objects and only holds other objects: BTrees,
// mappings, lists; and the holder itself.
func (g *Graph) containers(ctx context.Context, level []int64, holder int64, came map[int64]int64) ([]int64, error) {
	edges, _, err := g.referrers(ctx, level, holderEdges)
	if err != nil {
		return nil, err
	}
	var zoids []int64
	for _, e := range edges {
		if _, met := came[e.from]; met {
			continue
		}
		if e.from == holder {
			came[holder] = e.to
			return nil, nil
		}
		came[e.from] = e.to
		zoids = append(zoids, e.from)
	}
	objects, err := g.Objects(ctx, zoids)
	if err != nil {
		return nil, err
	}
	var next []int64
	for _, o := range objects {
		if naming.IsContainer(o.Class) {
			next = append(next, o.Zoid)
		}
	}
	return next, nil
}
