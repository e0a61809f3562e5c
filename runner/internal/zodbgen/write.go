package zodbgen

import (
	"fmt"
	"strconv"
)

// writer writes the rows of a plan, in the order of their zoids.
type writer struct {
	plan      *Plan
	rec       record
	tid       int64
	err       error
	emit      func(zoid, tid int64, state []byte) error
	items     []ref   // of the folder at hand
	content   []child // of the leaf at hand
	path      string  // of pathOwner
	pathOwner int32
	creators  int // memo number in the bucket at hand
}

// Write calls emit with every row of object_state, zoids ascending. The state
// is valid until emit returns.
func (p *Plan) Write(emit func(zoid, tid int64, state []byte) error) error {
	w := &writer{plan: p, emit: emit}
	w.writeHead()
	w.writeCatalogs()
	for i := range p.units {
		if w.err != nil {
			return w.err
		}
		w.writeUnit(int32(i))
	}
	if w.err == nil {
		w.err = w.writeScattered()
	}
	return w.err
}

func (w *writer) row(zoid int64, state []byte) {
	if w.err == nil {
		w.err = w.emit(zoid, w.tid, state)
	}
}

// tidOf is the tid of what was written last when zoid was given out.
func (p *Plan) tidOf(zoid int64) int64 { return p.tid + zoid*p.step }

func (w *writer) writeHead() {
	p, c := w.plan, &w.plan.catalogs
	w.tid = p.tidOf(p.Objects)
	w.row(zoidRoot, w.rec.root(zoidSite))
	w.tid = p.tid
	all := make([]int64, users)
	for i := range all {
		all[i] = int64(zoidUsers + i)
	}
	w.row(zoidSite, w.rec.site(&container{kind: site, id: "plone", title: "Site",
		tree: zoidSiteTree, count: zoidSiteCount}, zoidCatalog, zoidTags, zoidWeak, zoidRegistry, all))
	w.row(zoidSiteTree, w.siteTree())
	w.row(zoidSiteCount, w.rec.length(int64(p.siteCount)))
	w.row(zoidCatalog, w.rec.catalog(c.paths.root, c.uids.root, c.data.root, c.intids.root, c.kw, c.modified.root))
	w.row(zoidTags, w.head(ooBTree, tagBuckets, zoidTagBuckets, func(i int) string { return tagName(i * tags / tagBuckets) }))
	w.row(zoidWeak, w.rec.weakKeys([]int64{zoidTag, zoidTag + 1, zoidTag + 2}))
	w.row(zoidRegistry, w.head(ooBTree, settingBuckets, zoidSettingBuckets,
		func(i int) string { return settingName(i * settings / settingBuckets) }))
	for i := range users {
		w.row(zoidUsers+int64(i), w.rec.user(i, zoidPreferences+int64(i)))
	}
	for i := range users {
		w.row(zoidPreferences+int64(i), w.rec.preferences())
	}
	w.headBuckets(tagBuckets, zoidTagBuckets, tags, func(i int) {
		w.rec.text(tagName(i))
		w.rec.ref(ref{zoidTag + int64(i), tag})
	})
	for i := range tags {
		w.row(zoidTag+int64(i), w.rec.tag(tagName(i)))
	}
	w.headBuckets(settingBuckets, zoidSettingBuckets, settings, func(i int) {
		w.rec.text(settingName(i))
		w.rec.ref(ref{zoidSettings + int64(i), persistentMapping})
	})
	for i := range settings {
		r := randomOf(p.Seed, "setting", int64(i))
		w.row(zoidSettings+int64(i), w.rec.setting(r.text(r.between(10, 80))))
	}
}

// head is a tree right above its buckets.
func (w *writer) head(c class, buckets int, first int64, key func(i int) string) []byte {
	return w.rec.node(c, ooBucket, buckets, func(i int) int64 { return first + int64(i) },
		func(i int) { w.rec.text(key(i)) }, ref{first, ooBucket})
}

func (w *writer) headBuckets(buckets int, first int64, items int, item func(i int)) {
	each := items / buckets
	for b := range buckets {
		next := first + int64(b) + 1
		if b == buckets-1 {
			next = 0
		}
		w.row(first+int64(b), w.rec.bucket(ooBucket, each, func(i int) { item(b*each + i) }, next))
	}
}

func tagName(i int) string     { return fmt.Sprintf("tag%02d", i) }
func settingName(i int) string { return fmt.Sprintf("plone.setting.%03d", i) }
func folderName(i int32) string {
	return "folder-" + padded(int64(i))
}

// padded makes numbers that sort as texts.
func padded(n int64) string {
	digits := strconv.FormatInt(n, 10)
	return "0000000"[:max(7-len(digits), 0)] + digits
}

// children lists the folders in a folder, or in the site for -1.
func (p *Plan) children(i int32) []int32 {
	next := p.siteChild
	if i >= 0 {
		next = p.units[i].child
	}
	var list []int32
	for ; next >= 0; next = p.units[next].sibling {
		list = append(list, next)
	}
	for a, b := 0, len(list)-1; a < b; a, b = a+1, b-1 {
		list[a], list[b] = list[b], list[a]
	}
	return list
}

// child is what a folder holds under a name.
type child struct {
	name string
	ref  ref
}

func (p *Plan) folderChild(i int32) child {
	return child{folderName(i), ref{p.units[i].zoid, folder}}
}

func (w *writer) siteTree() []byte {
	w.content = w.content[:0]
	for _, i := range w.plan.children(-1) {
		w.content = append(w.content, w.plan.folderChild(i))
	}
	return w.rec.embedded(ooBTree, len(w.content), w.writeChild)
}

func (w *writer) writeChild(i int) {
	w.rec.text(w.content[i].name)
	w.rec.ref(w.content[i].ref)
}
