package look

import (
	"context"
	"fmt"
)

// maxParents bounds the parents that are kept: 64 MiB.
const maxParents = 1_000_000

// climb reads the parents of objects, and of these, up to the root.
func (g *Graph) climb(ctx context.Context, zoids []int64) error {
	if len(g.parents) > maxParents {
		clear(g.parents)
		clear(g.alive)
		clear(g.unreachable)
	}
	var unknown []int64
	for _, zoid := range zoids {
		if _, known := g.parents[zoid]; !known {
			unknown = append(unknown, zoid)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	// Where chains meet, UNION goes on with one.
	rows, err := g.tx.Query(ctx, `
		WITH RECURSIVE way (zoid, parent) AS (
		    SELECT object.zoid, object.parent
		    FROM unnest($1::bigint[]) AS start (zoid)
		    CROSS JOIN LATERAL (SELECT zoid, parent FROM relpack.object WHERE object.zoid = start.zoid OFFSET 0) AS object
		    UNION
		    SELECT object.zoid, object.parent
		    FROM way
		    CROSS JOIN LATERAL (SELECT zoid, parent FROM relpack.object WHERE object.zoid = way.parent OFFSET 0) AS object
		)
		SELECT zoid, coalesce(parent, -1)
		FROM way
		LIMIT $2`, unknown, maxParents)
	if err != nil {
		return fmt.Errorf("read the parents of objects: %w", err)
	}
	found, err := scanPairs(rows, func(zoid, parent int64) { g.parents[zoid] = parent })
	if err != nil {
		return fmt.Errorf("read the parents of objects: %w", err)
	}
	for _, zoid := range unknown {
		if _, known := g.parents[zoid]; !known && found < maxParents {
			g.parents[zoid] = none // the graph doesn't have it
		}
	}
	return nil
}

// none is no object to avoid.
const none = -1

// hangsOnRoot tells whether the parents of an object, as recorded and still so,
// lead to the root without meeting one to avoid. climb was called for it; memo is
// of those that avoid the same.
func (g *Graph) hangsOnRoot(zoid, avoid int64, memo map[int64]bool) bool {
	var met []int64
	hangs := false
	for at := zoid; ; {
		if known, ok := memo[at]; ok {
			hangs = known
			break
		}
		if at == avoid {
			break
		}
		met = append(met, at)
		if at == 0 {
			hangs = true
			break
		}
		parent, known := g.parents[at]
		if !known || parent < 0 || !g.holds(parent, at) || len(met) > maxParents {
			break
		}
		at = parent
	}
	for _, at := range met {
		memo[at] = hangs
	}
	return hangs
}

// chain are the parents of an object from the root down to itself.
func (g *Graph) chain(zoid int64) []int64 {
	chain := []int64{zoid}
	for at := zoid; at != 0; {
		at = g.parents[at]
		chain = append(chain, at)
	}
	for i, j := 0, len(chain)-1; i < j; i, j = i+1, j-1 {
		chain[i], chain[j] = chain[j], chain[i]
	}
	return chain
}
