package zodbgen

import "fmt"

// writeUnit writes a folder and all its own.
func (w *writer) writeUnit(i int32) {
	p := w.plan
	u := &p.units[i]
	w.items = p.itemsOf(u, w.items[:0])
	w.tid = p.tidOf(u.zoid)
	w.row(u.zoid, w.folder(i, u.parent))
	w.row(u.count(), w.rec.length(int64(u.items+u.childCount)))
	w.folderTree(i)
	for k, item := range w.items {
		if w.err != nil {
			return
		}
		w.tid = p.tidOf(item.zoid)
		l := p.layout(u.firstItem + int64(k))
		w.writeItem(u, int64(k), &l, item.zoid, 0)
	}
}

// itemsOf lists the items of a folder.
func (p *Plan) itemsOf(u *unit, list []ref) []ref {
	zoid := u.firstZoid()
	for n := u.firstItem; n < u.firstItem+int64(u.items); n++ {
		l := p.layout(n)
		list = append(list, ref{zoid, l.kind})
		zoid += l.objects()
	}
	return list
}

func (w *writer) folder(i, parent int32) []byte {
	r := randomOf(w.plan.Seed, "title", int64(i))
	c := container{kind: folder, id: folderName(i), title: r.text(r.between(12, 45)),
		tree: w.plan.units[i].zoid + 2, count: w.plan.units[i].count()}
	c.parent = w.plan.folderRef(parent)
	return w.rec.folder(&c)
}

func (p *Plan) folderRef(i int32) ref {
	if i < 0 {
		return ref{zoidSite, site}
	}
	return ref{p.units[i].zoid, folder}
}

// folderTree writes the tree of a folder's content. Folders in it come before
// items, in the first bucket.
func (w *writer) folderTree(i int32) {
	u := &w.plan.units[i]
	s := u.tree()
	leaf := func(b int64) {
		w.content = w.content[:0]
		if b == 0 {
			for _, c := range w.plan.children(i) {
				w.content = append(w.content, w.plan.folderChild(c))
			}
		}
		first, n := s.leafItems(b)
		for k := first; k < first+n; k++ {
			w.content = append(w.content, child{w.plan.itemName(u.firstItem + k), w.items[k]})
		}
		w.folderLeaf(&s, b)
	}
	if s.single {
		leaf(0)
		return
	}
	key := func(n int64) { w.rec.text(w.plan.itemName(u.firstItem + n)) }
	w.nodeRow(&s, len(s.levels), 0, ooBTree, ooBucket, key)
	for b := range s.levels[0] {
		leaf(b)
	}
	w.innerRows(&s, ooBTree, ooBucket, key)
}

// folderLeaf writes leaf b of a folder's tree, or all of a small tree.
func (w *writer) folderLeaf(s *shape, b int64) {
	if s.single {
		w.row(s.root, w.rec.embedded(ooBTree, len(w.content), w.writeChild))
		return
	}
	w.row(s.zoid(0, b), w.rec.bucket(ooBucket, len(w.content), w.writeChild, s.next(b)))
}

// nodeRow writes a node of a tree; the root is above all levels.
func (w *writer) nodeRow(s *shape, level int, i int64, tree, bucket class, key func(item int64)) {
	zoid := s.root
	if level < len(s.levels) {
		zoid = s.zoid(level, i)
	}
	below := tree
	if level == 1 {
		below = bucket
	}
	first, n := s.children(level, i)
	w.row(zoid, w.rec.node(tree, below, int(n),
		func(k int) int64 { return s.zoid(level-1, first+int64(k)) },
		func(k int) { key(s.firstItem(level-1, first+int64(k))) },
		ref{s.zoid(0, s.firstLeaf(level-1, first)), bucket}))
}

// innerRows writes the nodes between the leaves and the root.
func (w *writer) innerRows(s *shape, tree, bucket class, key func(item int64)) {
	for level := 1; level < len(s.levels); level++ {
		for i := range s.levels[level] {
			w.nodeRow(s, level, i, tree, bucket, key)
		}
	}
}

// heading is what the catalog repeats of an item.
func (p *Plan) heading(n int64) (id, title string) {
	r := randomOf(p.Seed, "heading", n)
	return "page-" + padded(n) + "-" + r.text(r.between(3, 12)), r.text(r.between(14, 50))
}

func (p *Plan) itemName(n int64) string {
	id, _ := p.heading(n)
	return id
}

// writeItem writes item k of a folder with all that belongs to it. A later
// revision has other texts and the same references.
func (w *writer) writeItem(u *unit, k int64, l *layout, zoid int64, revision int64) {
	n := u.firstItem + k
	parent := ref{u.zoid, folder}
	self := ref{zoid, l.kind}
	r := l.contentRandom
	r += random(revision)
	d := w.item(u, k, l, zoid, &r)
	d.parent = parent
	w.row(zoid, w.rec.item(d))
	at := float64(1700000000 + n)
	steps := []float64{at, at + 60}
	if !l.twoSteps {
		steps = steps[:1]
	}
	w.row(d.workflow, w.rec.workflow(steps, self))
	next := d.workflow + 1
	if l.kind == file {
		w.row(d.blobFile, w.rec.blobFile(d.blobFile+1, d.id+".pdf"))
		w.row(d.blobFile+1, w.rec.blob())
		next = d.blobFile + 2
	}
	if l.annotated {
		next = w.writeAnnotations(l, &r, self, next)
	}
	if l.related {
		w.writeRelations(u, l, &r, self, next)
	}
}

// item fills in what an item says.
func (w *writer) item(u *unit, k int64, l *layout, zoid int64, r *random) *item {
	p := w.plan
	n := u.firstItem + k
	d := &item{kind: l.kind, effective: float64(1700000000 + n), workflow: zoid + 1}
	d.id, d.title = p.heading(n)
	d.modified = [10]byte{0x07, 0xe8, byte(r.between(1, 12)), byte(r.between(1, 28)), byte(r.below(24)), byte(r.below(60))}
	d.description = r.text(r.below(100))
	d.creators = []string{"admin", "user" + fmt.Sprint(r.below(users))}
	switch x := r.below(100_000); {
	case x == 0:
		d.text = r.text(r.between(100<<10, 220<<10))
	case x < 1200:
		d.text = r.text(r.between(2000, 7500))
	default:
		d.text = r.text(r.between(230, 690))
	}
	d.uuid = r.hex(32)
	if u.firstEntry >= 0 && k < int64(u.items) {
		e := u.firstEntry + 1 + k
		d.uuid = p.catalogs.uuid(e)
		d.subject = []string{tagName(int(e % tags))}
	}
	next := zoid + 2
	if l.kind == file {
		d.blobFile, d.user = next, zoidUsers+r.below(users)
		next += 2
	}
	if l.annotated {
		d.annotations = next
		next++
		if l.portlets {
			next++
		}
		if l.conversation {
			next += 2 + l.comments
		}
	}
	if l.related {
		d.related = next
	}
	if l.hasCanonical && l.kind == news {
		d.canonical = p.entries[r.below(int64(len(p.entries)))].zoid()
	}
	if l.kind == news && r.chance(0.24) {
		d.tag = zoidTag + r.below(tags)
	}
	return d
}

func (w *writer) annotations(r *random, conversationZoid, portlets int64) []byte {
	n := 2
	if conversationZoid != 0 {
		n++
	}
	if portlets != 0 {
		n++
	}
	at := 0
	return w.rec.embedded(ooBTree, n, func(int) {
		if at == 0 && conversationZoid == 0 {
			at++
		}
		switch at {
		case 0:
			w.rec.name("conversation")
			w.rec.ref(ref{conversationZoid, conversation})
		case 1:
			w.rec.name("plone.contentrules")
			w.rec.number(1)
		case 2:
			w.rec.name("plone.portlets.category")
			w.rec.text(r.text(r.between(8, 70)))
		case 3:
			w.rec.name("portlets")
			w.rec.ref(ref{portlets, persistentMapping})
		}
		at++
	})
}

func (w *writer) writeAnnotations(l *layout, r *random, self ref, zoid int64) (next int64) {
	next = zoid + 1
	var portlets, talk int64
	if l.portlets {
		portlets = next
		next++
	}
	if l.conversation {
		talk = next
		next += 2 + l.comments
	}
	w.row(zoid, w.annotations(r, talk, portlets))
	if portlets != 0 {
		w.row(portlets, w.rec.portlets(r.text(r.between(20, 230)), r.between(1, 999), self))
	}
	if talk != 0 {
		w.row(talk, w.rec.conversation(self, talk+1))
		w.row(talk+1, w.rec.embedded(ioBTree, int(l.comments), func(i int) {
			w.rec.number(int64(i + 1))
			w.rec.ref(ref{talk + 2 + int64(i), comment})
		}))
		for i := range l.comments {
			w.row(talk+2+i, w.rec.comment(i+1, "user"+fmt.Sprint(r.below(users)), r.text(r.between(40, 300)), talk))
		}
	}
	return next
}

func (w *writer) writeRelations(u *unit, l *layout, r *random, self ref, zoid int64) {
	relations := make([]int64, l.relations)
	for i := range relations {
		relations[i] = zoid + 1 + int64(i)
	}
	w.row(zoid, w.rec.related(relations))
	for _, relation := range relations {
		w.row(relation, w.rec.relation(self, w.relationTarget(u, r)))
	}
}

// relationTarget is an item of the same folder that is not cut alone, or one
// anywhere that stays; sometimes one that is gone.
func (w *writer) relationTarget(u *unit, r *random) ref {
	if r.chance(0.02) {
		return ref{}
	}
	if r.chance(0.6) {
		for range 8 {
			k := r.below(int64(u.items))
			if (u.firstItem+k)%4 != 3 {
				return w.items[k]
			}
		}
	}
	return w.plan.stayer(r)
}

// stayer is any folder or item that is never cut; ref{} if it finds none.
func (p *Plan) stayer(r *random) ref {
	for range 100 {
		if e := p.entries[r.below(int64(len(p.entries)))]; e.stays() {
			return e.ref()
		}
	}
	return ref{}
}
