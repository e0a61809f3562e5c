package model

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// modelGenerator draws the steps of a history, each from what is stored.
type modelGenerator struct {
	*rand.Rand
	h    *modelHistory
	age  int64 // of the last commit, in minutes before the history
	ages []int64
	next int64 // the next new zoid
	plot []func() modelStep
	// plots is the chance of a plot to begin, per cent.
	plots int
	// See trouble_test.go.
	troubles *rand.Rand
	ill      []func() modelStep
}

// Every so many histories one is mostly plots.
const modelPlotted = 8

func newModelGenerator(seed uint64, h *modelHistory) *modelGenerator {
	plots := 4
	if seed%modelPlotted == 0 {
		plots = 40
	}
	g := &modelGenerator{Rand: rand.New(rand.NewPCG(seed, 1)), h: h, age: 60 * 24 * 60, next: 1, plots: plots}
	if troubles := rand.New(rand.NewPCG(seed, 2)); troubles.IntN(modelTroubled()) == 0 {
		g.troubles = troubles
	}
	return g
}

func (g *modelGenerator) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g *modelGenerator, of ...T) T { return of[g.IntN(len(of))] }

// limits makes some histories go the ways of large graphs.
func (g *modelGenerator) limits() modelStep {
	narrow := pick[int64](g, 0, 1, 2, 5, 1000)
	args := map[string]int64{
		"narrow": narrow, "walk": narrow + pick[int64](g, 1, 2, 10, 19000), "together": pick[int64](g, 1, 3, 50000, 50000),
		"inrefs": pick[int64](g, 1, 2, 64), "visits": pick[int64](g, 3, 10, 1000000, 1000000, 1000000),
		"share": pick[int64](g, 1, 4, 16), "least": pick[int64](g, 0, 3, 10, 10000, 10000),
		"zoids": pick[int64](g, 1, 5, 64, 100, 1000000), "levels": pick[int64](g, 2, 3, 5, 255), "wide": pick[int64](g, 1, 4, 1000),
	}
	return modelStep{verb: "limits", kind: "drawn", args: args}
}

func (g *modelGenerator) stored() []int64 { return slices.Sorted(maps.Keys(g.h.stored)) }

func (g *modelGenerator) live() []int64 {
	return slices.DeleteFunc(g.stored(), func(zoid int64) bool { return g.h.reached[zoid] == 0 })
}

func (g *modelGenerator) garbage() []int64 {
	return slices.DeleteFunc(g.stored(), func(zoid int64) bool { return g.h.reached[zoid] != 0 })
}

// missing is what is referred to and not stored, or next to nothing.
func (g *modelGenerator) missing() []int64 {
	missing := map[int64]bool{}
	for zoid := range g.h.stored {
		for _, ref := range append(g.h.stored.refs(zoid), g.h.stored[zoid].content.refs...) {
			if _, stored := g.h.stored[ref]; !stored {
				missing[ref] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(missing))
}

func (g *modelGenerator) step() modelStep {
	if s, some := g.trouble(); some {
		return s
	}
	if len(g.plot) == 0 && g.chance(g.plots) {
		g.plot = g.conceive()
	}
	if len(g.plot) > 0 {
		next := g.plot[0]
		g.plot = g.plot[1:]
		return next()
	}
	if g.h.hasOpaque() && g.chance(25) {
		return g.commit("heal")
	}
	if g.h.settled == g.h.moment && g.h.hasGarbage() && g.chance(25) {
		// What a pack has left is for a DBA to sweep, who is not alone.
		return g.sweep()
	}
	switch n := g.IntN(100); {
	case n < 69:
		return g.commit(pick(g, commitKinds...))
	case n < 73:
		return g.deletion()
	case n < 78:
		return g.restoration()
	case n < 81:
		return modelStep{verb: "snapshot", kind: "taken", args: map[string]int64{}}
	case n < 83:
		return g.reload()
	case n < 85:
		return modelStep{verb: "open", kind: "reader", args: map[string]int64{}}
	case n < 86 && len(g.h.holes) > 0:
		return modelStep{verb: "accept", kind: "missing", args: map[string]int64{"most": pick[int64](g, 1, 1, 9)}}
	case n < 88:
		return g.closing()
	case n < 94:
		return g.pack()
	case n < 99 || g.chance(50):
		return g.sweep()
	}
	return modelStep{verb: "rootless", kind: "pack", args: map[string]int64{}}
}

// when draws the time of a commit: later than the last one, sometimes at the
// same time, now, or ahead of the clock.
func (g *modelGenerator) when(args map[string]int64) map[string]int64 {
	switch {
	case g.chance(10):
	case g.chance(4):
		args["now"] = 1
	case g.age > 3*24*60:
		g.age -= 60 * int64(1+g.IntN(72))
	case g.age > 120 && g.chance(50):
		g.age -= 60
	case g.chance(10):
		g.age = -60 * int64(1+g.IntN(48))
	}
	if g.age == 0 {
		g.age = -60
	}
	args["age"] = g.age
	g.ages = append(g.ages, g.age)
	return args
}

// until draws a pack time: by the clock, or at the very moment of a commit.
func (g *modelGenerator) until(args map[string]int64, exact bool) {
	switch n := g.IntN(10); {
	case n < 3:
		args["grace"] = -1
	case n < 5 && exact && len(g.ages) > 0:
		args["at"] = pick(g, g.ages...) + pick[int64](g, 0, 0, 0, 1, -1)
		args["grace"] = 0
	case n < 6:
		args["grace"] = 0
	case n < 7:
		args["grace"] = 24 * 60 * pick[int64](g, 1, 2, 7, 30)
	case len(g.ages) > 0:
		args["grace"] = max(pick(g, g.ages...), 0) + pick[int64](g, 30, -30)
		args["grace"] = max(args["grace"], 0)
	}
}

func (g *modelGenerator) pack() modelStep {
	s := modelStep{verb: "pack", kind: "steps", args: map[string]int64{}}
	if g.chance(4) {
		s.kind = "runner"
		if g.chance(40) {
			s.args["crash"] = int64(1 + g.IntN(50))
		}
		if g.chance(7) {
			s.args["init"] = 1
		}
		g.until(s.args, false)
		if g.chance(10) {
			s.args["dry"] = 1
		}
		return s
	}
	g.until(s.args, true)
	s.args["chunk"] = pick[int64](g, 2, 6, 10000, 10000, 10000)
	s.args["batch"] = pick[int64](g, 1, 2, 5, 1000, 1000)
	if g.chance(4) {
		s.args["init"] = 1
	}
	switch n := g.IntN(100); {
	case n < 35:
		s.args["crash"] = int64(1 + g.IntN(pick(g, 10, 22)))
		s.args["scratch"] = int64(g.IntN(3))
		if n := s.args["crash"]; n > 4 && n%4 == 0 {
			// By chance few would come as far as deleting.
			delete(s.args, "crash")
			delete(s.args, "at")
			s.args["torn"], s.args["batch"], s.args["grace"] = 1, 1+n/4%2, -1
		}
	case n < 50:
		s.args["between"] = int64(4 + g.IntN(12))
		if n == 49 {
			delete(s.args, "between")
			s.args["inflight"] = 1
		}
		kinds := commitKinds
		if g.h.hasOpaque() && g.chance(60) {
			kinds = []string{"heal"}
		}
		c := g.commit(pick(g, kinds...))
		maps.Copy(s.args, c.args)
		s.writes = c.writes
	case n < 60:
		s.args["dry"] = 1
	default:
		s.args["atonce"] = 1
	}
	if g.chance(10) {
		s.args["deep"] = 1
	}
	return s
}

func (g *modelGenerator) sweep() modelStep {
	s := modelStep{verb: "sweep", kind: "psql", args: map[string]int64{
		"batch": pick[int64](g, 1, 2, 4, 1000), "calls": pick[int64](g, 1, 1, 2, 50)}}
	if g.chance(60) && len(g.ages) > 0 {
		s.args["at"] = pick(g, g.ages...) + pick[int64](g, 0, 0, 1, -1, -10000)
	}
	if g.chance(55) {
		c := g.commit(pick(g, "regain", "regain", "regain", "dirt", "rewrite", "add", "modify", "cut"))
		maps.Copy(s.args, c.args)
		s.writes = c.writes
		s.kind = "beside"
	}
	return s
}

func (g *modelGenerator) deletion() modelStep {
	s := modelStep{verb: "delete", kind: "garbage", args: map[string]int64{}}
	from := g.garbage()
	if g.chance(40) || len(from) == 0 {
		s.kind, from = "live", g.live()
	}
	for range 1 + g.IntN(3) {
		s.writes = append(s.writes, modelWrite{pick(g, from...), modelContent{kind: "gone"}})
	}
	return s
}

// restoration brings back what is missing, or replaces what is there, under
// an old tid, with references to whatever there is.
func (g *modelGenerator) restoration() modelStep {
	s := modelStep{verb: "restore", kind: "row", args: map[string]int64{"age": 60*int64(g.IntN(100*24)) + 7}}
	if g.chance(8) {
		s.args["off"] = 1
	}
	for range 1 + g.IntN(2) {
		zoid := pick(g, append(g.missing(), pick(g, g.stored()...), g.fresh())...)
		s.writes = append(s.writes, modelWrite{zoid, g.content(g.some(g.IntN(3), append(g.garbage(), pick(g, g.stored()...)))...)})
	}
	return distinct(s)
}

func (g *modelGenerator) reload() modelStep {
	s := modelStep{verb: "reload", kind: pick(g, "truncate", "delete", "untriggered"), args: map[string]int64{}}
	if n := len(g.h.snapshots); n > 0 && g.chance(60) {
		s.args["snapshot"] = int64(1 + g.IntN(n))
	}
	return s
}

func (g *modelGenerator) closing() modelStep {
	switch g.IntN(3) {
	case 0:
		s := g.commit(pick(g, "regain", "add", "modify", "cut"))
		s.verb, s.kind = "close", "commit"
		return s
	case 1:
		s := g.restoration()
		s.verb, s.kind = "close", "restore"
		return s
	}
	return modelStep{verb: "close", kind: "reader", args: map[string]int64{}}
}

// distinct keeps the last write of each object.
func distinct(s modelStep) modelStep {
	last := map[int64]modelWrite{}
	for _, w := range s.writes {
		last[w.zoid] = w
	}
	s.writes = nil
	for _, zoid := range slices.Sorted(maps.Keys(last)) {
		s.writes = append(s.writes, last[zoid])
	}
	return s
}
