package zodbgen

import (
	"time"

	"relpack/runner/internal/zodbtest"
)

// The objects at the beginning, whatever the size.
const (
	zoidRoot = iota
	zoidSite
	zoidSiteTree
	zoidSiteCount
	zoidCatalog
	zoidTags
	zoidWeak
	zoidRegistry
	zoidUsers
	users          = 20
	tags           = 60
	tagBuckets     = 4
	settings       = 180
	settingBuckets = 12

	zoidPreferences    = zoidUsers + users
	zoidTagBuckets     = zoidPreferences + users
	zoidTag            = zoidTagBuckets + tagBuckets
	zoidSettingBuckets = zoidTag + tags
	zoidSettings       = zoidSettingBuckets + settingBuckets
	zoidFolders        = zoidSettings + settings
)

// folderKind says what becomes of a folder.
type folderKind uint8

const (
	host     folderKind = iota // catalogued, may hold other folders, stays
	leaf                       // catalogued, holds none, may be cut or moved
	archived                   // in no catalog, in a chain of such folders: deep
	dead                       // cut off: garbage with all that is in it
)

const (
	maxChildren  = 20 // folders in a folder
	archiveDepth = 5  // folders in a chain of archives
	wideShare    = 200
)

// unit is a folder with all its own: consecutive zoids.
type unit struct {
	zoid, end   int64 // the unit is [zoid, end)
	firstItem   int64 // number of its first item among all
	firstEntry  int64 // its own place in the catalog, -1: none
	items       int32
	parent      int32 // folder, -1: the site
	child       int32 // first child folder, -1: none
	sibling     int32 // the next child of its parent
	childCount  int32
	kind        folderKind
	chainLength uint8
}

// entry is a place in the catalog: where its object is, of which class, and
// whether it always stays.
type entry uint64

func newEntry(zoid int64, c class, stays bool) entry {
	e := entry(zoid)<<9 | entry(c)<<1
	if stays {
		e |= 1
	}
	return e
}

func (e entry) zoid() int64  { return int64(e >> 9) }
func (e entry) class() class { return class(e >> 1 & 0xff) }
func (e entry) ref() ref     { return ref{e.zoid(), e.class()} }
func (e entry) stays() bool  { return e&1 != 0 }

// Plan is a database that can be written: where everything lies, and what of
// it is garbage. It is not changed by being written.
type Plan struct {
	Objects int64 // in the database
	Seed    uint64

	units      []unit
	siteChild  int32
	siteCount  int32
	entries    []entry
	catalogued []int32 // folders that have entries
	scattered  int64   // the first of the garbage outside folders
	catalogs   catalogs
	commits    int64 // how many
	tid        int64 // of the first
	step       int64 // from one to the next
}

// Commits happened between these days: long ago for every grace.
var (
	firstCommit = time.Date(2024, 1, 2, 8, 0, 0, 0, time.UTC)
	lastCommit  = time.Date(2024, 12, 30, 18, 0, 0, 0, time.UTC)
)

// Parts of the garbage: folders with their content, the rest one by one.
const (
	deadShare      = 0.12 // of the objects so far, at most
	archivedShare  = 0.08
	leafShare      = 0.25
	scatteredShare = 0.005
)

// MinObjects is the smallest database that has some of everything.
const MinObjects = 2000

// NewPlan lays out a database of so many objects, MinObjects at least.
func NewPlan(objects int64, seed uint64) *Plan {
	p := &Plan{Objects: max(objects, MinObjects), Seed: seed, siteChild: -1}
	p.growFolders()
	p.commits = p.scattered + 1
	p.tid = zodbtest.TimeTid(firstCommit)
	p.step = (zodbtest.TimeTid(lastCommit) - p.tid) / p.Objects
	return p
}

// growFolders adds folders until the catalogs just fit in front of them.
func (p *Plan) growFolders() {
	zoid := int64(zoidFolders)
	limit := p.Objects - int64(float64(p.Objects)*scatteredShare)
	g := grower{Plan: p, archive: -1, dead: -1}
	for full := false; !full; {
		u := g.draw(int32(len(p.units)))
		u.zoid = zoid
		items := u.items
		for {
			u.items = items
			p.measure(&u)
			entries := int64(len(p.entries))
			if u.firstEntry >= 0 {
				entries += 1 + int64(items)
			}
			probe := newCatalogs(0, entries)
			if u.end+probe.objects() <= limit {
				break
			}
			full = true
			if items == 0 {
				break
			}
			items /= 2
		}
		if full && items == 0 {
			break
		}
		g.add(u)
		zoid = u.end
	}
	p.catalogs = newCatalogs(zoidFolders, int64(len(p.entries)))
	p.moveUp(p.catalogs.objects())
	p.scattered = zoid + p.catalogs.objects()
}

// moveUp makes room for the catalogs, which are older than what they list, as
// if the site had been exported and imported. So is each bucket older than the
// nodes above it, and refers to the next one: who takes the oldest referrer of
// each object for its parent gets a tree as deep as these chains are long.
func (p *Plan) moveUp(by int64) {
	for i := range p.units {
		p.units[i].zoid += by
		p.units[i].end += by
	}
	for i, e := range p.entries {
		p.entries[i] = newEntry(e.zoid()+by, e.class(), e.stays())
	}
}

// grower draws folders one after the other.
type grower struct {
	*Plan
	hosts   []int32 // may get another child
	archive int32   // end of the chain of archives
	dead    int32   // the last dead folder
	items   int64

	zoid, deadObjects int64
}

func (g *grower) draw(i int32) unit {
	r := randomOf(g.Seed, "folder", int64(i))
	u := unit{parent: -1, child: -1, sibling: -1, firstItem: g.items, firstEntry: -1}
	switch x := r.below(1000); {
	case i < 3:
	case x < 200 && float64(g.deadObjects) < deadShare*float64(g.zoid):
		u.kind = dead
	case x >= 200 && x < 200+archivedShare*1000:
		u.kind = archived
	case x >= 600 && x < 600+leafShare*1000:
		u.kind = leaf
	}
	switch x := r.below(100); {
	case i == 2:
		u.items = int32(max(g.Objects/wideShare/4, 10))
	case x < 10:
		u.items = int32(r.between(0, 8))
	case x < 76 || u.kind == leaf:
		u.items = int32(r.between(8, 50))
	case x < 98:
		u.items = int32(r.between(50, 110))
	default:
		u.items = int32(r.between(200, 600))
	}
	if small := g.Objects / 400; int64(u.items) > small {
		u.items = int32(r.between(small/2, small)) // of everything some in a small database
	}
	switch {
	case i < 6 || len(g.hosts) == 0:
	case u.kind == dead && g.dead >= 0 && r.chance(0.5) && g.units[g.dead].childCount < maxChildren:
		u.parent = g.dead
	case u.kind == archived && g.archive >= 0 && g.units[g.archive].chainLength < archiveDepth:
		u.parent = g.archive
	default:
		u.parent = g.hosts[r.below(int64(len(g.hosts)))]
	}
	if u.kind == host || u.kind == leaf {
		u.firstEntry = int64(len(g.entries))
	}
	return u
}

func (g *grower) add(u unit) {
	i := int32(len(g.units))
	if u.kind == archived {
		u.chainLength = 1
		if u.parent >= 0 && g.units[u.parent].kind == archived {
			u.chainLength += g.units[u.parent].chainLength
		}
		g.archive = i
	}
	switch {
	case u.kind == dead && (u.parent < 0 || g.units[u.parent].kind != dead):
		// Its parent forgot it.
	case u.parent < 0:
		u.sibling, g.siteChild = g.siteChild, i
		g.siteCount++
	default:
		parent := &g.units[u.parent]
		u.sibling, parent.child = parent.child, i
		parent.childCount++
		if parent.childCount == maxChildren {
			g.removeHost(u.parent)
		}
	}
	switch u.kind {
	case dead:
		g.dead = i
		g.deadObjects += u.end - u.zoid
	case host:
		g.hosts = append(g.hosts, i)
	}
	g.zoid = u.end
	g.units = append(g.units, u)
	g.items += int64(u.items)
	if u.firstEntry >= 0 {
		g.addEntries(&g.units[i])
	}
}

func (g *grower) removeHost(i int32) {
	for at, other := range g.hosts {
		if other == i {
			g.hosts = append(g.hosts[:at], g.hosts[at+1:]...)
			return
		}
	}
}

func (g *grower) addEntries(u *unit) {
	stays := u.kind == host
	g.catalogued = append(g.catalogued, int32(len(g.units)-1))
	g.entries = append(g.entries, newEntry(u.zoid, folder, stays))
	zoid := u.firstZoid()
	for n := u.firstItem; n < u.firstItem+int64(u.items); n++ {
		l := g.layout(n)
		g.entries = append(g.entries, newEntry(zoid, l.kind, stays && !l.loose))
		zoid += l.objects()
	}
}
