package du

import (
	"cmp"
	"context"
	"slices"

	"relpack/runner/look"
	"relpack/runner/zoid"
)

// A Key is what lists are sorted by.
type Key string

// The keys.
const (
	BySize    Key = "size" // states, older revisions and blobs
	ByStates  Key = "states"
	ByHistory Key = "history"
	ByBlobs   Key = "blobs"
	ByObjects Key = "objects"
)

// Of is how much a sum is by this key.
func (k Key) Of(s Sum) int64 {
	switch k {
	case ByStates:
		return s.States
	case ByBlobs:
		return s.Blobs
	case ByHistory:
		return s.History
	case ByObjects:
		return s.Objects
	}
	return s.Bytes()
}

// A Sum is how much some objects are.
type Sum struct {
	States  int64 `json:"bytes"`                   // of their states, as they are now
	Blobs   int64 `json:"blob_bytes"`              // of blobs, as far as they are known; null where none is
	History int64 `json:"history_bytes,omitempty"` // of the states of superseded revisions
	Objects int64 `json:"objects"`
}

// Bytes are of all of it.
func (s Sum) Bytes() int64 { return s.States + s.History + s.Blobs }

func (s *Sum) add(other Sum) {
	s.States += other.States
	s.Blobs += other.Blobs
	s.History += other.History
	s.Objects += other.Objects
}

// sum is what is in a row.
func (x *row) sum() Sum { return Sum{x.bytes, x.blobs, x.older, int64(x.objects)} }

// An item is a row of a list.
type item struct {
	row uint32
	sum Sum
}

// content is what is directly in an object: the largest, and all others in sum.
type content struct {
	largest []item
	others  Sum
	count   int64  // of all
	parts   Others // of a BTree
}

// contents reads all rows for what is in some, the largest of each.
func (f *Forest) contents(in []uint32, most int, key Key) map[uint32]*content {
	all := map[uint32]*content{}
	for _, i := range in {
		all[i] = &content{}
	}
	r := &f.rows
	for i := range uint32(r.count) {
		x := r.get(i)
		c := all[x.in]
		if c == nil || i == 0 {
			continue
		}
		if x.named == isPart {
			c.parts.Count++
			c.parts.add(x.sum())
			continue
		}
		c.count++
		if c.largest = append(c.largest, item{i, x.sum()}); len(c.largest) >= 2*most+1000 {
			c.cut(most, key)
		}
	}
	for _, c := range all {
		c.cut(most, key)
	}
	return all
}

// cut sorts, and keeps so many.
func (c *content) cut(most int, key Key) {
	slices.SortStableFunc(c.largest, func(a, b item) int {
		return cmp.Or(cmp.Compare(key.Of(b.sum), key.Of(a.sum)), cmp.Compare(a.row, b.row))
	})
	for _, left := range c.largest[min(most, len(c.largest)):] {
		c.others.add(left.sum)
	}
	c.largest = c.largest[:min(most, len(c.largest))]
}

// What classes finds out of rows.
const (
	outside = iota + 1
	inside
)

// classes sums up by class what is in an object, itself included, largest first.
func (f *Forest) classes(of uint32, key Key) []Class {
	r := &f.rows
	for i := range uint32(r.count) {
		if r.get(i).mark != unseen {
			r.ref(i).mark = unseen
		}
	}
	r.ref(0).mark = outside
	r.ref(of).mark = inside
	found := make([]Class, len(f.kinds))
	for i := range uint32(r.count) {
		end := i
		for r.get(end).mark == unseen {
			end = r.get(end).in
		}
		verdict := r.get(end).mark
		for at := i; at != end; {
			x := r.ref(at)
			x.mark = verdict
			at = x.in
		}
		if x := r.get(i); verdict == inside && x.objects > 0 {
			own := Sum{States: int64(x.size), History: x.own, Objects: 1}
			if f.kinds[x.class].blob {
				own.Blobs = x.blobs
			}
			found[x.class].add(own)
		}
	}
	for class := range found {
		found[class].Class = f.kinds[class].label
	}
	found = slices.DeleteFunc(found, func(c Class) bool { return c.Objects == 0 })
	slices.SortFunc(found, func(a, b Class) int {
		return cmp.Or(cmp.Compare(key.Of(b.Sum), key.Of(a.Sum)), cmp.Compare(a.Class, b.Class))
	})
	return found
}

// list makes the report.
func (m *measure) list(ctx context.Context, g *look.Graph) error {
	f, o := m.forest, m.options
	top := f.rows.find(o.Zoid)
	if top == none {
		return notLive(o.Zoid)
	}
	name, err := fullName(ctx, g, o.Zoid)
	if err != nil {
		return err
	}
	m.report.Top = f.line(item{top, f.rows.get(top).sum()}, name)
	if o.ByClass {
		all := f.classes(top, o.Sort)
		m.report.ByClass = all[:min(o.Max, len(all))]
		for _, c := range all[len(m.report.ByClass):] {
			m.report.OtherClasses.Count++
			m.report.OtherClasses.add(c.Sum)
		}
		return f.rows.err
	}
	level := map[uint32]*Line{top: m.report.Top}
	for range o.Depth {
		if level, err = m.listLevel(ctx, g, level); err != nil || len(level) == 0 {
			return err
		}
	}
	return f.rows.err
}

// listLevel lists what is in some objects, and returns the lines of that.
func (m *measure) listLevel(ctx context.Context, g *look.Graph, level map[uint32]*Line) (map[uint32]*Line, error) {
	above := make([]uint32, 0, len(level))
	for i := range level {
		above = append(above, i)
	}
	slices.Sort(above)
	next := map[uint32]*Line{}
	contents := m.forest.contents(above, m.options.Max, m.options.Sort)
	for _, i := range above {
		line, c := level[i], contents[i]
		for _, found := range c.largest {
			name, err := g.NameIn(ctx, line.Zoid, m.forest.rows.get(found.row).zoid)
			if err != nil {
				return nil, err
			}
			below := m.forest.line(found, name)
			line.Content = append(line.Content, below)
			next[found.row] = below
		}
		if c.parts.Count > 0 {
			line.Parts = &c.parts
		}
		if rest := c.count - int64(len(c.largest)); rest > 0 {
			line.Others = &Others{Count: rest, Sum: c.others}
		}
	}
	return next, nil
}

func (f *Forest) line(i item, name string) *Line {
	x := f.rows.get(i.row)
	return &Line{Zoid: x.zoid, Oid: zoid.Hex(x.zoid), Class: f.kinds[x.class].label, Name: name, Own: int64(x.size), OwnHistory: x.own, Sum: i.sum, Content: []*Line{}}
}

// fullName is how Python would reach an object; "" if that is not known.
func fullName(ctx context.Context, g *look.Graph, zoid int64) (string, error) {
	way, err := g.Way(ctx, zoid)
	if err != nil || way.Zoids == nil {
		return "", err
	}
	steps, err := g.Steps(ctx, way.Zoids)
	return look.Expression(steps), err
}
