package zodbgen

import "sort"

// uuid of an entry. The ids ascend in another order than the entries, so that
// the index by uuid is known without sorting: entry e has rank e*a mod n.
func (c *catalogs) uuid(e int64) string { return c.uuidAt(c.rank(e)) }

func (c *catalogs) uuidAt(rank int64) string {
	r := random(rank)
	high := uint64(rank) * ((1 << 48) / uint64(c.entries+1))
	tail := r.hex(20)
	var b [12]byte
	for i := range b {
		b[i] = hexDigits[high>>(44-4*i)&15]
	}
	return string(b[:]) + tail
}

// spread is a number without a common divisor with n, near its golden section.
func spread(n int64) int64 {
	a := max(int64(float64(n)*0.618), 1)
	for gcd(a, n) != 1 {
		a++
	}
	return a
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func (c *catalogs) rank(e int64) int64 { return e % c.entries * c.spread % c.entries }

// entryAt is the inverse of rank.
func (c *catalogs) entryAt(rank int64) int64 { return rank * c.inverse % c.entries }

// inverse of a modulo n.
func inverse(a, n int64) int64 {
	t, next, r, nextR := int64(0), int64(1), n, a%n
	for nextR != 0 {
		q := r / nextR
		t, next = next, t-q*next
		r, nextR = nextR, r-q*nextR
	}
	return (t%n + n) % n
}

// owner is the folder that an entry belongs to.
func (p *Plan) owner(e int64) int32 {
	i := sort.Search(len(p.catalogued), func(i int) bool { return p.units[p.catalogued[i]].firstEntry > e })
	return p.catalogued[i-1]
}

// path of a folder, in the site.
func (p *Plan) path(i int32) string {
	if i < 0 {
		return "/plone"
	}
	return p.path(p.units[i].parent) + "/" + folderName(i)
}

var portalTypes = map[class]string{document: "Document", news: "News", file: "File"}

// describe is what the catalog says of an entry.
func (w *writer) describe(e int64) metadata {
	p := w.plan
	i := p.owner(e)
	u := &p.units[i]
	if w.pathOwner != i || w.path == "" {
		w.pathOwner, w.path = i, p.path(i)
	}
	m := metadata{portalType: "Folder", id: folderName(i), title: "Folder " + folderName(i), path: w.path}
	if k := e - u.firstEntry - 1; k >= 0 {
		m.id, m.title = p.heading(u.firstItem + k)
		m.path += "/" + m.id
		m.portalType = portalTypes[p.entries[e].class()]
	}
	m.uuid = p.catalogs.uuid(e)
	m.modified = float64(1700000000 + e)
	return m
}

// index is one BTree of the catalog.
type index struct {
	shape
	tree, bucket class
	item         func(w *writer, i int64, entry int64) // i: within its leaf
	key          func(w *writer, i int64)              // of item i of the tree
}

func intKey(w *writer, e int64) { w.rec.number(e + 1) }

func (c *catalogs) indexes() []index {
	all := []index{
		{c.paths, ioBTree, ioBucket, func(w *writer, _, e int64) {
			w.rec.number(e + 1)
			m := w.describe(e)
			w.rec.text(m.path)
		}, intKey},
		{c.uids, oiBTree, oiBucket, func(w *writer, _, rank int64) {
			w.rec.text(c.uuidAt(rank))
			w.rec.number(c.entryAt(rank) + 1)
		}, func(w *writer, rank int64) { w.rec.text(c.uuidAt(rank)) }},
		{c.data, ioBTree, ioBucket, func(w *writer, i, e int64) {
			if i == 0 {
				w.creators = -1
			}
			w.rec.number(e + 1)
			m := w.describe(e)
			w.creators = w.rec.metadata(&m, w.creators)
		}, intKey},
		{c.intids, ioBTree, ioBucket, func(w *writer, _, e int64) {
			w.rec.number(e + 1)
			w.rec.keyReference(w.plan.entries[e].ref())
		}, intKey},
		{c.modified, iiTreeSet, iiSet, func(w *writer, _, e int64) { w.rec.number(e + 1) }, intKey},
	}
	for t := range int64(tags) {
		member := func(w *writer, i int64) { w.rec.number(i*tags + t + 1) }
		all = append(all, index{c.keyword(t), iiTreeSet, iiSet, func(w *writer, _, i int64) { member(w, i) }, member})
	}
	return all
}

func (w *writer) writeCatalogs() {
	c := &w.plan.catalogs
	for i, x := range c.indexes() {
		if i == 5 {
			w.writeKeywords()
		}
		w.tid = w.plan.tidOf(x.root)
		w.writeIndex(&x)
	}
}

// writeKeywords writes the tree from tags to sets.
func (w *writer) writeKeywords() {
	c := &w.plan.catalogs
	w.tid = w.plan.tidOf(c.kw)
	w.row(c.kw, w.head(ooBTree, tagBuckets, c.kw+1, func(i int) string { return tagName(i * tags / tagBuckets) }))
	w.headBuckets(tagBuckets, c.kw+1, tags, func(i int) {
		w.rec.text(tagName(i))
		w.rec.ref(ref{c.keywords[i], iiTreeSet})
	})
}

func (w *writer) writeIndex(x *index) {
	if x.single {
		w.row(x.root, w.rec.embedded(x.tree, int(x.items), func(i int) { x.item(w, int64(i), int64(i)) }))
		return
	}
	key := func(i int64) { x.key(w, i) }
	w.nodeRow(&x.shape, len(x.levels), 0, x.tree, x.bucket, key)
	for b := range x.levels[0] {
		w.tid = w.plan.tidOf(x.zoid(0, b))
		first, n := x.leafItems(b)
		w.row(x.zoid(0, b), w.rec.bucket(x.bucket, int(n), func(i int) { x.item(w, int64(i), first+int64(i)) }, x.next(b)))
	}
	w.innerRows(&x.shape, x.tree, x.bucket, key)
}
