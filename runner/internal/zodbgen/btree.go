package zodbgen

// A BTree's bucket holds its items flat in one tuple, and refers to the next
// bucket; a node holds children with the smallest key of each but the first
// between them, and refers to its first bucket. A tree of one bucket holds the
// bucket's state in its own (BTrees/_compat and BTreeTemplate.c).

// bucket writes the state of a bucket whose items are written by the caller;
// next 0 is the end of the chain.
func (r *record) bucket(c class, n int, items func(i int), next int64) []byte {
	r.begin(c)
	r.items(n, items)
	if next == 0 {
		r.tuple(1)
	} else {
		r.ref(ref{next, c})
		r.tuple(2)
	}
	return r.end()
}

// embedded writes a tree of one bucket.
func (r *record) embedded(c class, n int, items func(i int)) []byte {
	r.begin(c)
	if n == 0 {
		r.op(opNone)
		return r.end()
	}
	r.items(n, items)
	r.tuple(1)
	r.tuple(1)
	r.tuple(1)
	return r.end()
}

// items writes the flat tuple. Sets have one value an item, others two.
func (r *record) items(n int, items func(i int)) {
	width := 2
	if c := r.first(); c == iiSet || c == iiTreeSet {
		width = 1
	}
	switch values := n * width; {
	case values == 0:
		r.op(opEmptyTuple)
	case values <= 3:
		for i := range n {
			items(i)
		}
		r.tuple(values)
	default:
		r.op(opMark)
		for i := range n {
			items(i)
		}
		r.tuple(values)
	}
}

// first is the class of the record: the memo's first entry.
func (r *record) first() class {
	for c, number := range r.seen {
		if number == 1 {
			return class(c)
		}
	}
	return 0
}

// node writes an inner node of n children of the class below, which is the
// tree's own above the lowest nodes. key writes the smallest key of child i.
func (r *record) node(c, below class, n int, child func(i int) int64, key func(i int), firstBucket ref) []byte {
	r.begin(c)
	if 2*n-1 > 3 {
		r.op(opMark)
	}
	for i := range n {
		if i > 0 {
			key(i)
		}
		r.ref(ref{child(i), below})
	}
	r.tuple(2*n - 1)
	r.ref(firstBucket)
	r.tuple(2)
	return r.end()
}

// keyReference is what an id of the catalog leads to.
func (r *record) keyReference(to ref) {
	r.global(keyReference)
	r.op(opEmptyTuple, opNewObj)
	r.put()
	r.emptyDict()
	r.name("object")
	r.ref(to)
	r.op(opSetItem, opBuild)
}

// metadata is what the catalog keeps of an item.
type metadata struct {
	id, title, path, uuid, portalType string
	modified                          float64
}

// metadata writes one item's; creators is the memo number of the tuple that
// all items share, -1 at first.
func (r *record) metadata(m *metadata, creators int) int {
	r.op(opMark)
	r.text(m.id)
	r.text(m.title)
	r.text(m.path)
	r.text(m.uuid)
	r.name(m.portalType)
	r.float(m.modified)
	if creators < 0 {
		r.name("admin")
		creators = r.tuple(1)
	} else {
		r.get(creators)
	}
	r.tuple(7)
	return creators
}
