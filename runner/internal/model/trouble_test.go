package model

import (
	"os"
	"slices"
	"strconv"
)

// Troubles are what others do to the database besides writing objects. One
// history in three has some, or one in RELPACK_TROUBLED. They are drawn apart
// from all else, so that the other histories are what they would be without them.

const modelTroubles = 12 // the chance of a trouble to begin there, per cent

// modelTroubled is how many histories there are for one with troubles.
func modelTroubled() int {
	if n, err := strconv.Atoi(os.Getenv("RELPACK_TROUBLED")); err == nil && n > 0 {
		return n
	}
	return 3
}

// trouble draws the next step of a trouble, if it is time for one.
func (g *modelGenerator) trouble() (modelStep, bool) {
	if g.troubles == nil {
		return modelStep{}, false
	}
	g.Rand, g.troubles = g.troubles, g.Rand
	defer func() { g.Rand, g.troubles = g.troubles, g.Rand }()
	if len(g.ill) == 0 && g.chance(modelTroubles) {
		g.ill = pick(g, g.alteredPlot, g.statesPlot, g.besidePlot, g.besidePlot, g.keptPlot, g.keptPlot,
			g.losePlot, g.losePlot, g.losePlot, g.dueLosePlot,
			g.triggersPlot, g.triggersPlot)()
	}
	if len(g.ill) == 0 {
		return modelStep{}, false
	}
	next := g.ill[0]
	g.ill = g.ill[1:]
	return next(), true
}

// alteredPlot: a table that was altered is swept by a DBA, or packed.
func (g *modelGenerator) alteredPlot() []func() modelStep {
	plot := []func() modelStep{planned("ddl", pick(g, "note", "retype", "swap", "vacuum"), nil)}
	if g.chance(50) {
		plot = append(plot, planned("sweep", "psql", map[string]int64{"batch": 1000, "calls": 1}))
	}
	if g.chance(30) {
		plot = append(plot, g.pack)
	}
	return plot
}

// statesPlot: states of live objects are rewritten under their tids: what was
// garbage is used again, and something is cut off.
func (g *modelGenerator) statesPlot() []func() modelStep {
	garbage := g.fresh()
	plot := []func() modelStep{
		g.written("dirt", modelPlain(garbage)), g.later("add"), planned("pack", "steps", lookOnly),
		func() modelStep {
			s := modelStep{verb: "ddl", kind: "states", args: map[string]int64{}}
			plain := slices.DeleteFunc(g.live(), func(zoid int64) bool { return g.h.stored[zoid].content.kind != "plain" })
			for _, zoid := range g.some(1+g.IntN(2), plain) {
				refs := append(slices.Clone(g.h.stored[zoid].content.refs), garbage)
				s.writes = append(s.writes, modelPlain(zoid, refs[g.IntN(2):]...))
			}
			return distinct(s)
		},
	}
	if g.chance(30) {
		plot = append(plot, planned("sweep", "psql", map[string]int64{"batch": 1000, "calls": 1}))
	}
	if g.chance(40) {
		plot = append(plot, planned("pack", "steps", map[string]int64{"grace": -1, "chunk": 10000, "crash": 4 + int64(g.IntN(5))}))
	}
	return append(plot, planned("pack", "steps", deleteAll))
}

// besidePlot: a pack meets an alteration that is about to be committed; perhaps
// it builds the graph.
func (g *modelGenerator) besidePlot() []func() modelStep {
	args := map[string]int64{"grace": -1, "chunk": pick[int64](g, 1, 2, 10000), "batch": pick[int64](g, 1, 1000),
		"alter": 3 + int64(g.IntN(8)), "how": int64(g.IntN(len(modelBeside)))}
	if g.chance(20) {
		args["init"] = 1
	}
	return []func() modelStep{
		g.later(pick(g, "mass", "chain", "move")), g.later(pick(g, "dirt", "cut")),
		planned("pack", "steps", args), planned("pack", "steps", deleteAll),
	}
}

// triggersPlot: garbage is used again by a row that somebody wrote without some
// of relpack's triggers, or as a replica does, for which the others fire.
func (g *modelGenerator) triggersPlot() []func() modelStep {
	garbage := g.fresh()
	return []func() modelStep{
		g.written("dirt", modelPlain(garbage), modelPlain(g.fresh())), g.later("add"), planned("pack", "steps", lookOnly),
		func() modelStep {
			at := pick(g, g.live()...)
			s := modelStep{verb: "restore", kind: "row", args: map[string]int64{"age": 95*24*60 + int64(g.IntN(1000))},
				writes: []modelWrite{modelPlain(at, append(slices.Clone(g.h.stored[at].content.refs), garbage)...)}}
			if how := int64(1 + g.IntN(4)); how < 4 {
				s.args["off"] = how
			} else {
				s.args["replica"] = 1
			}
			return s
		},
		planned("pack", "steps", deleteAll),
	}
}
