package model

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/session"
)

// Rows that vanish behind relpack's back. As long as a live object refers to
// one, its node stays with the references that relpack read last, and so does
// what hangs on it.

// modelHole is what relpack recorded of an object that is not stored.
type modelHole struct {
	tid    int64
	refs   []int64
	opaque bool
}

// vanishedNodes are the nodes whose rows are gone, given-up ones left out. What
// was recorded of them is what nodes describe, unless a run was abandoned or
// overtaken since: then it was looked up.
func (m *model) vanishedNodes() map[int64]modelHole {
	found := map[int64]modelHole{}
	if m.recorded != nil {
		maps.Copy(found, m.recorded)
	} else {
		for zoid, node := range m.nodes {
			hole, missing := m.holes[zoid]
			if !missing {
				hole = modelHole{node.tid, m.view.refsAmong(zoid, m.named), m.view[zoid].content.kind == "opaque"}
			}
			found[zoid] = hole
		}
	}
	maps.DeleteFunc(found, func(zoid int64, _ modelHole) bool {
		_, stored := m.stored[zoid]
		return stored || m.accepted[zoid]
	})
	return found
}

// reach is what can be reached from the root by what is stored and by what is
// recorded of vanished rows, and which of these.
func (m *model) reach(vanished map[int64]modelHole) (reached map[int64]bool, holes map[int64]modelHole) {
	reached, holes = map[int64]bool{}, map[int64]modelHole{}
	for start := []int64{0}; len(start) > 0; {
		zoid := start[len(start)-1]
		start = start[:len(start)-1]
		if reached[zoid] {
			continue
		}
		if hole, missing := vanished[zoid]; missing {
			reached[zoid], holes[zoid] = true, hole
			start = append(start, hole.refs...)
		} else if _, stored := m.stored[zoid]; stored {
			reached[zoid] = true
			start = append(start, m.stored.refsAmong(zoid, vanished)...)
		}
	}
	return reached, holes
}

// dangling counts what live objects refer to and relpack has no node of.
func (m *model) dangling() int64 {
	missing := map[int64]bool{}
	reached, holes := m.reach(m.holes)
	for zoid := range reached {
		refs := holes[zoid].refs
		if _, stored := m.stored[zoid]; stored {
			refs = m.stored.refsAmong(zoid, m.holes)
		}
		for _, ref := range refs {
			if !reached[ref] {
				missing[ref] = true
			}
		}
	}
	return int64(len(missing))
}

// record takes over what relpack has recorded, where the model can't know.
func (m *model) record(found modelFound) {
	m.recorded = map[int64]modelHole{}
	for i, zoid := range found.recorded {
		m.recorded[zoid] = modelHole{tid: found.recordedTids[i], opaque: slices.Contains(found.opaque, zoid)}
	}
	for i, inref := range found.inrefs {
		if hole, known := m.recorded[inref]; known {
			hole.refs = append(hole.refs, found.refs[i])
			m.recorded[inref] = hole
		}
	}
	m.accepted = modelSet(found.accepted)
}

// recordAgain: of what an abandoned run had recorded that leaves which had vanished
// and which nothing live refers to, before the next run reads anything. In a graph
// that is doubted it stays.
func (h *modelHistory) recordAgain(ctx context.Context) error {
	if h.recorded == nil || h.building {
		return nil
	}
	found, err := h.w.look(ctx)
	if err != nil {
		return err
	}
	left := modelSet(found.recorded)
	if !h.dirty && !h.blurred {
		for zoid := range h.holes {
			if !left[zoid] {
				return lossf("object %d is missing, live objects refer to it, and its node has left", zoid)
			}
		}
	}
	h.record(found)
	return nil
}

// settleRecorded has leave what recordAgain tells of, before a run begins that
// can't be watched.
func (h *modelHistory) settleRecorded(ctx context.Context) error {
	if h.recorded == nil || h.building {
		return nil
	}
	const settle = `
		SELECT relpack.try_pack_lock();
		SELECT relpack.reach() WHERE EXISTS (SELECT FROM relpack.missing) AND NOT EXISTS (SELECT FROM relpack.pending)`
	_, err := h.w.packer.Exec(ctx, settle)
	_, left := h.w.packer.Exec(ctx, "SELECT relpack.release_pack_lock()")
	return errors.Join(err, left, h.recordAgain(ctx))
}

// checkHoles compares the nodes that relpack calls missing.
func (h *modelHistory) checkHoles(found modelFound) error {
	if want := slices.Sorted(maps.Keys(h.holes)); !slices.Equal(found.missing, want) {
		return lossf("relpack calls %v missing, and should %v", found.missing, want)
	}
	if len(found.missing) > 0 {
		h.w.counts["hole"]++
	}
	return nil
}

// acceptMissing gives up what relpack calls missing, but for those that the
// step has no room for.
func (h *modelHistory) acceptMissing(ctx context.Context, s modelStep) error {
	zoids, err := session.Rows(ctx, h.w.app, pgx.RowTo[int64], "SELECT zoid FROM relpack.missing ORDER BY zoid LIMIT $1", max(s.args["most"], 1))
	if err != nil || len(zoids) == 0 {
		return err
	}
	for _, zoid := range zoids {
		if _, err := h.w.app.Exec(ctx, "SELECT relpack.accept_missing($1)", zoid); err != nil {
			return err
		}
		h.accepted[zoid] = true
		h.w.counts["accepted"]++
	}
	return h.happens(ctx, sureReports)
}

// checkRefusedInit: a graph is not built anew while live objects refer to rows
// that vanished.
func (h *modelHistory) checkRefusedInit(ctx context.Context) (bool, error) {
	_, err := h.w.app.Exec(ctx, "SELECT relpack.require_no_holes()")
	if !fault.IsState(err, fault.StateRefused) {
		return false, errors.Join(err, h.checkNothingVanished())
	}
	h.w.counts["init refused"]++
	if len(h.vanishedNodes()) == 0 && !h.lost {
		return true, lossf("%v, and nothing is", err)
	}
	return true, nil
}

// checkNothingVanished: of no live object that relpack knew the row is gone.
func (h *modelHistory) checkNothingVanished() error {
	if h.dirty || h.undecided || h.blurred || h.building || h.lost {
		return nil
	}
	for zoid, node := range h.nodes {
		if _, stored := h.stored[zoid]; !stored && !node.garbage && !h.accepted[zoid] {
			return lossf("the row of object %d vanished, and a graph may be built anew that knows nothing of what hung on it", zoid)
		}
	}
	return nil
}

// holePlot: a row vanishes and relpack looks; then what refers to it goes too,
// or the row comes back, as it was or another, or it is given up, or the graph
// is to be built anew.
func (g *modelGenerator) holePlot() []func() modelStep {
	under, hole, held, deeper := pick(g, g.live()...), g.fresh(), g.fresh(), g.fresh()
	refs := append(slices.Clone(g.h.stored[under].content.refs), hole)
	row := modelPlain(hole, held)
	gone := planned("delete", "live", map[string]int64{}, modelWrite{hole, modelContent{kind: "gone"}})
	pack := planned("pack", "steps", map[string]int64{"grace": -1, "chunk": pick[int64](g, 1, 10000), "batch": pick[int64](g, 1, 1000)})
	back := map[string]int64{"age": 60*int64(g.IntN(100*24)) + 11}
	if g.chance(30) {
		back["off"] = 1
	}
	plot := []func() modelStep{
		g.written("add", modelPlain(under, refs...), row, modelPlain(held, deeper), modelPlain(deeper)), pack, gone,
	}
	if g.chance(70) {
		plot = append(plot, pack)
	}
	switch g.IntN(6) {
	case 0:
		plot = append(plot, g.later("cut"), g.later("cut"))
	case 1:
		plot = append(plot, g.written("cut", modelPlain(under)))
	case 2:
		plot = append(plot, planned("restore", "row", back, row))
	case 3:
		plot = append(plot, g.written("fill", modelPlain(hole, g.some(1, g.stored())...)))
	case 4:
		plot = append(plot, planned("accept", "missing", map[string]int64{"most": pick[int64](g, 1, 9)}))
	case 5:
		plot = append(plot, planned("pack", pick(g, "steps", "runner"), map[string]int64{"init": 1, "grace": -1, "chunk": 10000}))
	}
	return append(plot, pack)
}

// lostPlot: a hole that an odd record names, or that garbage refers to, which
// is attached again when the hole has left. What names it may be read again when it
// is given up.
func (g *modelGenerator) lostPlot() []func() modelStep {
	under, hole, held, other := pick(g, g.live()...), g.fresh(), g.fresh(), g.fresh()
	refs := slices.Clone(g.h.stored[under].content.refs)
	pack := planned("pack", "steps", lookOnly)
	last := planned("pack", "steps", map[string]int64{"grace": -1, "chunk": 10000, "batch": 1000})
	if g.chance(50) {
		given := hole%2 == 0
		if hole%4 == 0 { // What names it is read before it is given up, in a chunk of its own.
			hole, other = other, hole
			last = planned("pack", "steps", map[string]int64{"grace": -1, "chunk": 1, "batch": 1000})
		}
		odd := modelWrite{other, modelContent{"odd", []int64{hole}}}
		gone := planned("delete", "live", map[string]int64{}, modelWrite{hole, modelContent{kind: "gone"}})
		plot := []func() modelStep{
			g.written("add", modelPlain(under, append(refs, other)...), odd, modelPlain(hole, held), modelPlain(held)), pack, gone,
		}
		if given {
			plot = append(plot, pack, planned("accept", "missing", map[string]int64{"most": 9}), g.written("rewrite", odd))
		}
		return append(plot, last)
	}
	gone := planned("delete", "live", map[string]int64{}, modelWrite{hole, modelContent{kind: "gone"}})
	return []func() modelStep{
		g.written("add", modelPlain(under, append(slices.Clone(refs), hole)...), modelPlain(other, hole), modelPlain(hole, held), modelPlain(held)),
		pack, gone, g.written("cut", modelPlain(under, refs...)), pack,
		g.written("regain", modelPlain(under, append(refs, other)...)), last,
	}
}
