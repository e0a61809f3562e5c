package zodbgen

// layout is what belongs to an item: the objects that come after it.
type layout struct {
	kind          class
	loose         bool // nobody else refers to it: it may be cut
	annotated     bool
	portlets      bool
	conversation  bool
	comments      int64
	related       bool
	relations     int64
	hasCanonical  bool
	twoSteps      bool
	contentRandom random
}

// layout of item number n, of all items of the database.
func (p *Plan) layout(n int64) layout {
	r := randomOf(p.Seed, "item", n)
	l := layout{kind: document, loose: n%4 == 3}
	switch x := r.below(1000); {
	case x < 9:
		l.kind = file
	case x < 220:
		l.kind = news
	}
	if r.chance(0.52) {
		l.annotated = true
		l.portlets = r.chance(0.48)
		if r.chance(0.27) {
			l.conversation = true
			l.comments = r.between(1, 2)
			if r.chance(0.2) {
				l.comments = 3
			}
		}
	}
	if r.chance(0.32) {
		l.related = true
		l.relations = r.between(1, 3)
		if r.chance(0.07) {
			l.relations = 0
		}
	}
	l.hasCanonical = r.chance(0.05)
	l.twoSteps = r.chance(0.5)
	l.contentRandom = r
	return l
}

// objects is how many the item takes, itself included.
func (l *layout) objects() int64 {
	n := int64(2) // with its workflow history
	if l.kind == file {
		n += 2
	}
	if l.annotated {
		n++
		if l.portlets {
			n++
		}
		if l.conversation {
			n += 2 + l.comments
		}
	}
	if l.related {
		n += 1 + l.relations
	}
	return n
}

const (
	folderLeaf  = 17 // items in a bucket of a folder
	folderWhole = 30 // items that stay in the tree itself
)

// count is the folder's Length.
func (u *unit) count() int64 { return u.zoid + 1 }

// tree is how a folder's content lies: behind the folder and its Length.
func (u *unit) tree() shape {
	return newShape(u.zoid+2, int64(u.items), folderLeaf, folderWhole)
}

// firstZoid is where the items begin.
func (u *unit) firstZoid() int64 {
	tree := u.tree()
	return tree.root + tree.objects()
}

// measure finds the end of a folder's objects.
func (p *Plan) measure(u *unit) {
	zoid := u.firstZoid()
	for n := u.firstItem; n < u.firstItem+int64(u.items); n++ {
		l := p.layout(n)
		zoid += l.objects()
	}
	u.end = zoid
}

// catalogs are the indexes of the site. All but the buckets of intids refer to
// each other only.
type catalogs struct {
	paths, data, intids shape // by the id of an entry
	uids                shape
	modified            shape
	kw                  int64           // a tree of the sets below
	keywords            [tags + 1]int64 // where each tag's set begins; the end
	entries             int64
	spread, inverse     int64 // entry e has rank e*spread mod entries by its uuid
}

const (
	catalogLeaf  = 24
	uidLeaf      = 32
	setLeaf      = 52
	catalogWhole = 40
)

func newCatalogs(zoid, entries int64) catalogs {
	c := catalogs{entries: entries, spread: spread(max(entries, 1))}
	c.inverse = inverse(c.spread, max(entries, 1))
	lay := func(items, leaf int64) shape {
		s := newShape(zoid, items, leaf, catalogWhole)
		zoid += s.objects()
		return s
	}
	c.paths = lay(entries, catalogLeaf)
	c.uids = lay(entries, uidLeaf)
	c.data = lay(entries, catalogLeaf)
	c.intids = lay(entries, catalogLeaf)
	c.modified = lay(entries, setLeaf)
	c.kw = zoid
	zoid += 1 + tagBuckets
	for t := range c.keywords[:tags] {
		c.keywords[t] = zoid
		s := c.keyword(int64(t))
		zoid += s.objects()
	}
	c.keywords[tags] = zoid
	return c
}

// keyword is the set of the entries with a tag: every tags-th.
func (c *catalogs) keyword(t int64) shape {
	return newShape(c.keywords[t], (c.entries-t+tags-1)/tags, setLeaf, catalogWhole)
}

func (c *catalogs) objects() int64 { return c.keywords[tags] - c.paths.root }
