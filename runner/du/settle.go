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
	best, err := f.bestReferrers(ctx, g.EachReferrer, zoids)
	for zoid, holder := range best {
		i := f.rows.find(zoid)
		if f.rows.get(i).in != holder {
			f.rows.ref(i).named = holder
		}
	}
	return err
}

// askReferrers hands on who refers to some objects, at most so many of each.
type askReferrers func(ctx context.Context, zoids []int64, most int, each func(zoid, from int64)) error

// bestReferrers tells for objects in which of those that refer to them they are best:
// where there is a choice, in the one where they are now. What names an object as its
// own holder is in it.
func (f *Forest) bestReferrers(ctx context.Context, ask askReferrers, zoids []int64) (map[int64]uint32, error) {
	best, ranks := map[int64]uint32{}, map[int64]int{}
	if len(zoids) == 0 {
		return best, nil
	}
	err := ask(ctx, zoids, judgedReferrers, func(zoid, from int64) {
		i, holder := f.rows.find(zoid), f.rows.find(from)
		if holder == none || holder == i || f.rows.get(holder).named == i {
			return
		}
		rank := 2 * f.rank(holder)
		if f.rows.get(i).in != holder {
			rank++
		}
		if now, known := ranks[zoid]; !known || rank < now {
			best[zoid], ranks[zoid] = holder, rank
		}
	})
	return best, err
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
	k := kind{label: label, part: naming.IsBTree(label), container: naming.IsContainer(label)}
	if label == "(unknown)" {
		k.label = ""
	}
	lower := strings.ToLower(label)
	for _, word := range indexes {
		k.index = k.index || strings.Contains(lower, word)
	}
	return k
}
