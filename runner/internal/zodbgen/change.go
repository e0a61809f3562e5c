package zodbgen

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/zodbtest"
)

// Changes are later commits on a plan's database, one lot after the other.
// Which ones they are depends on the plan and on the sizes asked for so far.
type Changes struct {
	plan   *Plan
	random random
	w      *writer
	zoid   int64 // the next new one
	tid    int64 // of the next commit
	lot    *Change

	cutUnits    map[int32]bool
	cutItems    map[int64]bool // by number
	bereft      map[int64]bool // items whose relations were dropped
	revisions   map[int64]int64
	newItems    map[int32][]child // of a folder
	newParents  map[int32]int32   // of moved folders
	arrived     map[int32][]int32 // folders that were moved there
	goneEntries map[int64]bool
	newEntries  []newEntryData
	newLeaves   [][3]int64 // zoids of the leaves of paths, data, intids
}

type newEntryData struct {
	at   ref
	meta metadata
}

// A Change is a lot of commits. Rows that are written again within it are
// there once.
type Change struct {
	Rows    map[int64][]byte // by zoid
	Garbage []int64          // what it cut off, ascending
	tid     int64
}

// Changes begins.
func (p *Plan) Changes() *Changes {
	c := &Changes{plan: p, zoid: p.Objects, tid: p.tidOf(p.Objects) + 1<<32,
		random:   randomOf(p.Seed, "changes", 0),
		cutUnits: map[int32]bool{}, cutItems: map[int64]bool{}, bereft: map[int64]bool{},
		revisions: map[int64]int64{}, newItems: map[int32][]child{}, newParents: map[int32]int32{},
		arrived: map[int32][]int32{}, goneEntries: map[int64]bool{}}
	c.w = &writer{plan: p, emit: func(zoid, _ int64, state []byte) error {
		c.lot.Rows[zoid] = slices.Clone(state)
		return nil
	}}
	return c
}

// Next makes the commits that write this fraction of the objects: edits of
// texts, relations dropped, documents and folders cut, moved and added, with
// what that means to folders and catalogs. 10 objects at least.
func (c *Changes) Next(fraction float64) *Change {
	c.lot = &Change{Rows: map[int64][]byte{}, tid: c.tid}
	enough := max(int(fraction*float64(c.plan.Objects)), 10)
	for len(c.lot.Rows) < enough {
		switch x := c.random.below(100); {
		case x < 55:
			c.edit()
		case x < 60:
			c.dropRelations()
		case x < 68:
			c.cutItem()
		case x < 71:
			c.cutFolder()
		case x < 75:
			c.moveFolder()
		default:
			c.addItem()
		}
	}
	slices.Sort(c.lot.Garbage)
	c.tid += 1 << 32 * int64(len(c.lot.Rows)/commitRows+2)
	return c.lot
}

// commitRows is how many rows a commit of Commit has.
const commitRows = 1000

// Commit stores the rows as RelStorage does, in commits of some hundred.
func (ch *Change) Commit(ctx context.Context, conn *pgx.Conn) error {
	return ch.commits(func(tid int64, rows map[int64][]byte) error { return zodbtest.Commit(ctx, conn, tid, rows) })
}

// CommitHistory does the same in a history-preserving storage.
func (ch *Change) CommitHistory(ctx context.Context, h zodbtest.History) error {
	return ch.commits(func(tid int64, rows map[int64][]byte) error {
		_, err := h.Commit(ctx, tid, rows)
		return err
	})
}

func (ch *Change) commits(commit func(tid int64, rows map[int64][]byte) error) error {
	tid := ch.tid
	for zoids := range slices.Chunk(slices.Sorted(maps.Keys(ch.Rows)), commitRows) {
		rows := map[int64][]byte{}
		for _, zoid := range zoids {
			rows[zoid] = ch.Rows[zoid]
		}
		if err := commit(tid, rows); err != nil {
			return fmt.Errorf("commit %d changed objects: %w", len(rows), err)
		}
		tid += 1 << 32 // a minute later
	}
	return nil
}

// unit draws a folder that is there and satisfies want; nil if it finds none.
func (c *Changes) unit(want func(*unit) bool) (int32, *unit) {
	for range 1000 {
		i := int32(c.random.below(int64(len(c.plan.units))))
		if u := &c.plan.units[i]; u.kind != dead && !c.cutUnits[i] && want(u) {
			return i, u
		}
	}
	return -1, nil
}

// item draws an item that is there.
func (c *Changes) item(want func(number int64, l *layout) bool) (i int32, u *unit, k int64, l layout) {
	for range 1000 {
		if i, u = c.unit(func(u *unit) bool { return u.items > 0 }); u == nil {
			continue
		}
		k = c.random.below(int64(u.items))
		n := u.firstItem + k
		if l = c.plan.layout(n); !c.cutItems[n] && want(n, &l) {
			return i, u, k, l
		}
	}
	return -1, nil, 0, l
}

func (c *Changes) itemZoid(u *unit, k int64) int64 {
	c.w.items = c.plan.itemsOf(u, c.w.items[:0])
	return c.w.items[k].zoid
}

// edit writes an item with another text; its relations stay as they are.
func (c *Changes) edit() {
	_, u, k, l := c.item(func(int64, *layout) bool { return true })
	if u == nil {
		return
	}
	c.revisions[u.firstItem+k]++
	c.rewrite(u, k, &l)
}

func (c *Changes) rewrite(u *unit, k int64, l *layout) {
	n := u.firstItem + k
	zoid := c.itemZoid(u, k)
	r := l.contentRandom + random(c.revisions[n])
	d := c.w.item(u, k, l, zoid, &r)
	d.parent = ref{u.zoid, folder}
	if c.bereft[n] {
		d.related = 0
	}
	c.w.row(zoid, c.w.rec.item(d))
}

// dropRelations takes the list of relations from an item. Counting references
// finds the list and what is in it: they refer to the item, not to each other.
func (c *Changes) dropRelations() {
	_, u, k, l := c.item(func(n int64, l *layout) bool { return l.related && !c.bereft[n] })
	if u == nil {
		return
	}
	n := u.firstItem + k
	c.bereft[n] = true
	c.revisions[n]++
	c.rewrite(u, k, &l)
	end := c.itemZoid(u, k) + l.objects()
	c.cutOff(end-1-l.relations, end)
}

// cutOff notes that [from, to) can't be reached any more.
func (c *Changes) cutOff(from, to int64) {
	for zoid := from; zoid < to; zoid++ {
		c.lot.Garbage = append(c.lot.Garbage, zoid)
	}
}

// cutOffItem leaves out what was cut off before.
func (c *Changes) cutOffItem(n int64, l *layout, zoid int64) {
	end := zoid + l.objects()
	if c.bereft[n] {
		end -= 1 + l.relations
	}
	c.cutOff(zoid, end)
}

// cutItem removes an item that nobody else refers to.
func (c *Changes) cutItem() {
	i, u, k, l := c.item(func(n int64, l *layout) bool { return l.loose })
	if u == nil {
		return
	}
	n := u.firstItem + k
	c.cutItems[n] = true
	c.cutOffItem(n, &l, c.itemZoid(u, k))
	c.writeLeafOf(i, k)
	c.writeCount(i)
	if u.firstEntry >= 0 {
		c.removeEntries(u.firstEntry+1+k, u.firstEntry+2+k)
	}
}

// cutFolder removes a folder with all that is in it.
func (c *Changes) cutFolder() {
	i, u := c.unit(func(u *unit) bool { return u.kind == leaf && u.items <= 60 })
	if u == nil {
		return
	}
	c.cutUnits[i] = true
	tree := u.tree()
	c.cutOff(u.zoid, tree.root+tree.objects())
	zoid := u.firstZoid()
	for n := u.firstItem; n < u.firstItem+int64(u.items); n++ {
		l := c.plan.layout(n)
		if !c.cutItems[n] {
			c.cutOffItem(n, &l, zoid)
		}
		zoid += l.objects()
	}
	c.forgetIn(c.parent(i))
	c.removeEntries(u.firstEntry, u.firstEntry+1+int64(u.items))
}

// moveFolder hangs a folder somewhere else.
func (c *Changes) moveFolder() {
	i, u := c.unit(func(u *unit) bool { return u.kind == leaf })
	to, target := c.unit(func(u *unit) bool { return u.kind == host })
	if u == nil || target == nil || c.parent(i) == to {
		return
	}
	from := c.parent(i)
	c.newParents[i] = to
	c.arrived[to] = append(c.arrived[to], i)
	c.forgetIn(from)
	c.forgetIn(to)
	c.w.row(u.zoid, c.w.folder(i, to))
}

// forgetIn writes the part of a folder that holds folders, or the site's.
func (c *Changes) forgetIn(i int32) {
	if i < 0 {
		c.w.content = c.w.content[:0]
		c.addChildren(i)
		c.w.row(zoidSiteTree, c.w.rec.embedded(ooBTree, len(c.w.content), c.w.writeChild))
		c.w.row(zoidSiteCount, c.w.rec.length(int64(len(c.w.content))))
		return
	}
	c.writeLeafOf(i, 0)
	c.writeCount(i)
}

func (c *Changes) parent(i int32) int32 {
	if to, moved := c.newParents[i]; moved {
		return to
	}
	return c.plan.units[i].parent
}
