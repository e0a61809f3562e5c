package preserved

import (
	"maps"
	"slices"
)

// A plot is a sequence of steps that seldom come together by chance. Only its shape is
// given: each step is drawn when its turn comes.
func (g *generator) conceive() []func() step {
	if g.h.files != nil && g.chance(40) {
		return g.filesPlot()
	}
	return pick(g, g.pastePlot, g.zigzagPlot, g.undonePlot, g.setBackPlot, g.namedPlot, g.whiteoutPlot, g.opaquePlot, g.readerPlot, g.fallenPlot, g.regainPlot)()
}

func planned(verb, kind string, args map[string]int64, writes ...write) func() step {
	return func() step { return step{verb: verb, kind: kind, args: args, writes: writes} }
}

// packed up to the commit that was the n-th last when the plot was conceived, counted
// from 0, or to a later one (negative).
func (g *generator) packedUpTo(after int, args ...string) func() step {
	at := len(g.ages) - 1 + after
	return func() step {
		s := step{verb: "pack", kind: "gc", args: map[string]int64{"grace": g.ages[min(max(at, 0), len(g.ages)-1)]}}
		for _, arg := range args {
			switch arg {
			case "dry":
				s.args["dry"] = 1
			case "killed":
				s.args["crash"] = int64(1 + g.IntN(pick(g, 10, 100)))
			}
		}
		return s
	}
}

func everything() step { return step{verb: "pack", kind: "gc", args: map[string]int64{"grace": -1}} }

func (g *generator) commits(kind string, writes ...write) func() step {
	return func() step { return g.written(kind, writes...) }
}

// held adds a folder with something in it.
func (g *generator) held() (under, folder, child int64, adds func() step) {
	under, folder, child = pick(g, g.live()...), g.fresh(), g.fresh()
	refs := append(g.refs(under), folder)
	return under, folder, child, g.commits("add", plain(under, refs...), plain(folder, child), plain(child))
}

// pastePlot: something is cut, the pack time passes that, and it is pasted into a
// folder that was created later.
func (g *generator) pastePlot() []func() step {
	under, folder, child, adds := g.held()
	refs, other := g.refs(under), g.fresh()
	return []func() step{
		adds, g.commits("cut", plain(under, refs...)), g.commits("modify", plain(0, append(g.refs(0), folder)...)), g.commits("cut", plain(0, g.refs(0)...)),
		g.commits("paste", plain(other, pick(g, folder, child))), g.packedUpTo(pick(g, 2, 4)),
		g.commits("paste", plain(0, append(g.refs(0), other)...)), everything,
	}
}

// zigzagPlot: pack times go to and fro beneath a reference that was there for a while.
func (g *generator) zigzagPlot() []func() step {
	_, folder, child, adds := g.held()
	other := g.fresh()
	plot := []func() step{
		adds, g.commits("move", plain(folder, child, other), plain(other, child)), g.commits("cut", plain(folder)),
		g.commits("cut", plain(folder, other)), g.commits("cut", plain(folder)),
	}
	for range 2 + g.IntN(3) {
		plot = append(plot, g.packedUpTo(1+g.IntN(5), pick(g, "dry", "dry", "killed")))
	}
	return append(plot, g.packedUpTo(1+g.IntN(5)))
}

// undonePlot: cuts that are undone, and undone again, with packs in between.
func (g *generator) undonePlot() []func() step {
	_, folder, _, adds := g.held()
	plot := []func() step{adds, g.commits("cut", plain(folder))}
	for range 2 + g.IntN(3) {
		plot = append(plot, func() step {
			return step{verb: "undo", kind: "back", args: g.when(map[string]int64{"n": int64(g.IntN(2))})}
		}, g.packedUpTo(1+g.IntN(4), pick(g, "dry", "killed", "ended", "ended")))
	}
	return plot
}

// setBackPlot: what only old revisions of an object refer to, which is set back, and
// forward again.
func (g *generator) setBackPlot() []func() step {
	_, folder, _, adds := g.held()
	back := map[string]int64{"zoid": folder, "n": int64(1 + g.IntN(2)), "packed": 1}
	plot := []func() step{adds, g.commits("cut", plain(folder)), g.commits("modify", plain(folder))}
	if g.chance(50) {
		plot = append(plot, g.packedUpTo(pick(g, 1, 2, 3, 3), pick(g, "dry", "ended")))
	}
	set := planned("restore", "old", back)
	if g.chance(40) { // nobody reports that
		set = planned("alter", pick(g, "back", "uncurrent"), back)
	}
	plot = append(plot, set, everything)
	return append(plot, pick(g, planned("restore", "old", map[string]int64{"zoid": folder, "n": 0}), g.commits("modify", plain(folder))), everything)
}

// namedPlot: a revision names one that is not the last before it.
func (g *generator) namedPlot() []func() step {
	_, folder, _, adds := g.held()
	return []func() step{
		adds, g.commits("cut", plain(folder)), planned("restore", "old", map[string]int64{"zoid": folder, "n": 1, "packed": int64(g.IntN(2))}),
		g.commits("modify", plain(folder)), g.packedUpTo(pick(g, 2, 3), pick(g, "dry", "ended")),
		func() step { return step{verb: "undo", kind: "back", args: g.when(map[string]int64{"n": 0})} }, g.packedUpTo(pick(g, 2, 3, 4)),
	}
}

// whiteoutPlot: a deleted object whose old revisions refer to something; the deletion
// is undone.
func (g *generator) whiteoutPlot() []func() step {
	_, folder, _, adds := g.held()
	return []func() step{
		adds, g.commits("whiteout", write{folder, "null", nil}), g.packedUpTo(pick(g, 0, 1, 2), pick(g, "dry", "ended")),
		func() step { return step{verb: "undo", kind: "back", args: g.when(map[string]int64{"n": 0})} }, g.packedUpTo(pick(g, 2, 3)),
	}
}

// opaquePlot: a revision that nobody can read, until it is an old one.
func (g *generator) opaquePlot() []func() step {
	_, folder, _, adds := g.held()
	return []func() step{
		adds, g.commits("cut", plain(folder)), g.commits("opaque", write{folder, "opaque", nil}), g.packedUpTo(pick(g, 1, 2, 3), pick(g, "dry", "ended")),
		g.commits("heal", plain(folder)), g.packedUpTo(pick(g, 2, 3, 4), pick(g, "dry", "ended")), g.commits("modify", plain(0, g.refs(0)...)), everything,
	}
}

// readerPlot: another client sees what is cut, and pastes it elsewhere.
func (g *generator) readerPlot() []func() step {
	under, folder, child, adds := g.held()
	refs := g.refs(under)
	cut := plain(under, refs...)
	paste := plain(g.fresh(), pick(g, folder, child))
	if g.chance(50) {
		paste = plain(pick(g, g.live()...), folder)
	}
	return []func() step{
		adds, planned("open", "reader", nil), g.commits("cut", cut), g.commits("modify", plain(0, slices.Clone(g.refs(0))...)),
		planned("pack", "gc", map[string]int64{"grace": 0}), g.packedUpTo(2),
		planned("close", "commit", map[string]int64{"now": 1}, paste), planned("pack", "gc", map[string]int64{"grace": 0}),
	}
}

// fallenPlot: the newest revisions of an object are deleted: an older one, that has
// other references, counts again.
func (g *generator) fallenPlot() []func() step {
	_, folder, child, adds := g.held()
	other := g.fresh()
	plot := []func() step{
		adds, g.commits("modify", plain(folder, child, other), plain(other)), g.commits("cut", plain(folder, other)), g.commits("cut", plain(folder)),
	}
	if g.chance(50) {
		return append(plot, g.packedUpTo(4, "dry"), planned("delete", "newest", map[string]int64{"zoid": folder}), g.packedUpTo(4, pick(g, "dry", "ended")))
	}
	return append(plot,
		g.packedUpTo(pick(g, 1, 2, 3, 4), pick(g, "dry", "killed", "ended")),
		planned("delete", pick(g, "newest", "newest", "revision"), map[string]int64{"zoid": folder, "n": int64(g.IntN(3))}),
		g.packedUpTo(pick(g, 1, 2, 3, 4), pick(g, "dry", "ended")), everything)
}

// regainPlot: what was chosen is used again before it is deleted.
func (g *generator) regainPlot() []func() step {
	under, folder, child, adds := g.held()
	again := plain(pick(g, under, g.fresh()), append(g.refs(under), pick(g, folder, child))...)
	return []func() step{
		adds, g.commits("cut", plain(under, g.refs(under)...)), g.commits("modify", plain(0, slices.Clone(g.refs(0))...)),
		func() step {
			s := g.written("regain", again)
			s.verb, s.kind = "pack", "gc"
			maps.Copy(s.args, map[string]int64{"grace": -1, "between": 1, "call": int64(5 + g.IntN(3)), "most": pick[int64](g, 1, 2, 1000)})
			return s
		},
	}
}
