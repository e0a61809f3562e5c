package look

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

// IsAlive tells whether an object is stored and a way leads to it.
func (g *Graph) IsAlive(ctx context.Context, zoid int64) (bool, error) {
	objects, err := g.Objects(ctx, []int64{zoid})
	if err != nil {
		return false, err
	}
	alive, err := g.areAlive(ctx, objects)
	return alive[zoid], err
}

// areAlive tells which objects are. Where that takes longer than an answer may, it says
// so in Uncertain.
func (g *Graph) areAlive(ctx context.Context, objects []Object) (map[int64]bool, error) {
	verdicts, err := g.Judge(ctx, objects)
	if err != nil {
		return nil, err
	}
	if slices.Contains(verdicts, Unknown) {
		if err := g.flow(ctx); err != nil {
			return nil, err
		}
	}
	alive := map[int64]bool{}
	for i, o := range objects {
		switch {
		case verdicts[i] != Unknown:
			alive[o.Zoid] = verdicts[i] == Alive
			continue
		case g.alive[o.Zoid] || g.fresh.attached[o.Zoid]:
			alive[o.Zoid] = true
			continue
		case g.unreachable[o.Zoid]:
			continue
		}
		s := search{Graph: g, avoid: none, memo: map[int64]bool{}, came: map[int64]int64{o.Zoid: o.Zoid}}
		way, err := s.up(ctx, o.Zoid)
		if err != nil {
			return nil, fmt.Errorf("look for a way from the root to zoid %d: %w", o.Zoid, err)
		}
		alive[o.Zoid] = way.Zoids != nil
		for _, zoid := range way.Zoids {
			g.alive[zoid] = true
		}
		switch {
		case !way.Complete && g.Uncertain == "":
			g.Uncertain = fmt.Sprintf("whether zoid %d is alive was not found out within %d objects", o.Zoid, g.limits.Looked) + g.first()
		case way.Complete && way.Zoids == nil:
			for zoid := range s.came {
				g.unreachable[zoid] = true
			}
		}
	}
	return alive, nil
}

// flow finds what was written since the last pack and hangs on a live object that was
// written as well, and what only such objects refer to that are not alive: of many no way
// is looked for one by one.
func (g *Graph) flow(ctx context.Context) error {
	if g.fresh.flowed {
		return nil
	}
	g.fresh.flowed = true
	written := slices.Sorted(maps.Keys(g.fresh.refs))
	if err := g.climb(ctx, written); err != nil {
		return err
	}
	var alive, rest []int64
	for _, zoid := range written {
		if g.hangsOnRoot(zoid, none, g.alive) {
			alive = append(alive, zoid)
		}
	}
	g.flowFrom(alive)
	for _, zoid := range written {
		if !g.alive[zoid] {
			rest = append(rest, zoid)
		}
	}
	others, err := g.heldByOthers(ctx, rest)
	if err != nil {
		return err
	}
	// What others refer to may be alive, and what hangs on that.
	open := map[int64]bool{}
	for len(others) > 0 {
		at := others[len(others)-1]
		others = others[:len(others)-1]
		if open[at] {
			continue
		}
		open[at] = true
		for _, to := range g.fresh.refs[at] {
			if _, fresh := g.fresh.refs[to]; fresh && !g.alive[to] && !open[to] {
				others = append(others, to)
			}
		}
	}
	for _, zoid := range rest {
		if !open[zoid] {
			g.unreachable[zoid] = true
		}
	}
	return nil
}

// flowFrom marks as alive what live objects refer to that were written, and so on.
func (g *Graph) flowFrom(alive []int64) {
	for len(alive) > 0 {
		at := alive[len(alive)-1]
		alive = alive[:len(alive)-1]
		for _, to := range g.fresh.refs[at] {
			if _, fresh := g.fresh.refs[to]; fresh && !g.alive[to] {
				g.alive[to] = true
				alive = append(alive, to)
			}
		}
	}
}

// heldByOthers are those of some objects to which objects refer that were not written
// since the last pack, or which have more referrers than are looked at.
func (g *Graph) heldByOthers(ctx context.Context, zoids []int64) (held []int64, err error) {
	for chunk := range slices.Chunk(zoids, levelObjects) {
		rows, err := g.tx.Query(ctx, `
			SELECT target.zoid, edge.inref
			FROM unnest($1::bigint[]) AS target (zoid)
			CROSS JOIN LATERAL (SELECT object_inref.inref FROM relpack.object_inref WHERE object_inref.zoid = target.zoid LIMIT $2) AS edge`,
			chunk, someHolders)
		if err != nil {
			return nil, err
		}
		count := map[int64]int{}
		if _, err := scanPairs(rows, func(zoid, from int64) {
			if !g.fresh.has(from) {
				count[zoid] = someHolders
			}
			count[zoid]++
		}); err != nil {
			return nil, err
		}
		for zoid, n := range count {
			if n >= someHolders {
				held = append(held, zoid)
			}
		}
	}
	return held, nil
}

// stillAlive tells which of the objects that the graph calls alive, or that were attached
// again, are alive now.
func (g *Graph) stillAlive(ctx context.Context, zoids []int64) (map[int64]bool, error) {
	if g.Fresh == 0 {
		alive := map[int64]bool{}
		for _, zoid := range zoids {
			alive[zoid] = true
		}
		return alive, nil
	}
	objects, err := g.Objects(ctx, zoids)
	if err != nil {
		return nil, err
	}
	return g.areAlive(ctx, objects)
}

// attached is what the graph calls unreachable, and is alive: what was written since the
// last pack refers to it, or it hangs on that. What was written itself is not among it.
func (g *Graph) attached(ctx context.Context) ([]int64, error) {
	if g.fresh.attached == nil {
		found, err := g.findAttached(ctx)
		if err != nil {
			return nil, fmt.Errorf("look for garbage that was attached again: %w", err)
		}
		g.fresh.attached = found
	}
	return slices.AppendSeq([]int64{}, maps.Keys(g.fresh.attached)), nil
}

func (g *Graph) findAttached(ctx context.Context) (map[int64]bool, error) {
	found := map[int64]bool{}
	add := func(zoids []int64) (added []int64) {
		for _, zoid := range zoids {
			if !found[zoid] && !g.fresh.has(zoid) && len(found) < g.limits.Looked {
				found[zoid] = true
				added = append(added, zoid)
			}
		}
		return added
	}
	level, err := g.attachedHeads(ctx)
	if err != nil {
		return nil, err
	}
	full := false
	for level = add(level); len(level) > 0; {
		var below []int64
		for chunk := range slices.Chunk(level, levelObjects) {
			rows, err := g.tx.Query(ctx, `
				SELECT DISTINCT edge.zoid
				FROM unnest($1::bigint[]) AS holder (zoid)
				CROSS JOIN LATERAL (SELECT object_inref.zoid FROM relpack.object_inref WHERE object_inref.inref = holder.zoid OFFSET 0) AS edge
				CROSS JOIN LATERAL (SELECT FROM relpack.object WHERE object.zoid = edge.zoid AND object.parent IS NULL OFFSET 0) AS dead
				LIMIT $2`, chunk, g.limits.Looked)
			if err != nil {
				return nil, err
			}
			zoids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
			if err != nil {
				return nil, err
			}
			full = full || len(zoids) >= g.limits.Looked
			below = append(below, add(zoids)...)
		}
		level = below
	}
	if full || len(found) >= g.limits.Looked {
		g.Uncertain = fmt.Sprintf("more was attached again since the last pack than is looked at for an answer (%d objects)", g.limits.Looked) + g.first()
	}
	return found, nil
}

// attachedHeads is what the graph calls unreachable, and a live object that was written
// since refers to.
func (g *Graph) attachedHeads(ctx context.Context) (heads []int64, err error) {
	var holders []int64
	for _, zoid := range g.fresh.dead {
		holders = append(holders, g.fresh.by[zoid]...)
	}
	slices.Sort(holders)
	holders = slices.Compact(holders)
	live := map[int64]bool{}
	for chunk := range slices.Chunk(holders, lostChunk) {
		objects, err := g.Objects(ctx, chunk)
		if err != nil {
			return nil, err
		}
		alive, err := g.areAlive(ctx, objects)
		if err != nil {
			return nil, err
		}
		maps.Copy(live, alive)
	}
	for _, zoid := range g.fresh.dead {
		if slices.ContainsFunc(g.fresh.by[zoid], func(holder int64) bool { return live[holder] }) {
			heads = append(heads, zoid)
		}
	}
	return heads, nil
}
