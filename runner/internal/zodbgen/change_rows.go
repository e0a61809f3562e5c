package zodbgen

import "slices"

// addChildren appends the folders in a folder to the content at hand, in the
// order of their names.
func (c *Changes) addChildren(i int32) {
	all := c.plan.children(i)
	if i >= 0 {
		all = append(all, c.arrived[i]...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	for _, child := range all {
		if !c.cutUnits[child] && c.parent(child) == i {
			c.w.content = append(c.w.content, c.plan.folderChild(child))
		}
	}
}

// writeLeafOf writes the leaf of a folder's tree that holds item k.
func (c *Changes) writeLeafOf(i int32, k int64) {
	u := &c.plan.units[i]
	s := u.tree()
	b := int64(0)
	if !s.single {
		b = k / s.leaf
	}
	c.w.items = c.plan.itemsOf(u, c.w.items[:0])
	c.w.content = c.w.content[:0]
	if b == 0 {
		c.addChildren(i)
	}
	first, n := s.leafItems(b)
	for k := first; k < first+n; k++ {
		if !c.cutItems[u.firstItem+k] {
			c.w.content = append(c.w.content, child{c.plan.itemName(u.firstItem + k), c.w.items[k]})
		}
	}
	if s.single || s.next(b) == 0 {
		c.w.content = append(c.w.content, c.newItems[i]...)
	}
	c.w.folderLeaf(&s, b)
}

// writeCount writes a folder's Length; the number is none that anybody checks.
func (c *Changes) writeCount(i int32) {
	c.w.row(c.plan.units[i].count(), c.w.rec.length(c.random.below(200)))
}

// addItem adds an item with all its own to a folder that stays.
func (c *Changes) addItem() {
	i, u := c.unit(func(u *unit) bool { return u.kind == host && u.items > 0 })
	if u == nil {
		return
	}
	number := int64(len(c.newEntries))
	last := &c.plan.units[len(c.plan.units)-1]
	n := last.firstItem + int64(last.items) + number
	l := c.plan.layout(n)
	zoid := c.zoid
	c.zoid += l.objects()
	self := ref{zoid, l.kind}
	// As if it were item n of the folder: the number says all about it.
	c.w.items = c.plan.itemsOf(u, c.w.items[:0])
	c.w.writeItem(u, n-u.firstItem, &l, zoid, 0)
	id, title := c.plan.heading(n)
	c.newItems[i] = append(c.newItems[i], child{id, self})
	c.writeLeafOf(i, int64(u.items)-1)
	c.writeCount(i)
	r := randomOf(c.plan.Seed, "uuid", n)
	c.newEntries = append(c.newEntries, newEntryData{self, metadata{id: id, title: title, uuid: r.hex(32),
		path: c.plan.path(i) + "/" + id, portalType: portalTypes[l.kind], modified: float64(1700000000 + n)}})
	c.writeNewLeaf(number / catalogLeaf)
}

// indexed are the indexes that changes keep up to date: those by number. What
// else there is of the catalog refers to nothing but itself.
func (c *Changes) indexed() [3]index {
	all := c.plan.catalogs.indexes()
	return [3]index{all[0], all[2], all[3]}
}

// removeEntries takes [from, to) out of the catalog.
func (c *Changes) removeEntries(from, to int64) {
	for e := from; e < to; e++ {
		c.goneEntries[e] = true
	}
	for b := from / catalogLeaf; b <= (to-1)/catalogLeaf; b++ {
		for at, x := range c.indexed() {
			c.writeIndexLeaf(at, &x, b)
		}
	}
}

// writeIndexLeaf writes a leaf of the plan without the entries that are gone.
// The last one leads on to the first new one.
func (c *Changes) writeIndexLeaf(at int, x *index, b int64) {
	var left []int64
	first, n := x.leafItems(b)
	for e := first; e < first+n; e++ {
		if !c.goneEntries[e] {
			left = append(left, e)
		}
	}
	next := x.next(b)
	if next == 0 && len(c.newLeaves) > 0 {
		next = c.newLeaves[0][at]
	}
	c.w.row(x.zoid(0, b), c.w.rec.bucket(x.bucket, len(left), func(i int) { x.item(c.w, int64(i), left[i]) }, next))
}

// writeNewLeaf writes leaf j of the new entries, of each index; when it is new
// the one before leads to it, and so does the last of the lowest nodes.
func (c *Changes) writeNewLeaf(j int64) {
	indexed := c.indexed()
	isNew := j == int64(len(c.newLeaves))
	if isNew {
		c.newLeaves = append(c.newLeaves, [3]int64{c.zoid, c.zoid + 1, c.zoid + 2})
		c.zoid += 3
	}
	for at := range indexed {
		x := &indexed[at]
		c.newLeaf(at, x, j)
		if !isNew {
			continue
		}
		if j > 0 {
			c.newLeaf(at, x, j-1)
		} else {
			c.writeIndexLeaf(at, x, x.levels[0]-1)
		}
		c.lastNode(at, x)
	}
}

func (c *Changes) newLeaf(at int, x *index, j int64) {
	from := j * catalogLeaf
	entries := c.newEntries[from:min(from+catalogLeaf, int64(len(c.newEntries)))]
	var next int64
	if j+1 < int64(len(c.newLeaves)) {
		next = c.newLeaves[j+1][at]
	}
	creators := -1
	c.w.row(c.newLeaves[j][at], c.w.rec.bucket(x.bucket, len(entries), func(i int) {
		c.w.rec.number(c.plan.catalogs.entries + from + int64(i) + 1)
		switch at {
		case 0:
			c.w.rec.text(entries[i].meta.path)
		case 1:
			creators = c.w.rec.metadata(&entries[i].meta, creators)
		default:
			c.w.rec.keyReference(entries[i].at)
		}
	}, next))
}

// lastNode writes the last node above the leaves with the new ones.
func (c *Changes) lastNode(at int, x *index) {
	zoid, i := x.root, int64(0)
	if len(x.levels) > 1 {
		i = x.levels[1] - 1
		zoid = x.zoid(1, i)
	}
	first, n := x.children(1, i)
	c.w.row(zoid, c.w.rec.node(x.tree, x.bucket, int(n)+len(c.newLeaves),
		func(k int) int64 {
			if int64(k) < n {
				return x.zoid(0, first+int64(k))
			}
			return c.newLeaves[int64(k)-n][at]
		},
		func(k int) {
			if int64(k) < n {
				c.w.rec.number(x.firstItem(0, first+int64(k)) + 1)
			} else {
				c.w.rec.number(c.plan.catalogs.entries + (int64(k)-n)*catalogLeaf + 1)
			}
		}, ref{x.zoid(0, first), x.bucket}))
}
