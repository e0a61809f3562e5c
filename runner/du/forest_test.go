package du

import (
	"math/rand/v2"
	"testing"
)

// grown makes a forest: of each object its parent in the tree and what it names, by
// rows. All are of one class and have a byte.
func grown(t *testing.T, limit int, tree, named []uint32) *Forest {
	t.Helper()
	f := &Forest{rows: rows{limit: limit}, kinds: []kind{{label: "m.C"}}}
	for i := range tree {
		x := row{zoid: int64(i), bytes: 1, objects: 1, in: tree[i], named: none}
		if named != nil {
			x.named = named[i]
		}
		f.rows.add(x)
	}
	t.Cleanup(f.rows.close)
	return f
}

func (f *Forest) ins() []uint32 {
	var all []uint32
	for i := range uint32(f.rows.count) {
		all = append(all, f.rows.get(i).in)
	}
	return all
}

func TestWhatAnObjectNamesDecidesUnlessItMakesACircle(t *testing.T) {
	t.Parallel()
	const no = none
	for name, c := range map[string]struct{ tree, named, want []uint32 }{
		"the tree":                   {[]uint32{0, 0, 1, 2}, nil, []uint32{0, 0, 1, 2}},
		"named":                      {[]uint32{0, 0, 0, 1}, []uint32{no, no, no, 2}, []uint32{0, 0, 0, 2}},
		"each other":                 {[]uint32{0, 0, 1, 2}, []uint32{no, no, 3, 2}, []uint32{0, 0, 1, 2}},
		"what is below it":           {[]uint32{0, 0, 1, 2}, []uint32{no, 3, no, no}, []uint32{0, 0, 1, 2}},
		"a circle of three":          {[]uint32{0, 0, 0, 0}, []uint32{no, 2, 3, 1}, []uint32{0, 0, 0, 0}},
		"a way into a circle":        {[]uint32{0, 0, 0, 0}, []uint32{no, 2, 1, 2}, []uint32{0, 0, 0, 2}},
		"a circle with tree edges":   {[]uint32{0, 0, 1, 2, 3}, []uint32{no, 4, no, no, no}, []uint32{0, 0, 1, 2, 3}},
		"itself":                     {[]uint32{0, 0}, []uint32{no, 1}, []uint32{0, 0}},
		"the root names something":   {[]uint32{0, 0}, []uint32{1, no}, []uint32{0, 0}},
		"a tree that is not sound":   {[]uint32{0, 2, 1}, nil, []uint32{0, 0, 1}},
		"two circles in each other":  {[]uint32{0, 0, 1, 1, 2}, []uint32{no, 2, 3, 2, 1}, []uint32{0, 0, 1, 1, 1}},
		"named chain, upside down":   {[]uint32{0, 0, 0, 0}, []uint32{no, no, 1, 2}, []uint32{0, 0, 1, 2}},
		"below what is in a circle":  {[]uint32{0, 0, 0, 2}, []uint32{no, 2, 1, no}, []uint32{0, 0, 0, 2}},
		"through the one that it is": {[]uint32{0, 2, 0}, []uint32{no, no, 1}, []uint32{0, 2, 0}},
	} {
		f := grown(t, 2, c.tree, c.named)
		f.join()
		for i, in := range f.ins() {
			if in != c.want[i] {
				t.Errorf("%s: row %d is in %d, want %d (%v)", name, i, in, c.want[i], f.ins())
			}
		}
	}
}

// Whatever objects name, all are in the root in the end, and sums are right.
func TestRandomNamesMakeOneTree(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		n := 1 + random.IntN(3*pageRows)
		tree, named := make([]uint32, n), make([]uint32, n)
		for i := range tree {
			if i > 0 {
				tree[i] = random.Uint32N(uint32(i))
			}
			named[i] = none
			if random.IntN(2) == 0 {
				named[i] = random.Uint32N(uint32(n))
			}
		}
		f := grown(t, 2, tree, named)
		f.join()
		ins := f.ins()
		want := make([]int64, n)
		for i := range ins {
			at, steps := uint32(i), 0
			for ; ; at = ins[at] {
				want[at]++
				if at == ins[at] || steps > n {
					break
				}
				steps++
			}
			if at != 0 {
				t.Fatalf("row %d is not in the root", i)
			}
			if ins[i] != tree[i] && ins[i] != named[i] {
				t.Fatalf("row %d is in %d, which is neither its parent nor what it names", i, ins[i])
			}
		}
		f.add()
		for i := range want {
			if x := f.rows.get(uint32(i)); x.bytes != want[i] || int64(x.objects) != want[i] {
				t.Fatalf("row %d: %+v, want %d", i, x, want[i])
			}
		}
	}
}

func TestAChainOfAMillionIsWalkedOnce(t *testing.T) {
	t.Parallel()
	const n = 1_000_000
	for name, tree := range map[string]func(i uint32) uint32{
		"down": func(i uint32) uint32 { return max(i, 1) - 1 },
		"up": func(i uint32) uint32 { // the highest is next to the root
			if i == 0 || i == n-1 {
				return 0
			}
			return i + 1
		},
	} {
		all := make([]uint32, n)
		for i := range all {
			all[i] = tree(uint32(i))
		}
		f := grown(t, memoryPages, all, nil)
		f.kinds[0] = kind{label: "BTrees.OOBTree.OOBucket", part: true}
		f.join()
		f.fold()
		f.add()
		if x := f.rows.get(0); x.objects != n {
			t.Errorf("%s: %+v", name, x)
		}
	}
}

func TestPartsOfABTreeAreInItsTopmostNode(t *testing.T) {
	t.Parallel()
	// 1 folder, 2 its tree, 3 a node, 4 and 5 buckets, 6 a document in 4, 7 a set in 5.
	f := grown(t, 2, []uint32{0, 0, 1, 2, 3, 4, 4, 5}, nil)
	f.kinds = []kind{{label: "m.C"}, {label: "BTrees.OOBTree.OOBTree", part: true}, {label: "BTrees.OOBTree.OOBucket", part: true},
		{label: "BTrees.IIBTree.IITreeSet", part: true}}
	for i, class := range []uint32{0, 0, 1, 1, 2, 2, 0, 3} {
		f.rows.ref(uint32(i)).class = class
	}
	f.join()
	f.fold()
	want := []uint32{0, 0, 1, 2, 2, 2, 2, 2}
	for i, in := range f.ins() {
		if in != want[i] {
			t.Errorf("row %d is in %d, want %d", i, in, want[i])
		}
	}
}
