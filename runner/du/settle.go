package du

import (
	"context"
	"strings"

	"relpack/runner/look"
	"relpack/runner/naming"
)

// settle looks for a better place than the tree's for objects that name nobody: in a
// folder, not in the catalog that is nearer to the root. These are asked who refers to
// them: what the tree has in a BTree, in an index, or in what is itself in them.
func (f *Forest) settle(ctx context.Context, g *look.Graph) error {
	g.Progress().Phase("look for folders", "objects", int64(f.rows.count))
	defer g.Progress().End()
	var some []int64
	for i := range uint32(f.rows.count) {
		if f.doubtful(i) {
			some = append(some, f.rows.get(i).zoid)
		}
		if len(some) == askedAtOnce || int(i) == f.rows.count-1 {
			if err := f.choose(ctx, g, some); err != nil {
				return err
			}
			some = some[:0]
		}
		if i%pageRows == pageRows-1 {
			g.Progress().Add(pageRows)
		}
	}
	return f.rows.err
}

// So many objects are asked about at once, and so many referrers of each are judged.
const (
	askedAtOnce     = 2_000
	judgedReferrers = 50
)

// doubtful tells whether the tree's place of an object may not be where a person
// would look for it.
func (f *Forest) doubtful(i uint32) bool {
	x := *f.rows.get(i)
	if i == 0 || x.named != none || f.kinds[x.class].part {
		return false
	}
	in := f.rows.get(x.in)
	kind := f.kinds[in.class]
	return kind.part || kind.index || in.named == i
}

func (f *Forest) choose(ctx context.Context, g *look.Graph, zoids []int64) error {
	if len(zoids) == 0 {
		return nil
	}
	type choice struct {
		row  uint32
		rank int
	}
	best := map[int64]choice{}
	if err := g.EachReferrer(ctx, zoids, judgedReferrers, func(zoid, from int64) {
		i, holder := f.rows.find(zoid), f.rows.find(from)
		if holder == none || holder == i || f.rows.get(holder).named == i {
			return
		}
		rank := 2 * f.rank(holder)
		if f.rows.get(i).in != holder {
			rank++
		}
		if now, known := best[zoid]; !known || rank < now.rank {
			best[zoid] = choice{holder, rank}
		}
	}); err != nil {
		return err
	}
	for zoid, c := range best {
		i := f.rows.find(zoid)
		if f.rows.get(i).in != c.row {
			f.rows.ref(i).named = c.row
		}
	}
	return nil
}

// rank tells how well one object is a place for another: the lower, the better.
func (f *Forest) rank(i uint32) int {
	kind := f.kinds[f.rows.get(i).class]
	owner := i
	for range maxParts {
		if !f.kinds[f.rows.get(owner).class].part {
			break
		}
		owner = f.rows.get(owner).up()
	}
	switch {
	case kind.index || f.kinds[f.rows.get(owner).class].index:
		return 3
	case kind.part && naming.HasTextKeys(kind.label):
		return 0
	case !kind.part:
		return 1
	}
	return 2
}

// maxParts is how many parts of a BTree may lie between a value and who has the BTree.
const maxParts = 100

// indexes are parts of the names of classes whose objects only find others.
var indexes = []string{"catalog", "intid", "keyreference", "relationvalue", "index"}

// newKind looks at the name of a class.
func newKind(label string) kind {
	k := kind{label: label, part: naming.IsBTree(label)}
	if label == "(unknown)" {
		k.label = ""
	}
	lower := strings.ToLower(label)
	for _, word := range indexes {
		k.index = k.index || strings.Contains(lower, word)
	}
	return k
}
