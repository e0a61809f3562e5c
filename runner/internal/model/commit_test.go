package model

import (
	"slices"
)

// commitKinds are what commits do. Kinds that shape the graph come often.
var commitKinds = []string{
	"modify", "add", "add", "add", "chain", "fan", "cut", "cut", "move", "move", "swap", "split", "split",
	"cycle", "cycle", "self", "dangling", "fill", "regain", "regain", "dirt", "rewrite", "mass",
}

func (g *modelGenerator) fresh() int64 {
	g.next += int64(1 + g.IntN(2))
	return g.next
}

// content is a record with these references, mostly of the plain kind.
func (g *modelGenerator) content(refs ...int64) modelContent {
	kind := "plain"
	if g.chance(18) {
		kind = pick(g, "py2", "py2", "zip", "zip", "odd", "weak", "null", "empty", "blob", "blob", "opaque")
	}
	if kind == "opaque" && g.chance(60) {
		kind = "plain"
	}
	slices.Sort(refs)
	return modelContent{kind, slices.Compact(refs)}
}

func (g *modelGenerator) some(n int, of []int64) []int64 {
	var found []int64
	for range min(n, len(of)) {
		found = append(found, pick(g, of...))
	}
	return found
}

// draft collects the writes of a commit.
type draft struct {
	g      *modelGenerator
	writes map[int64]modelContent
}

func (d *draft) refs(zoid int64) []int64 {
	if c, written := d.writes[zoid]; written {
		return slices.Clone(c.refs)
	}
	return slices.Clone(d.g.h.stored[zoid].content.refs)
}

// set gives an object these references; one that carries none becomes plain.
func (d *draft) set(zoid int64, refs []int64) {
	c := d.g.content(refs...)
	if zoid == 0 {
		c.kind = "plain"
	}
	d.writes[zoid] = c
}

// link makes one object refer to another one, for certain.
func (d *draft) link(from, to int64) {
	d.set(from, append(d.refs(from), to))
	c := d.writes[from]
	if !slices.Contains([]string{"plain", "py2", "zip", "odd"}, c.kind) {
		c.kind = "plain"
		d.writes[from] = c
	}
}

func (d *draft) unlink(from, to int64) {
	d.set(from, slices.DeleteFunc(d.refs(from), func(ref int64) bool { return ref == to }))
}

// parents are live objects that refer to something.
func (g *modelGenerator) parents(atLeast int) []int64 {
	return slices.DeleteFunc(g.live(), func(zoid int64) bool { return len(g.h.stored[zoid].content.refs) < atLeast })
}

// grow hangs new objects on a live one; many refer back, as __parent__ does.
func (d *draft) grow(under int64, n int) int64 {
	child := d.g.fresh()
	d.set(child, d.g.some(d.g.IntN(2), d.g.live()))
	if d.g.chance(50) {
		d.link(child, under)
	}
	d.link(under, child)
	if n > 1 {
		d.grow(child, n-1)
	}
	return child
}

func (g *modelGenerator) commit(kind string) modelStep {
	d := &draft{g, map[int64]modelContent{}}
	live, garbage := g.live(), g.garbage()
	at := pick(g, live...)
	parents := g.parents(1)
	if len(parents) == 0 {
		kind = "add"
	}
	switch kind {
	case "add":
		for range 1 + g.IntN(4) {
			d.grow(at, 1)
		}
	case "chain":
		d.grow(at, 4+g.IntN(8))
	case "fan":
		for range 5 + g.IntN(6) {
			d.grow(at, 1)
		}
	case "modify":
		d.set(at, d.refs(at))
	case "cut":
		from := pick(g, parents...)
		d.unlink(from, pick(g, d.refs(from)...))
	case "move":
		from := pick(g, parents...)
		what := pick(g, d.refs(from)...)
		d.unlink(from, what)
		d.link(at, what)
	case "swap":
		one, two := pick(g, parents...), pick(g, parents...)
		a, b := pick(g, d.refs(one)...), pick(g, d.refs(two)...)
		d.unlink(one, a)
		d.unlink(two, b)
		d.link(one, b)
		d.link(two, a)
	case "split":
		g.split(d)
	case "cycle":
		first := d.grow(at, 1)
		last := first
		for range 1 + g.IntN(3) {
			last = d.grow(last, 1)
		}
		d.link(last, first)
	case "self":
		d.link(at, at)
	case "dangling":
		d.link(at, g.fresh())
	case "fill":
		for _, zoid := range g.some(2, g.missing()) {
			d.set(zoid, g.some(g.IntN(3), g.stored()))
		}
	case "regain":
		if len(garbage) > 0 {
			d.link(at, pick(g, garbage...))
		}
	case "dirt":
		d.set(g.fresh(), g.some(g.IntN(3), g.stored()))
	case "rewrite":
		for _, zoid := range g.some(1+g.IntN(2), garbage) {
			d.set(zoid, g.some(g.IntN(3), g.stored()))
		}
	case "mass":
		for _, zoid := range g.some(12, live) {
			d.set(zoid, d.refs(zoid))
		}
	case "heal":
		for zoid, row := range g.h.stored {
			if row.content.kind == "opaque" {
				d.writes[zoid] = modelContent{"plain", row.content.refs}
			}
		}
	}
	s := modelStep{verb: "commit", kind: kind, args: g.when(map[string]int64{})}
	if g.chance(6) {
		s.args["rr"] = 1
	}
	for zoid, c := range d.writes {
		s.writes = append(s.writes, modelWrite{zoid, c})
	}
	return distinct(s)
}

// split does what a BTree node does that became too large: a new node takes
// half of the children, and a chain leads from one to the next. At the top both
// halves are new.
func (g *modelGenerator) split(d *draft) {
	wide := g.parents(2)
	if len(wide) == 0 {
		return
	}
	node := pick(g, wide...)
	refs := d.refs(node)
	half := len(refs) / 2
	left, right := g.fresh(), g.fresh()
	d.set(right, refs[half:])
	if g.chance(50) {
		d.set(left, append(slices.Clone(refs[:half]), right))
		d.set(node, []int64{left, right})
	} else {
		d.set(node, append(slices.Clone(refs[:half]), right))
	}
}
