package preserved

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"

	"relpack/runner/internal/revision"
)

// A generator draws the steps of a history, each from what is stored.
type generator struct {
	*rand.Rand
	h    *history
	now  *revision.Storage
	age  int64 // of the last commit, in minutes before the history
	ages []int64
	next int64 // the next new zoid
	plot []func() step
}

func newGenerator(seed uint64, h *history) *generator {
	return &generator{Rand: rand.New(rand.NewPCG(seed, 1)), h: h, age: firstAge, next: 1}
}

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g *generator, of ...T) T { return of[g.IntN(len(of))] }

func (g *generator) step(ctx context.Context) (s step, err error) {
	if g.now, err = revision.Load(ctx, g.h.site.Conn); err != nil {
		return s, err
	}
	if len(g.plot) == 0 && g.h.drawn() > 4 && g.chance(12) {
		g.plot = g.conceive()
	}
	if len(g.plot) > 0 {
		next := g.plot[0]
		g.plot = g.plot[1:]
		return next(), nil
	}
	switch n := g.IntN(100); {
	case g.h.drawn() < 4:
		return g.add(), nil
	case n < 38:
		return g.commit(), nil
	case n < 56:
		return step{verb: "undo", kind: "back", args: g.when(map[string]int64{"n": int64(pick(g, 0, 0, 0, 1, 1, 2, 3, 5))})}, nil
	case n < 61:
		return g.restoration(), nil
	case n < 66:
		return g.alteration(), nil
	case n < 68:
		return g.reading(), nil
	case n < 69 && g.chance(50):
		return g.reload(), nil
	case n < 72:
		return g.sweep(), nil
	case n < 73:
		return step{verb: "zodbpack", kind: "trim", args: map[string]int64{"grace": g.when(map[string]int64{})["age"] + 60}}, nil
	}
	return g.pack(), nil
}

// when draws the time of a commit: later than the last one.
func (g *generator) when(args map[string]int64) map[string]int64 {
	switch {
	case g.age > 3*24*60:
		g.age -= 60 * int64(1+g.IntN(72))
	case g.age > 120:
		g.age -= 60
	case g.age > 4:
		g.age -= 4
	}
	args["age"] = g.age
	g.ages = append(g.ages, g.age)
	return args
}

func (g *generator) zoids() []int64 { return g.now.Zoids() }

// live are the objects that a client finds.
func (g *generator) live() []int64 {
	var zoids []int64
	for _, zoid := range sorted(current(g.now)) {
		if r, _ := g.now.At(zoid, g.now.Current[zoid]); r.State != nil {
			zoids = append(zoids, zoid)
		}
	}
	return append(zoids, 0)
}

// others are the objects that are stored and can't be reached.
func (g *generator) others() []int64 {
	reached := current(g.now)
	return slices.DeleteFunc(g.zoids(), func(zoid int64) bool { return reached[zoid] })
}

// refs are what the current revision of an object refers to.
func (g *generator) refs(zoid int64) []int64 {
	r, _ := g.now.At(zoid, g.now.Current[zoid])
	refs, _ := refsOf(r)
	return slices.Clone(refs)
}

// old are what any revision of it refers to.
func (g *generator) old(zoid int64) []int64 {
	var all []int64
	for _, r := range g.now.Revisions[zoid] {
		refs, _ := refsOf(r)
		all = append(all, refs...)
	}
	return all
}

func (g *generator) fresh() int64 {
	g.next++
	for len(g.now.Revisions[g.next]) > 0 {
		g.next++
	}
	return g.next
}

func plain(zoid int64, refs ...int64) write { return write{zoid, "plain", refs} }

func (g *generator) written(kind string, writes ...write) step {
	last := map[int64]write{}
	for _, w := range writes {
		last[w.zoid] = w
	}
	s := step{verb: "commit", kind: kind, args: g.when(map[string]int64{})}
	for _, zoid := range slices.Sorted(maps.Keys(last)) {
		s.writes = append(s.writes, last[zoid])
	}
	return s
}

func (g *generator) add() step {
	under, one, two := pick(g, g.live()...), g.fresh(), g.fresh()
	kind := pick(g, "plain", "plain", "plain", "zip", "blob")
	if kind == "blob" {
		return g.written("blob", plain(under, append(g.refs(under), one)...), write{one, "blob", nil})
	}
	return g.written("add", plain(under, append(g.refs(under), one)...), write{one, kind, []int64{two}}, plain(two, pick(g, g.zoids()...)))
}

// holding is an object among some with references; else the root.
func (g *generator) holding(zoids []int64) int64 {
	some := slices.DeleteFunc(slices.Clone(zoids), func(zoid int64) bool { return len(g.refs(zoid)) == 0 })
	return pick(g, append(some, 0)...)
}

func (g *generator) commit() step {
	live := g.live()
	under := pick(g, live...)
	from := g.holding(live)
	held := g.refs(from)
	cut := func() (left []int64, gone int64) {
		if len(held) == 0 {
			return nil, under
		}
		i := g.IntN(len(held))
		return slices.Delete(slices.Clone(held), i, i+1), held[i]
	}
	switch g.IntN(14) {
	case 0, 1:
		return g.add()
	case 2, 3, 4:
		left, _ := cut()
		return g.written("cut", plain(from, left...))
	case 5, 6: // in one transaction
		left, gone := cut()
		return g.written("move", plain(from, left...), plain(under, append(g.refs(under), gone)...))
	case 7, 8: // something that was cut off, into a new folder or an old one
		gone := pick(g, append(append(g.others(), g.old(from)...), under)...)
		if folder := g.fresh(); g.chance(50) {
			return g.written("paste", plain(under, append(g.refs(under), folder)...), plain(folder, gone))
		}
		return g.written("paste", plain(under, append(g.refs(under), gone)...))
	case 9:
		other := pick(g, g.zoids()...)
		return g.written("cycle", plain(under, append(g.refs(under), other)...), plain(other, append(g.refs(other), under)...))
	case 10:
		one, two := g.fresh(), g.fresh()
		return g.written("dirt", plain(one, two), plain(two, one, pick(g, g.zoids()...)))
	case 11:
		return g.written("whiteout", write{pick(g, g.zoids()...), "null", nil})
	case 12:
		if g.chance(15) {
			return g.written("opaque", write{pick(g, g.zoids()...), "opaque", nil})
		}
	}
	return g.written("modify", plain(under, g.refs(under)...))
}

func (g *generator) restoration() step {
	if g.chance(60) {
		args := map[string]int64{"zoid": pick(g, g.zoids()...), "n": int64(g.IntN(3)), "packed": int64(g.IntN(2))}
		return step{verb: "restore", kind: "old", args: args}
	}
	s := g.written("", plain(pick(g, append(g.zoids(), g.fresh())...), pick(g, g.zoids()...)))
	s.verb, s.kind = "restore", "row"
	s.args = map[string]int64{"age": pick(g, g.ages...) + int64(g.IntN(200)) - 50, "packed": int64(g.IntN(2))}
	return s
}

func (g *generator) alteration() step {
	zoid := pick(g, g.zoids()...)
	n := g.IntN(10)
	if n < 3 {
		zoid = pick(g, append(g.others(), zoid)...)
	}
	s := step{verb: "delete", kind: pick(g, "object", "revision", "revision", "newest"), args: map[string]int64{"zoid": zoid, "n": int64(g.IntN(3))}}
	if n > 4 {
		s.verb, s.kind = "alter", pick(g, "inplace", "state", "uncurrent", "back", "forward")
	}
	return s
}

func (g *generator) reading() step {
	if g.h.open == nil {
		return step{verb: "open", kind: "reader", args: map[string]int64{}}
	}
	if g.chance(40) {
		return step{verb: "close", kind: "reader", args: map[string]int64{}}
	}
	s := g.commit()
	s.verb, s.kind = "close", "commit"
	return s
}

// reload goes back to an earlier moment, or takes note of one.
func (g *generator) reload() step {
	if g.h.snapshots == 0 || g.chance(50) {
		return step{verb: "snapshot", kind: "taken", args: map[string]int64{}}
	}
	return step{verb: "reload", kind: pick(g, "truncate", "delete", "untriggered"), args: map[string]int64{}}
}

// sweep is what somebody does in psql after a dry run.
func (g *generator) sweep() step {
	args := map[string]int64{"grace": -1}
	if len(g.ages) > 0 && g.chance(60) {
		args["grace"] = pick(g, g.ages...)
	}
	return step{verb: "sweep", kind: pick(g, "psql", "doomed"), args: args}
}

func (g *generator) pack() step {
	s := step{verb: "pack", kind: "gc", args: map[string]int64{}}
	if g.chance(15) {
		s.kind = "trim"
	}
	switch n := g.IntN(10); {
	case n < 3:
		s.args["grace"] = -1
	case n < 4 || len(g.ages) == 0:
		s.args["grace"] = 0
	case n < 5:
		s.args["grace"] = 1440 * pick[int64](g, 1, 2, 7, 30)
	case n < 6:
		s.args["at"] = int64(1 + g.IntN(4))
	default:
		s.args["grace"] = pick(g, g.ages[len(g.ages)/2:]...)
	}
	if g.chance(60) {
		s.args["most"] = pick[int64](g, 1, 2, 3, 5)
	}
	if g.chance(4) {
		s.args["init"] = 1
	}
	switch n := g.IntN(100); {
	case n < 25:
		s.args["dry"] = 1
	case n < 40:
		s.args["crash"] = int64(1 + g.IntN(pick(g, 10, 60, 120)))
	case n < 50:
		s.args["crash"], s.args["call"] = pick[int64](g, 1, 1, 2), int64(1+g.IntN(len(calls)))
	case n < 70:
		c := g.commit()
		s.writes = c.writes
		maps.Copy(s.args, map[string]int64{"age": c.args["age"], "between": int64(1 + g.IntN(90)), pick(g, "old", "undone", "commit", "commit"): 1})
		if g.chance(60) {
			s.args["between"], s.args["call"] = pick[int64](g, 1, 1, 1, 2), int64(1+g.IntN(len(calls)))
		}
		if s.is("old") {
			s.args["age"] = pick(g, g.ages...) + 10
		}
	}
	return s
}
