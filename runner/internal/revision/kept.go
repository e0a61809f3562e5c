package revision

import "relpack/runner/pickle"

// kept are the revisions of an object that stay if the object does: all that are
// later than the pack time, the newest up to it, and those older ones that a later
// one names in prev_tid: an undo of it gives the object this state. RelStorage names
// the predecessor, but after a revision was restored the one that was current then.
func kept(revisions []Revision, packTid int64) []Revision {
	first, _ := newest(revisions, packTid)
	named := map[int64]bool{}
	for _, r := range revisions {
		named[r.PrevTid] = named[r.PrevTid] || r.Tid > packTid
	}
	var stay []Revision
	for _, r := range revisions {
		if r.Tid >= first.Tid || named[r.Tid] {
			stay = append(stay, r)
		}
	}
	return stay
}

// Trimmed are the revisions that stay after a pack up to packTid with pack-gc false:
// of each object those that its history later than that needs. Only an object whose
// last revision is a whiteout goes, when that is not later. An object that was set
// back stays as it is.
func (s *Storage) Trimmed(packTid int64) []Key {
	var keys []Key
	for _, zoid := range s.Zoids() {
		revisions := s.Revisions[zoid]
		last := revisions[len(revisions)-1]
		switch {
		case s.SetBack(zoid):
		case last.State == nil && last.Tid <= packTid:
			continue
		default:
			revisions = kept(revisions, packTid)
		}
		keys = append(keys, keysOf(revisions)...)
	}
	return keys
}

func keysOf(revisions []Revision) []Key {
	var keys []Key
	for _, r := range revisions {
		keys = append(keys, Key{r.Zoid, r.Tid})
	}
	return keys
}

// PackedWithGC are the revisions that stay after a pack up to packTid with pack-gc
// true.
// Roots are object 0, objects with a revision later than that, and what such a
// revision refers to; edges are the references of all revisions that stay.
func (s *Storage) PackedWithGC(packTid int64) ([]Key, error) {
	var scanner pickle.Scanner
	open, alive := []int64{0}, map[int64]bool{}
	for zoid, revisions := range s.Revisions {
		if revisions[len(revisions)-1].Tid > packTid || s.SetBack(zoid) {
			open = append(open, zoid)
		}
	}
	for len(open) > 0 {
		zoid := open[len(open)-1]
		open = open[:len(open)-1]
		if alive[zoid] || len(s.Revisions[zoid]) == 0 {
			continue
		}
		alive[zoid] = true
		stays := kept(s.Revisions[zoid], packTid)
		if s.SetBack(zoid) {
			stays = s.Revisions[zoid]
		}
		for _, r := range stays {
			if len(r.State) == 0 {
				continue
			}
			if err := scanner.Scan(r.State); err != nil {
				return nil, err
			}
			open = append(open, scanner.Refs()...)
		}
	}
	var keys []Key
	for _, key := range s.Trimmed(packTid) {
		if alive[key.Zoid] {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// Marked are the transactions that a pack up to packTid marks as packed. The one
// with tid 0 is RelStorage's own.
func (s *Storage) Marked(packTid int64) []int64 {
	var tids []int64
	for tid := range s.Packed {
		if tid > 0 && tid <= packTid {
			tids = append(tids, tid)
		}
	}
	return tids
}
