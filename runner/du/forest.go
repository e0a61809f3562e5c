package du

import (
	"cmp"

	"relpack/runner/naming"
)

// A Forest is which live object is in which, and how much that is. One tree of it is
// the storage.
type Forest struct {
	rows  rows
	kinds []kind // of classes, by their numbers in rows
}

// A kind is what has to be known of a class.
type kind struct {
	label     string
	index     bool // its objects refer to others only to find them
	part      bool // of package BTrees
	container bool // such a part, or a mapping or list
	blob      bool
}

// memoryPages is how many pages of rows are in memory: 64 MiB.
const memoryPages = 64 << 20 / (pageRows * rowBytes)

// Marks of a walk.
const (
	unseen = iota
	onWay
	done
)

// up is the row that an object is in, before that is settled: what it names, or else
// its parent in the tree.
func (x *row) up() uint32 {
	if x.named != none {
		return x.named
	}
	return x.in
}

// join decides for each object what it is in. Where objects name each other in a
// circle, those of them that do are where the tree has them. Each step of a walk
// either leaves a row behind for good, or takes from one what it names.
func (f *Forest) join() {
	r := &f.rows
	root := r.ref(0)
	root.in, root.named = 0, none
	for i := range uint32(r.count) {
		for at := i; r.get(at).mark == unseen; {
			x := r.ref(at)
			x.mark = onWay
			if at == 0 {
				break
			}
			if at = x.up(); r.get(at).mark == onWay {
				f.open(at)
			}
		}
		f.leave(i)
	}
	for i := range uint32(r.count) {
		x := r.ref(i)
		x.in, x.named, x.mark = x.up(), 0, unseen
	}
}

// open breaks a circle through a row: all on it are to be walked again.
func (f *Forest) open(at uint32) {
	r := &f.rows
	broken := false
	for r.get(at).mark == onWay {
		x := r.ref(at)
		x.mark = unseen
		next := x.up()
		broken = broken || x.named != none
		x.named = none
		at = next
	}
	if !broken {
		r.ref(f.best(at)).in = 0
	}
}

// best is the row of a circle that others are in, where nothing tells which is: not a
// part of a BTree, nor a mapping or a list. Live objects are in no such circle unless
// the tree of the graph has one, which pack and verify will find.
func (f *Forest) best(at uint32) uint32 {
	rank := func(i uint32) int {
		switch kind := f.kinds[f.rows.get(i).class]; {
		case kind.part:
			return 2
		case kind.container:
			return 1
		}
		return 0
	}
	best := at
	for i := f.rows.get(at).in; i != at; i = f.rows.get(i).in {
		if c := cmp.Or(cmp.Compare(rank(i), rank(best)), cmp.Compare(i, best)); c < 0 {
			best = i
		}
	}
	return best
}

// leave marks a way that leads to the root.
func (f *Forest) leave(at uint32) {
	for r := &f.rows; r.get(at).mark == onWay; {
		x := r.ref(at)
		x.mark = done
		at = x.up()
	}
}

// fold makes the inner nodes and buckets of a BTree one with it: they are in its
// topmost node, and so is what they hold.
func (f *Forest) fold() {
	r := &f.rows
	for i := range uint32(r.count) {
		top := i
		for f.inner(top) {
			top = r.get(top).in
		}
		for at := i; at != top; {
			x := r.ref(at)
			next := x.in
			x.in, x.named = top, isPart
			at = next
		}
	}
	for i := range uint32(r.count) {
		x := *r.get(i)
		if in := *r.get(x.in); x.named != isPart && in.named == isPart {
			r.ref(i).in = in.in
		}
	}
}

// isPart is what a row names that is a part of the BTree it is in: nobody asks for that
// any more.
const isPart = 1

// inner tells whether an object is an inner part of the BTree that it is in.
func (f *Forest) inner(i uint32) bool {
	x := *f.rows.get(i)
	if x.named == isPart {
		return true
	}
	kind := f.kinds[x.class]
	return kind.part && x.in != i && naming.InnerPart(f.kinds[f.rows.get(x.in).class].label, kind.label)
}

// added marks a row whose sum is in the one that it is in. Before, its mark is how many
// rows have to be added to its own.
const added = none

// add adds up what is in each object, those first that have nothing in them.
func (f *Forest) add() {
	r := &f.rows
	for i := range uint32(r.count) {
		if in := r.get(i).in; in != i {
			r.ref(in).mark++
		}
	}
	for i := range uint32(r.count) {
		for at := i; ; {
			x := r.ref(at)
			if x.mark > 0 || x.in == at {
				break
			}
			x.mark = added
			all := *x
			in := r.ref(all.in)
			in.bytes += all.bytes
			in.blobs += all.blobs
			in.older += all.older
			in.objects += all.objects
			in.mark--
			at = all.in
		}
	}
}
