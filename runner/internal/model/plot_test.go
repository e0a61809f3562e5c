package model

import (
	"maps"
	"slices"
)

// A plot is a sequence of steps that seldom come together by chance. Only its
// shape is given: each step is drawn when its turn comes.

// conceive draws a plot.
func (g *modelGenerator) conceive() []func() modelStep {
	return pick(g, g.begunPlot, g.capPlot, g.abandonedPlot, g.overtakenPlot, g.guessPlot, g.untriggeredPlot,
		g.regainPlot, g.restoredPlot, g.rewritePlot, g.reloadPlot, g.reloadPlot, g.snapshotPlot, g.gracePlot, g.blobPlot, g.sparedPlot,
		g.tornPlot, g.begunSparedPlot, g.begunRestoredPlot, g.choicePlot, g.givenUpPlot, g.overtakenReloadPlot,
		g.buildPlot, g.elderPlot, g.zigzagPlot, g.opaquePlot, g.rootPlot, g.crashSweepPlot, g.crashSweepPlot,
		g.opaqueGarbagePlot, g.psqlCutPlot, g.revivedPlot, g.decodedPlot, g.aheadPlot, g.lateGarbagePlot, g.capturedPlot, g.decodedPlot, g.choicePlot,
		g.bornPlot, g.bornPlot, g.holePlot, g.holePlot, g.lostPlot, g.lostPlot)()
}

func (g *modelGenerator) later(kind string) func() modelStep {
	return func() modelStep { return g.commit(kind) }
}

func planned(verb, kind string, args map[string]int64, writes ...modelWrite) func() modelStep {
	return func() modelStep { return modelStep{verb: verb, kind: kind, args: args, writes: writes} }
}

// written is a commit of these objects.
func (g *modelGenerator) written(kind string, writes ...modelWrite) func() modelStep {
	return func() modelStep {
		return modelStep{verb: "commit", kind: kind, args: g.when(map[string]int64{}), writes: writes}
	}
}

func modelPlain(zoid int64, refs ...int64) modelWrite {
	return modelWrite{zoid, modelContent{"plain", refs}}
}

var lookOnly = map[string]int64{"dry": 1, "grace": -1, "chunk": 10000}

// begunPlot: a deletion begun, a look at what there is without grace, and a
// pack that asks for the age of what is young.
func (g *modelGenerator) begunPlot() []func() modelStep {
	return []func() modelStep{
		g.written("dirt", modelPlain(g.fresh()), modelPlain(g.fresh())), planned("pack", "steps", lookOnly),
		planned("sweep", "psql", map[string]int64{"batch": 1, "calls": 1}),
		g.written("dirt", modelPlain(g.fresh()), modelPlain(g.fresh())), planned("pack", "steps", lookOnly),
		func() modelStep {
			return modelStep{verb: "pack", kind: "steps", args: map[string]int64{"at": g.age + 30, "batch": 5, "chunk": 10000}}
		},
	}
}

// capPlot: what others may hold since their transactions began.
func (g *modelGenerator) capPlot() []func() modelStep {
	return []func() modelStep{
		planned("open", "reader", nil),
		func() modelStep {
			s := g.commit(pick(g, "cut", "dirt", "rewrite"))
			s.args["now"] = 1
			return s
		},
		planned("pack", "steps", map[string]int64{"grace": 0, "batch": 5, "chunk": 10000}),
		g.closing,
	}
}

// abandonedPlot: a run abandoned amid its changes, and then a cut.
func (g *modelGenerator) abandonedPlot() []func() modelStep {
	under, one, two, last := pick(g, g.live()...), g.fresh(), g.fresh(), g.fresh()
	refs := g.h.stored[under].content.refs
	// Of the chain under, last, two, one the link in the middle comes last.
	crash := map[string]int64{"chunk": 1, "crash": pick[int64](g, 8, 9)}
	if g.chance(30) {
		crash = map[string]int64{"chunk": 2, "crash": 7}
	}
	return []func() modelStep{
		planned("pack", "steps", lookOnly),
		g.written("add", modelPlain(one), modelPlain(two, one), modelPlain(last, two)),
		g.written("add", modelPlain(under, append(slices.Clone(refs), last)...)),
		planned("pack", "steps", crash),
		g.written("cut", modelPlain(two)),
		planned("pack", "steps", map[string]int64{"grace": 60, "batch": 5, "chunk": 10000}),
	}
}

// overtakenPlot: an object written again between capture and reading.
func (g *modelGenerator) overtakenPlot() []func() modelStep {
	under, one, two := pick(g, g.live()...), g.fresh(), g.fresh()
	refs := append(slices.Clone(g.h.stored[under].content.refs), one)
	moved := []modelWrite{modelPlain(under, append(slices.Clone(refs), two)...)}
	if g.chance(50) {
		moved = []modelWrite{modelPlain(under, two), modelPlain(two, refs...)}
	}
	plot := []func() modelStep{g.written("add", modelPlain(under, refs...), modelPlain(one))}
	if g.chance(60) {
		plot = append(plot, planned("pack", "steps", lookOnly), g.written("modify", modelPlain(under, refs...)))
	}
	return append(plot,
		func() modelStep {
			args := map[string]int64{"between": pick[int64](g, 5, 6, 6), "grace": -1, "chunk": 10000, "batch": 5}
			s := g.written("modify", moved...)()
			maps.Copy(s.args, args)
			s.verb, s.kind = "pack", "steps"
			return s
		})
}

// guessPlot: an odd record names what is stored only later.
func (g *modelGenerator) guessPlot() []func() modelStep {
	under, odd, named, last := pick(g, g.live()...), g.fresh(), g.fresh(), g.fresh()
	refs := append(slices.Clone(g.h.stored[under].content.refs), odd, last)
	return []func() modelStep{
		g.written("add", modelPlain(under, refs...), modelWrite{odd, modelContent{"odd", []int64{named}}}, modelPlain(last)),
		planned("pack", "steps", map[string]int64{"grace": -1, "chunk": 10000, "batch": 5}),
		planned("restore", "row", map[string]int64{"age": 90*24*60 + int64(g.IntN(1000))}, modelPlain(named)),
		planned("pack", "steps", map[string]int64{"grace": -1, "chunk": 10000, "batch": 5}),
	}
}

// untriggeredPlot: a row that no trigger reported.
func (g *modelGenerator) untriggeredPlot() []func() modelStep {
	under := pick(g, g.live()...)
	return []func() modelStep{
		planned("pack", "steps", lookOnly),
		planned("restore", "row", map[string]int64{"age": 90*24*60 + int64(g.IntN(1000)), "off": 1},
			modelPlain(under, g.some(2, g.stored())...)),
		planned("pack", "steps", map[string]int64{"grace": -1, "chunk": 10000, "batch": 5}),
	}
}

// regainPlot: garbage is used again while it is being swept.
func (g *modelGenerator) regainPlot() []func() modelStep {
	one, two, other := g.fresh(), g.fresh(), g.fresh()
	circle := modelPlain(two)
	if g.chance(60) {
		// Not even batches of whole components keep them together.
		circle = modelPlain(two, one)
	}
	args := map[string]int64{"batch": pick[int64](g, 1, 1000), "calls": 2}
	write := func() modelWrite {
		at := pick(g, g.live()...)
		w := modelPlain(at, append(slices.Clone(g.h.stored[at].content.refs), pick(g, one, two))...)
		if at != 0 && g.chance(30) {
			w.content.kind = "zip"
		}
		return w
	}
	plot := []func() modelStep{
		g.written("dirt", modelPlain(one, two), circle, modelPlain(other)),
		planned("pack", "steps", lookOnly),
	}
	if g.chance(50) {
		return append(plot, func() modelStep {
			s := g.written("regain", write())()
			s.verb, s.kind = "sweep", "beside"
			maps.Copy(s.args, args)
			return s
		})
	}
	return append(plot, func() modelStep { return g.written("regain", write())() }, planned("sweep", "psql", args))
}

// restoredPlot: garbage is used again by a row that comes with an old tid. It is
// not the newest object, which no sweep deletes.
func (g *modelGenerator) restoredPlot() []func() modelStep {
	one := g.fresh()
	return []func() modelStep{
		g.written("dirt", modelPlain(one), modelPlain(g.fresh())), g.later("add"), planned("pack", "steps", lookOnly),
		func() modelStep {
			at := pick(g, g.live()...)
			s := g.restoration()
			s.writes = []modelWrite{modelPlain(at, append(slices.Clone(g.h.stored[at].content.refs), one)...)}
			return s
		},
		planned("sweep", "psql", map[string]int64{"batch": 1000, "calls": 1}),
	}
}

// rewritePlot: garbage that somebody writes before it is swept.
func (g *modelGenerator) rewritePlot() []func() modelStep {
	one := g.fresh()
	return []func() modelStep{
		g.written("dirt", modelPlain(one), modelPlain(g.fresh())), planned("pack", "steps", lookOnly),
		g.written("rewrite", modelPlain(one)),
		planned("sweep", "psql", map[string]int64{"batch": 1000, "calls": 1}),
	}
}

// reloadPlot: the storage as it was before a commit that a pack has seen.
func (g *modelGenerator) reloadPlot() []func() modelStep {
	at := int64(len(g.h.snapshots) + 1)
	again := planned("pack", "steps", lookOnly)
	if g.chance(60) {
		again = g.later("add")
	}
	return []func() modelStep{
		planned("snapshot", "taken", nil), g.later(pick(g, "add", "cut", "move")),
		planned("pack", "steps", lookOnly),
		planned("reload", pick(g, "truncate", "delete", "untriggered"), map[string]int64{"snapshot": at}), again,
		planned("pack", "steps", map[string]int64{"grace": -1, "chunk": 10000, "batch": 5}),
	}
}

// snapshotPlot: a writer that looks at the watermark of long ago.
func (g *modelGenerator) snapshotPlot() []func() modelStep {
	return []func() modelStep{
		planned("open", "reader", nil), g.later("add"), planned("pack", "steps", lookOnly),
		func() modelStep {
			s := g.restoration()
			s.verb, s.kind = "close", "restore"
			return s
		},
		planned("pack", "steps", map[string]int64{"grace": -1, "chunk": 10000, "batch": 5}),
	}
}

// gracePlot: garbage exactly as old as the pack time.
func (g *modelGenerator) gracePlot() []func() modelStep {
	var at int64
	return []func() modelStep{
		func() modelStep {
			s := g.written("dirt", modelPlain(g.fresh()))()
			at = s.args["age"]
			return s
		},
		planned("pack", "steps", lookOnly), g.later("add"),
		func() modelStep {
			return modelStep{verb: "pack", kind: "steps", args: map[string]int64{"at": at, "batch": 5, "chunk": 10000}}
		},
	}
}

// blobPlot: an object that the graph knows as another one is deleted as a blob,
// and what was loaded after a TRUNCATE has nothing to do with it.
func (g *modelGenerator) blobPlot() []func() modelStep {
	under, blob := pick(g, g.live()...), g.fresh()
	plot := []func() modelStep{
		g.written("add", modelPlain(under, append(slices.Clone(g.h.stored[under].content.refs), blob)...), modelPlain(blob)),
		planned("pack", "steps", lookOnly),
		g.written("modify", modelWrite{blob, modelContent{kind: "blob"}}),
		planned("delete", "live", nil, modelWrite{blob, modelContent{kind: "gone"}}),
	}
	if g.chance(50) {
		plot = append(plot, planned("reload", "truncate", nil))
	}
	return append(plot, planned("pack", "steps", lookOnly))
}

// sparedPlot: young garbage that reaches old garbage, a long way down.
func (g *modelGenerator) sparedPlot() []func() modelStep {
	var chain []modelWrite
	zoid := g.fresh()
	for range 4 + g.IntN(8) {
		next := g.fresh()
		chain = append(chain, modelPlain(zoid, next))
		zoid = next
	}
	var at int64
	return []func() modelStep{
		g.written("dirt", append(chain, modelPlain(zoid))...), planned("pack", "steps", lookOnly),
		func() modelStep {
			at = g.age
			return g.written("dirt", modelPlain(g.fresh(), chain[0].zoid))()
		},
		func() modelStep {
			return modelStep{verb: "pack", kind: "steps", args: map[string]int64{"at": at, "batch": 5, "chunk": 10000}}
		},
	}
}
