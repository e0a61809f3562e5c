package revision

import (
	"slices"

	"relpack/runner/pickle"
)

// A Collection is what a pack with pack-gc true makes of a storage.
type Collection struct {
	storage *Storage
	packTid int64
	Alive   map[int64]bool // objects that stay
	Unread  []Key          // revisions of these that stay, and can't be decoded
}

// Collect computes what a pack up to packTid with pack-gc true keeps.
// Roots are object 0, objects with a revision later than that, and what such a
// revision refers to; edges are the references of all revisions that stay. An object
// that was set back stays, and so does what any of its revisions refers to.
// More roots are objects that stay for another reason.
func (s *Storage) Collect(packTid int64, roots ...int64) Collection {
	open := append([]int64{0}, roots...)
	for zoid, revisions := range s.Revisions {
		if revisions[len(revisions)-1].Tid > packTid || s.SetBack(zoid) {
			open = append(open, zoid)
		}
	}
	return s.collect(packTid, open)
}

// Reached is what a pack up to packTid keeps for object 0 alone, and for more roots.
func (s *Storage) Reached(packTid int64, roots ...int64) Collection {
	return s.collect(packTid, append([]int64{0}, roots...))
}

// collect walks through the revisions that stay, from these objects on.
func (s *Storage) collect(packTid int64, open []int64) Collection {
	c := Collection{storage: s, packTid: packTid, Alive: map[int64]bool{}}
	var scanner pickle.Scanner
	for len(open) > 0 {
		zoid := open[len(open)-1]
		open = open[:len(open)-1]
		if c.Alive[zoid] || len(s.Revisions[zoid]) == 0 {
			continue
		}
		c.Alive[zoid] = true
		for _, r := range c.revisions(zoid) {
			if len(r.State) == 0 {
				continue
			}
			if err := scanner.Scan(r.State); err != nil {
				c.Unread = append(c.Unread, Key{zoid, r.Tid})
				continue
			}
			open = append(open, scanner.Refs()...)
		}
	}
	slices.SortFunc(c.Unread, Key.compare)
	return c
}

// revisions are those of an object that stay if the object does.
func (c Collection) revisions(zoid int64) []Revision {
	if c.storage.SetBack(zoid) {
		return c.storage.Revisions[zoid]
	}
	return kept(c.storage.Revisions[zoid], c.packTid)
}

// Stay are the revisions that stay, in ascending order. A deleted object that
// something refers to keeps the revision that says so.
func (c Collection) Stay() []Key {
	var keys []Key
	for _, zoid := range c.storage.Zoids() {
		if c.Alive[zoid] {
			keys = append(keys, keysOf(c.revisions(zoid))...)
		}
	}
	return keys
}

// Garbage are the objects that go, in ascending order.
func (c Collection) Garbage() []int64 {
	return slices.DeleteFunc(c.storage.Zoids(), func(zoid int64) bool { return c.Alive[zoid] })
}
