package look

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// ReferrersOf counts the objects that refer to one, and lists some, those first that
// hold it. The graph's are counted as of the last pack.
func (g *Graph) ReferrersOf(ctx context.Context, zoid int64, most int) (count int64, some []int64, err error) {
	if err := g.tx.QueryRow(ctx, "SELECT count(*) FROM relpack.object_inref WHERE zoid = $1", zoid).Scan(&count); err != nil {
		return 0, nil, fmt.Errorf("count the referrers of zoid %d: %w", zoid, err)
	}
	edges, _, err := g.referrers(ctx, []int64{zoid}, NamedReferrers+len(g.fresh.by[zoid]))
	if err != nil {
		return 0, nil, fmt.Errorf("list the referrers of zoid %d: %w", zoid, err)
	}
	for _, e := range edges {
		some = append(some, e.from)
	}
	slices.Sort(some)
	some = slices.Compact(some)
	// Where all were listed, that is what is so now.
	if len(some) < NamedReferrers {
		count = int64(len(some))
	}
	some = some[:min(len(some), NamedReferrers)]
	rank := map[int64]int{}
	for _, from := range some {
		name, err := g.NameOf(ctx, from, zoid)
		if err != nil {
			return 0, nil, err
		}
		switch {
		case name.Inner:
			rank[from] = 1
		case name.Places == 0:
			rank[from] = 2
		case name.Up:
			rank[from] = 3
		}
	}
	slices.SortStableFunc(some, func(a, b int64) int { return rank[a] - rank[b] })
	return count, some[:min(len(some), most)], nil
}

// NamedReferrers is of how many referrers [Graph.ReferrersOf] chooses the best.
const NamedReferrers = 25

// HangsWith is what relpack.hangs_with says.
type HangsWith struct {
	Objects, Bytes int64
	DeletableAfter *time.Time
	Complete       bool
	SetAside       string // why the object can't be deleted; "" if it can
}

// HangsWith tells from which unreachable objects one can be reached.
func (g *Graph) HangsWith(ctx context.Context, zoid int64) (HangsWith, error) {
	var w HangsWith
	if err := g.tx.QueryRow(ctx, `
		SELECT objects, bytes, deletable_after, complete,
		       coalesce((SELECT reason || '. ' || remedy FROM relpack.set_aside WHERE set_aside.zoid = $1), '')
		FROM relpack.hangs_with($1, $2)`, zoid, g.limits.Looked).
		Scan(&w.Objects, &w.Bytes, &w.DeletableAfter, &w.Complete, &w.SetAside); err != nil {
		return w, fmt.Errorf("look what zoid %d hangs with: %w", zoid, err)
	}
	return w, nil
}

// ChainOfGarbage leads to an unreachable object from the one that it hangs on: first
// up by the objects that hold each other, else by any that refer to it. from is the
// live object that held the first of them, where that says so.
func (g *Graph) ChainOfGarbage(ctx context.Context, zoid int64) (chain []int64, from *int64, err error) {
	chain = []int64{zoid}
	for len(chain) < maxHolders {
		at := chain[len(chain)-1]
		holder, named, err := g.namedHolder(ctx, at)
		if err != nil {
			return nil, nil, err
		}
		var part []int64
		if named {
			if err := g.climb(ctx, []int64{holder}); err != nil {
				return nil, nil, err
			}
			if g.hangsOnRoot(holder, none, g.alive) {
				from = &holder
				break
			}
			if part, err = g.within(ctx, holder, at); err != nil {
				return nil, nil, err
			}
		}
		if part == nil {
			if part, err = g.holderOfGarbage(ctx, at); err != nil {
				return nil, nil, err
			}
		}
		if part == nil || slices.ContainsFunc(part, func(step int64) bool { return slices.Contains(chain, step) }) {
			break
		}
		chain = append(chain, part...)
	}
	slices.Reverse(chain)
	return chain, from, nil
}

// holderOfGarbage is an object that holds another and does not only name it as its
// own holder; nil: there is none among the first.
func (g *Graph) holderOfGarbage(ctx context.Context, zoid int64) ([]int64, error) {
	_, some, err := g.ReferrersOf(ctx, zoid, 1)
	if err != nil || len(some) == 0 {
		return nil, err
	}
	if name, err := g.NameOf(ctx, some[0], zoid); err != nil || name.Up {
		return nil, err
	}
	return some, nil
}
