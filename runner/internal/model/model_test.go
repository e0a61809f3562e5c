package model

import (
	"maps"
	"math"
	"slices"
	"time"

	"relpack/runner/internal/zodbtest"
)

// modelNode is what relpack is expected to know of an object. When exactly
// something was cut off is known within bounds if a run was abandoned between.
type modelNode struct {
	tid     int64
	garbage bool
	lo, hi  int64 // bounds of detached_tid; 0: NULL
}

// age is since when it is garbage, if its detached_tid is this.
func (n modelNode) age(detached int64) int64 {
	if detached == 0 {
		return n.tid
	}
	return detached
}

// model is a storage with its past, and relpack's knowledge of it.
type model struct {
	stored    modelStorage
	snapshots []modelStorage
	began     int64           // when the history did, as a tid
	moment    int             // counts the changes of stored
	reached   map[int64]int   // zoid: the moment since which it can be reached all along
	cut       map[int64]int64 // zoid: highest tid when it was last cut off
	touched   map[int64]bool  // written since relpack looked
	vanished  map[int64]bool  // deleted by others since, maybe stored again
	opaque    map[int64]bool  // could not be decoded at some time

	building  bool // a first build has begun and is not finished
	dirty     bool // a run was abandoned halfway since nodes were settled
	undecided bool // a run was abandoned while it looked for what is reachable
	blurred   bool // nodes mix moments: somebody wrote while they were read
	settled   int  // the moment that nodes describe
	unread    modelReports
	clock     int64 // as a tid: when the last of them came about
	noticed   int64 // that of those which relpack has read
	forgotten int64 // what noticed was before --init, which may have been cut short
	abandoned int64 // the highest watermark of an abandoned run since
	nodes     map[int64]modelNode
	view      modelStorage // what the nodes describe

	holes    map[int64]modelHole // nodes whose rows vanished and that live objects refer to
	named    map[int64]modelHole // what had vanished when the nodes were read: odd records may name it
	recorded map[int64]modelHole // what relpack's tables say of all nodes, where a run was abandoned or overtaken; else nil
	accepted map[int64]bool      // holes that were given up

	doomed     map[int64]bool // chosen by a sweep that was begun,
	begunUntil int64          // and how young they may be

	lost    bool  // the graph has to be built anew
	renewed int64 // since when, as a tid, garbage has its grace again; 0: it had it

	files      map[[2]int64]bool // blobs deleted: zoid, tid
	maybeFiles map[[2]int64]bool // what may have been one
}

// modelReports is whether there are events that relpack has not read, or
// changes that it can find by comparing only: what no tid shows.
type modelReports int

const (
	noReports modelReports = iota
	maybeReports
	sureReports
)

func newModel() *model {
	return &model{
		stored: modelStorage{}, reached: map[int64]int{}, cut: map[int64]int64{}, touched: map[int64]bool{}, vanished: map[int64]bool{},
		opaque: map[int64]bool{}, accepted: map[int64]bool{},
		nodes: map[int64]modelNode{}, doomed: map[int64]bool{},
		files: map[[2]int64]bool{}, maybeFiles: map[[2]int64]bool{},
	}
}

// change applies one change to the storage and notes what it cut off.
func (m *model) change(do func(modelStorage)) {
	before := maps.Clone(m.stored)
	do(m.stored)
	m.moment++
	for zoid, row := range m.stored {
		if old, stored := before[zoid]; !stored || old.tid != row.tid || !sameContent(old.content, row.content) {
			m.touched[zoid] = true
		}
		if row.content.kind == "opaque" {
			m.opaque[zoid] = true
		}
	}
	highest := m.stored.maxTid()
	reached := m.stored.from(0)
	for zoid := range before {
		if _, stored := m.stored[zoid]; !stored {
			m.touched[zoid], m.vanished[zoid] = true, true
			delete(m.reached, zoid)
			delete(m.cut, zoid)
		}
	}
	for zoid := range m.stored {
		switch since := m.reached[zoid]; {
		case reached[zoid] && since == 0:
			m.reached[zoid] = m.moment
			delete(m.cut, zoid)
		case !reached[zoid] && (since != 0 || m.cut[zoid] == 0):
			delete(m.reached, zoid)
			m.cut[zoid] = highest
		}
		// The storage may have gone back to an earlier moment.
		m.cut[zoid] = min(m.cut[zoid], highest)
	}
}

func sameContent(a, b modelContent) bool {
	return a.kind == b.kind && slices.Equal(a.refs, b.refs)
}

// settle is what relpack must know once it has applied everything up to the
// present moment.
func (m *model) settle(firstBuild bool) {
	vanished := m.vanishedNodes()
	reached, holes := m.reach(vanished)
	early, late := m.noticeable()
	// What is cut off is no younger than the clock, though tids may be ahead.
	soon := zodbtest.TimeTid(time.Now().Add(time.Hour))
	early, late = max(early, min(m.stored.maxTid(), m.began)), max(late, min(m.stored.maxTid(), soon))
	odd := false
	for _, row := range m.stored {
		odd = odd || row.content.kind == "odd" || row.content.kind == "opaque"
	}
	nodes, tids := map[int64]modelNode{}, map[int64]int64{}
	for zoid, row := range m.stored {
		tids[zoid] = m.nodes[zoid].tid
		node := modelNode{tid: row.tid, garbage: !reached[zoid]}
		before, known := m.nodes[zoid]
		switch {
		case !node.garbage:
		case firstBuild:
			// Nobody knows since when. What could not be decoded at once is
			// entered later, as new.
			if odd || m.dirty {
				node.hi = max(late, m.abandoned)
			}
		case known && before.garbage:
			node.lo, node.hi = before.lo, before.hi
			if before.tid != row.tid {
				node.lo, node.hi = max(before.lo, min(row.tid, m.began)), max(before.hi, min(row.tid, soon))
			}
			if m.dirty || m.vanished[zoid] || m.renewed > 0 {
				// Its node may have gone meanwhile, and come back as a new one.
				node.lo = min(early, before.lo)
				node.hi = max(late, before.hi, m.abandoned)
			}
		case m.dirty:
			node.lo, node.hi = min(m.cut[zoid], m.began), max(late, m.abandoned)
		default:
			node.lo, node.hi = early, late
		}
		nodes[zoid] = node
	}
	for zoid, hole := range holes {
		nodes[zoid] = modelNode{tid: hole.tid}
	}
	m.holes, m.named, m.recorded, m.accepted = holes, vanished, nil, map[int64]bool{}
	m.view = maps.Clone(m.stored)
	m.nodes, m.settled, m.dirty, m.blurred, m.abandoned = nodes, m.moment, false, false, 0
	for zoid := range m.doomed {
		// What was written or attached since must be chosen anew.
		if node, stored := nodes[zoid]; !stored || node.tid != tids[zoid] || !node.garbage {
			delete(m.doomed, zoid)
		}
	}
	clear(m.touched)
	clear(m.vanished)
}

// reported notes a change that relpack is told of by an event, or must find by
// comparing: at the latest, it came about when relpack noticed.
func (m *model) reported(how modelReports) { m.unread = max(m.unread, how) }

// noticeable is what relpack.storage.noticed_tid may be after a capture: at
// least, and at most.
func (m *model) noticeable() (early, late int64) {
	early, late = m.noticed, m.noticed
	if m.unread != noReports {
		late = max(late, m.clock)
	}
	if m.unread == sureReports {
		early = late
	}
	return early, late
}

// notice takes over what it is. Before a capture is complete, reports may be
// read or unread.
func (m *model) notice(tid int64, captured bool) error {
	unread := m.unread
	if !captured {
		m.unread = maybeReports
	}
	early, late := m.noticeable()
	if tid != early && tid != late && tid != m.forgotten {
		return lossf("noticed_tid is %d, and should be %d or %d", tid, early, late)
	}
	m.noticed, m.unread, m.forgotten = tid, unread, 0
	if captured {
		m.unread = noReports
	}
	return nil
}

// forgetGraph is what --init does, unless it is cut short before.
func (m *model) forgetGraph() {
	m.forgotten = m.noticed
	m.dirty, m.begunUntil, m.lost, m.renewed = false, 0, false, 0
	m.noticed, m.unread = 0, maybeReports
	clear(m.nodes)
	clear(m.doomed)
	m.holes, m.recorded, m.accepted = nil, nil, map[int64]bool{}
}

// doom is what a pack with this pack tid deletes, of what the nodes describe:
// at least must, and at most may. They differ only where a run was abandoned.
func (m *model) doom(packTid int64) (must, may map[int64]bool) {
	return m.choose(packTid, func(n modelNode) int64 { return n.hi }),
		m.choose(packTid, func(n modelNode) int64 { return n.lo })
}

func (m *model) choose(packTid int64, detached func(modelNode) int64) map[int64]bool {
	var stay []int64
	for zoid, node := range m.nodes {
		young := node.age(detached(node))
		if node.garbage && young > packTid && (!m.doomed[zoid] || young > m.begunUntil) {
			stay = append(stay, zoid)
		}
	}
	if last := m.last(); last >= 0 {
		stay = append(stay, last)
	}
	spared := m.view.from(stay...)
	chosen := map[int64]bool{}
	for zoid, node := range m.nodes {
		if node.garbage && !spared[zoid] {
			chosen[zoid] = true
		}
	}
	return chosen
}

// last is the garbage that must stay so that the highest tid does: the first
// of those that bear it, if they are garbage all. -1: none.
func (m *model) last() int64 {
	highest := m.stored.maxTid()
	last := int64(math.MaxInt64)
	for zoid, row := range m.stored {
		if row.tid != highest {
			continue
		}
		if node, known := m.nodes[zoid]; !known || !node.garbage {
			return -1
		}
		last = min(last, zoid)
	}
	if last == math.MaxInt64 {
		return -1
	}
	return last
}

// forget removes what relpack deleted.
func (m *model) forget(zoids []int64) {
	for _, zoid := range zoids {
		row := m.stored[zoid]
		m.bury(zoid, row)
		delete(m.stored, zoid)
		delete(m.view, zoid)
		delete(m.nodes, zoid)
		delete(m.doomed, zoid)
		delete(m.reached, zoid)
		delete(m.cut, zoid)
	}
}

// bury notes which file a deleted row leaves behind.
func (m *model) bury(zoid int64, row modelRow) {
	switch file := [2]int64{zoid, row.tid}; row.content.kind {
	case "blob":
		m.files[file] = true
	case "null", "zip", "opaque":
		m.maybeFiles[file] = true
	}
}

// knowledge is what settle changes.
type modelKnowledge struct {
	nodes                    map[int64]modelNode
	view                     modelStorage
	touched                  map[int64]bool
	settled                  int
	abandoned, noticed       int64
	unread                   modelReports
	building, dirty, blurred bool
	holes, named, recorded   map[int64]modelHole
	accepted                 map[int64]bool
}

func (m *model) knowledge() modelKnowledge {
	return modelKnowledge{maps.Clone(m.nodes), maps.Clone(m.view), maps.Clone(m.touched),
		m.settled, m.abandoned, m.noticed, m.unread, m.building, m.dirty, m.blurred, m.holes, m.named, m.recorded, m.accepted}
}

// unsettle goes back to what was known before.
func (m *model) unsettle(k modelKnowledge) {
	m.nodes, m.view, m.touched, m.settled, m.abandoned = k.nodes, k.view, k.touched, k.settled, k.abandoned
	m.building, m.dirty, m.blurred = k.building, k.dirty, k.blurred
	m.noticed, m.unread = k.noticed, k.unread
	m.holes, m.named, m.recorded, m.accepted = k.holes, k.named, k.recorded, k.accepted
}
