package zodbgen

// shape is how a BTree of n items lies: its root, then its leaves, then the
// inner nodes from the bottom up, at consecutive zoids.
type shape struct {
	root   int64
	items  int64
	leaf   int64 // items in a leaf
	single bool  // all is in the root
	levels []int64
}

const (
	nodeMax  = 250 // children that BTrees lets a node have
	nodeFill = 125 // what a node keeps when it was split at the end
)

// newShape lays a tree out from zoid root on. At most whole items stay in the
// root.
func newShape(root, items, leaf, whole int64) shape {
	s := shape{root: root, items: items, leaf: leaf, single: items <= whole}
	if s.single {
		return s
	}
	count := (items + leaf - 1) / leaf
	s.levels = append(s.levels, count)
	for count > nodeMax {
		count = (count + nodeFill - 1) / nodeFill
		s.levels = append(s.levels, count)
	}
	return s
}

// objects is how many objects the tree takes.
func (s *shape) objects() int64 {
	n := int64(1)
	for _, count := range s.levels {
		n += count
	}
	return n
}

// zoid of node i of a level; level 0 are the leaves.
func (s *shape) zoid(level int, i int64) int64 {
	z := s.root + 1
	for _, count := range s.levels[:level] {
		z += count
	}
	return z + i
}

// children of node i of a level above 0; the root is one level above all.
func (s *shape) children(level int, i int64) (first, n int64) {
	if level == len(s.levels) {
		return 0, s.levels[level-1]
	}
	first = i * nodeFill
	return first, min(nodeFill, s.levels[level-1]-first)
}

// firstItem is the first item under node i of a level.
func (s *shape) firstItem(level int, i int64) int64 {
	for range level {
		i *= nodeFill
	}
	return i * s.leaf
}

// firstLeaf is the leaf that holds it.
func (s *shape) firstLeaf(level int, i int64) int64 { return s.firstItem(level, i) / s.leaf }

// next is the leaf after leaf i; 0 after the last.
func (s *shape) next(i int64) int64 {
	if i+1 >= s.levels[0] {
		return 0
	}
	return s.zoid(0, i+1)
}

// leafItems is what leaf i holds.
func (s *shape) leafItems(i int64) (first, n int64) {
	if s.single {
		return 0, s.items
	}
	first = i * s.leaf
	return first, min(s.leaf, s.items-first)
}
