package model

import (
	"maps"
	"slices"
)

// Plots in which a run is left off halfway.

var deleteAll = map[string]int64{"grace": -1, "chunk": 10000, "batch": 1000}

// ring is garbage that refers to itself in a circle.
func (g *modelGenerator) ring(n int) []modelWrite {
	first := g.fresh()
	writes := []modelWrite{modelPlain(first)}
	for range n - 1 {
		next := g.fresh()
		writes[len(writes)-1].content.refs = []int64{next}
		writes = append(writes, modelPlain(next))
	}
	writes[n-1].content.refs = []int64{first}
	return writes
}

// linking makes something live refer to an object.
func (g *modelGenerator) linking(kind string, to int64) modelStep {
	at := pick(g, g.live()...)
	return g.written(kind, modelPlain(at, append(slices.Clone(g.h.stored[at].content.refs), to)...))()
}

// beginRing is a ring, the only garbage there is, of which a batch is deleted.
func (g *modelGenerator) beginRing(ring []modelWrite) []func() modelStep {
	return []func() modelStep{
		planned("pack", "steps", deleteAll), g.written("dirt", ring...), g.later("add"),
		planned("pack", "steps", lookOnly),
		planned("sweep", "psql", map[string]int64{"batch": 1, "calls": 1}),
	}
}

// tornPlot: a ring larger than a batch, and what is left of it is used again
// before the batch is committed.
func (g *modelGenerator) tornPlot() []func() modelStep {
	ring := g.ring(3 + g.IntN(4))
	plot := g.beginRing(ring)
	return append(plot[:4],
		func() modelStep {
			s := g.linking("regain", pick(g, ring[1:]...).zoid)
			s.verb, s.kind = "sweep", "beside"
			s.args["batch"], s.args["calls"] = 1, 1
			return s
		})
}

// begunSparedPlot: young garbage refers to what is left of a ring.
func (g *modelGenerator) begunSparedPlot() []func() modelStep {
	ring := g.ring(3)
	var at int64
	return append(g.beginRing(ring),
		func() modelStep {
			at = g.age
			return g.written("dirt", modelPlain(g.fresh(), ring[2].zoid))()
		},
		func() modelStep {
			return modelStep{verb: "pack", kind: "steps", args: map[string]int64{"at": at, "batch": 5, "chunk": 10000}}
		})
}

// begunRestoredPlot: what is left of a ring is restored, or deleted, and a pack
// asks for more age than it has.
func (g *modelGenerator) begunRestoredPlot() []func() modelStep {
	ring := g.ring(3)
	plot := g.beginRing(ring)
	switch g.IntN(4) {
	case 0:
		plot = append(plot, planned("delete", "garbage", nil, modelWrite{ring[1].zoid, modelContent{kind: "gone"}}))
	case 1, 2:
		plot = append(plot, planned("restore", "row", map[string]int64{"age": 95*24*60 + int64(g.IntN(1000))}, ring[1]))
	}
	return append(plot, planned("pack", "steps", map[string]int64{"at": 90 * 24 * 60, "batch": 5, "chunk": 10000}))
}

// choicePlot: what was chosen once, and a row restored since that keeps it; the
// run that found this out ended before it chose anew.
func (g *modelGenerator) choicePlot() []func() modelStep {
	old := g.fresh()
	var at int64
	crash := map[string]int64{"grace": -1, "chunk": 10000, "atonce": 1, "crash": 8}
	return []func() modelStep{
		func() modelStep {
			s := g.written("dirt", modelPlain(old))()
			at = g.age - 5
			return s
		}, planned("pack", "steps", lookOnly), g.later("add"),
		func() modelStep {
			return modelStep{verb: "pack", kind: "steps", args: map[string]int64{"at": at, "dry": 1, "chunk": 10000}}
		},
		planned("restore", "row", map[string]int64{"age": 95*24*60 + int64(g.IntN(1000))}, modelPlain(g.fresh(), old)),
		planned("pack", "steps", crash),
		func() modelStep {
			return modelStep{verb: "sweep", kind: "psql", args: map[string]int64{"at": at, "batch": 1000, "calls": 2}}
		},
	}
}

// givenUpPlot: after the return to an earlier moment a run is abandoned, and
// what is committed then has tids that an earlier run had seen.
func (g *modelGenerator) givenUpPlot() []func() modelStep {
	at := int64(len(g.h.snapshots) + 1)
	var age int64
	return []func() modelStep{
		planned("snapshot", "taken", nil), g.later("chain"),
		func() modelStep {
			age = g.age
			return g.later("add")()
		},
		planned("pack", "steps", lookOnly),
		planned("reload", pick(g, "truncate", "delete", "untriggered"), map[string]int64{"snapshot": at}),
		planned("pack", "steps", map[string]int64{"grace": -1, "chunk": 1, "atonce": 1, "crash": 7}),
		func() modelStep {
			s := g.commit(pick(g, "cut", "move", "add"))
			s.args["age"] = age + 20
			return s
		},
		planned("pack", "steps", deleteAll),
	}
}

// overtakenReloadPlot: an object is written again between capture and reading,
// and then comes back in the revision that the graph has recorded.
func (g *modelGenerator) overtakenReloadPlot() []func() modelStep {
	under, garbage := pick(g, g.live()...), g.fresh()
	refs := slices.Clone(g.h.stored[under].content.refs)
	at := int64(len(g.h.snapshots) + 1)
	return []func() modelStep{
		g.written("dirt", modelPlain(garbage)), planned("pack", "steps", lookOnly),
		planned("snapshot", "taken", nil), g.written("modify", modelPlain(under, refs...)),
		func() modelStep {
			s := g.written("regain", modelPlain(under, append(slices.Clone(refs), garbage)...))()
			maps.Copy(s.args, map[string]int64{"between": 6, "atonce": 1, "dry": 1, "grace": -1, "chunk": 10000})
			s.verb, s.kind = "pack", "steps"
			return s
		},
		planned("reload", "untriggered", map[string]int64{"snapshot": at}),
		planned("pack", "steps", deleteAll),
	}
}

// opaquePlot: nobody knows what a live object refers to.
func (g *modelGenerator) opaquePlot() []func() modelStep {
	under, opaque := pick(g, g.live()...), g.fresh()
	refs := append(slices.Clone(g.h.stored[under].content.refs), opaque)
	return []func() modelStep{
		g.written("add", modelPlain(under, refs...), modelWrite{opaque, modelContent{kind: "opaque"}}, modelPlain(g.fresh())),
		g.later("add"), planned("pack", "steps", deleteAll), g.later("heal"),
	}
}

// rootPlot: the root refers to itself for a while.
func (g *modelGenerator) rootPlot() []func() modelStep {
	refs := slices.Clone(g.h.stored[0].content.refs)
	return []func() modelStep{
		g.written("self", modelPlain(0, append(slices.Clone(refs), 0)...)), planned("pack", "steps", deleteAll),
		g.written("modify", modelPlain(0, refs...)), planned("pack", "steps", deleteAll),
	}
}

// buildPlot: what happens to a storage while its graph is built.
func (g *modelGenerator) buildPlot() []func() modelStep {
	var steps []func() modelStep
	for range 1 + g.IntN(2) {
		steps = append(steps, func() modelStep {
			return modelStep{verb: "pack", kind: "steps", args: map[string]int64{
				"init": 1, "grace": -1, "chunk": 10000, "crash": int64(4 + g.IntN(14))}}
		}, func() modelStep {
			switch g.IntN(4) {
			case 0:
				return g.deletion()
			case 1:
				return g.reload()
			case 2:
				return g.commit(pick(g, commitKinds...))
			}
			s := g.restoration()
			s.args["off"] = int64(g.IntN(2))
			return s
		})
	}
	return append(steps, planned("pack", "steps", deleteAll))
}

// elderPlot: a first build meets something alive that garbage refers to as well,
// older than what is alive, and something deeper that is stored next to what is
// referred to and missing.
func (g *modelGenerator) elderPlot() []func() modelStep {
	under, elder, holder, held := pick(g, g.live()...), g.fresh(), g.fresh(), g.fresh()
	far, missing := g.fresh(), g.fresh()
	refs := append(slices.Clone(g.h.stored[under].content.refs), holder, missing)
	return []func() modelStep{
		g.written("add", modelPlain(under, refs...), modelPlain(holder, held), modelPlain(held, far), modelPlain(far)),
		g.written("dirt", modelPlain(elder, held)),
		planned("pack", "steps", map[string]int64{"init": 1, "grace": -1, "chunk": 10000}),
	}
}

// zigzagPlot: a first build meets a chain that goes from low zoids to high ones
// and back.
func (g *modelGenerator) zigzagPlot() []func() modelStep {
	under := pick(g, g.live()...)
	zoids := []int64{g.fresh(), g.fresh(), g.fresh(), g.fresh(), g.fresh(), g.fresh()}
	chain := []modelWrite{modelPlain(under, append(slices.Clone(g.h.stored[under].content.refs), zoids[3])...)}
	for i, low := range zoids[:3] {
		chain = append(chain, modelPlain(zoids[3+i], low))
		if i < 2 {
			chain = append(chain, modelPlain(low, zoids[4+i]))
		}
	}
	return []func() modelStep{
		g.written("add", append(chain, modelPlain(zoids[2]))...),
		planned("pack", "steps", map[string]int64{"init": 1, "grace": -1, "chunk": 10000}),
	}
}

// crashSweepPlot: a DBA sweeps where a run was left off.
func (g *modelGenerator) crashSweepPlot() []func() modelStep {
	return []func() modelStep{
		planned("pack", "steps", deleteAll), g.later("chain"), planned("pack", "steps", lookOnly),
		g.later(pick(g, "move", "split", "swap", "regain", "cut")),
		planned("pack", "steps", map[string]int64{
			"grace": -1, "chunk": pick[int64](g, 1, 10000), "crash": int64(5 + g.IntN(8)), "dry": 1}),
		planned("sweep", "psql", map[string]int64{"batch": 1000, "calls": 2}),
	}
}

// capturedPlot: a run was left off when it had read events, and not yet what
// they are about; a DBA sweeps.
func (g *modelGenerator) capturedPlot() []func() modelStep {
	under, garbage := pick(g, g.live()...), g.fresh()
	refs := append(slices.Clone(g.h.stored[under].content.refs), garbage)
	return []func() modelStep{
		planned("pack", "steps", deleteAll), g.written("dirt", modelPlain(garbage)), g.later("add"),
		planned("pack", "steps", lookOnly),
		planned("restore", "row", map[string]int64{"age": 95*24*60 + int64(g.IntN(1000))}, modelPlain(under, refs...)),
		planned("pack", "steps", map[string]int64{"grace": -1, "chunk": 10000, "atonce": 1, "crash": 6}),
		planned("sweep", "psql", map[string]int64{"batch": 1000, "calls": 2}),
	}
}

// opaqueGarbagePlot: nobody knows what young garbage refers to.
func (g *modelGenerator) opaqueGarbagePlot() []func() modelStep {
	var at int64
	return []func() modelStep{
		planned("pack", "steps", deleteAll),
		func() modelStep {
			s := g.written("dirt", modelPlain(g.fresh()))()
			at = g.age - 5
			return s
		},
		planned("pack", "steps", lookOnly), g.written("dirt", modelWrite{g.fresh(), modelContent{kind: "opaque"}}), g.later("add"),
		func() modelStep {
			return modelStep{verb: "pack", kind: "steps", args: map[string]int64{"at": at, "batch": 5, "chunk": 10000}}
		},
		g.later("heal"),
	}
}

// psqlCutPlot: a row with a subtree below it is deleted on a quiet storage.
func (g *modelGenerator) psqlCutPlot() []func() modelStep {
	under, one, two, three := pick(g, g.live()...), g.fresh(), g.fresh(), g.fresh()
	refs := append(slices.Clone(g.h.stored[under].content.refs), one)
	var at int64
	return []func() modelStep{
		func() modelStep {
			s := g.written("add", modelPlain(under, refs...), modelPlain(one, two), modelPlain(two, three), modelPlain(three))()
			at = g.age - 5
			return s
		},
		planned("pack", "steps", lookOnly),
		planned("delete", "live", nil, modelWrite{one, modelContent{kind: "gone"}}),
		func() modelStep {
			return modelStep{verb: "pack", kind: "steps", args: map[string]int64{"at": at, "batch": 5, "chunk": 10000}}
		},
	}
}

// revivedPlot: below what is cut off something else is held, and has come to
// refer to old garbage.
func (g *modelGenerator) revivedPlot() []func() modelStep {
	under, top, held, other, garbage := pick(g, g.live()...), g.fresh(), g.fresh(), g.fresh(), g.fresh()
	refs := slices.Clone(g.h.stored[under].content.refs)
	chain := []modelWrite{modelPlain(garbage)}
	for range 2 + g.IntN(12) {
		next := g.fresh()
		chain[len(chain)-1].content.refs = []int64{next}
		chain = append(chain, modelPlain(next))
	}
	return []func() modelStep{
		g.written("add", modelPlain(under, append(slices.Clone(refs), top)...), modelPlain(top, held), modelPlain(held)),
		g.written("dirt", chain...), planned("pack", "steps", lookOnly),
		g.written("add", modelPlain(under, append(slices.Clone(refs), top, other)...), modelPlain(other, held)),
		planned("pack", "steps", lookOnly),
		g.written("cut", modelPlain(under, append(slices.Clone(refs), other)...), modelPlain(held, garbage)),
		planned("pack", "steps", deleteAll),
	}
}

// aheadPlot: garbage with a tid that is yet to come, of which a first build knows
// no more, and who asks for more.
func (g *modelGenerator) aheadPlot() []func() modelStep {
	return []func() modelStep{
		func() modelStep {
			s := g.written("dirt", modelPlain(g.fresh()))()
			s.args["age"] = -60
			return s
		},
		func() modelStep {
			s := g.commit("add")
			s.args["age"] = -120
			return s
		},
		planned("pack", "steps", map[string]int64{"init": 1, "dry": 1, "grace": -1, "chunk": 10000}),
		planned("sweep", "psql", map[string]int64{"at": -10000, "batch": 1000, "calls": 1}),
	}
}

// bornPlot: what is new hangs on what drops it in the same commit, or refers to
// what it hangs on when that is cut off.
func (g *modelGenerator) bornPlot() []func() modelStep {
	under, one, two, three, four := pick(g, g.live()...), g.fresh(), g.fresh(), g.fresh(), g.fresh()
	refs := g.h.stored[under].content.refs
	if g.chance(50) {
		return []func() modelStep{
			g.written("add", modelPlain(under, append(slices.Clone(refs), three)...), modelPlain(three, one)),
			planned("pack", "steps", lookOnly),
			g.written("cut", modelPlain(one, two), modelPlain(two), modelPlain(three)),
			planned("pack", "steps", map[string]int64{"grace": -1, "chunk": 1, "batch": 5}),
		}
	}
	return []func() modelStep{
		g.written("add", modelPlain(under, append(slices.Clone(refs), one)...), modelPlain(one, two), modelPlain(two)),
		planned("pack", "steps", lookOnly),
		g.written("cut", modelPlain(under, refs...), modelPlain(two, three), modelPlain(three, four), modelPlain(four, one)),
		planned("pack", "steps", deleteAll),
	}
}

// lateGarbagePlot: garbage is stored while a pack captures, and the deletion of
// what was there before begins.
func (g *modelGenerator) lateGarbagePlot() []func() modelStep {
	return []func() modelStep{
		g.written("dirt", modelPlain(g.fresh()), modelPlain(g.fresh())),
		func() modelStep {
			args := g.when(map[string]int64{"between": 5, "batch": 1, "chunk": 10000, "grace": -1})
			return modelStep{verb: "pack", kind: "steps", args: args, writes: []modelWrite{modelPlain(g.fresh()), modelPlain(g.fresh())}}
		},
	}
}

// decodedPlot: while a deletion goes on that decodes what is written meanwhile,
// its garbage is used again, written anew, or perhaps referred to by what nobody
// can decode. A write may be in flight when a pack captures.
func (g *modelGenerator) decodedPlot() []func() modelStep {
	one, two := g.fresh(), g.fresh()
	return []func() modelStep{
		planned("pack", "steps", deleteAll), g.written("dirt", modelPlain(one), modelPlain(two)), g.later("add"),
		planned("pack", "steps", lookOnly),
		func() modelStep {
			s := pick(g,
				func() modelStep { return g.linking("regain", one) },
				g.written("add", modelWrite{g.fresh(), modelContent{kind: "opaque"}}),
				g.written("rewrite", modelPlain(one), modelPlain(g.fresh())))()
			// The first batch is the eighth step.
			maps.Copy(s.args, map[string]int64{"between": 8, "atonce": 1, "batch": 5, "chunk": 10000, "grace": -1})
			if g.chance(20) {
				delete(s.args, "between")
				s.args["inflight"] = 1
			}
			s.verb, s.kind = "pack", "steps"
			return s
		},
		g.later("heal"),
	}
}
