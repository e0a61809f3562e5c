package revision

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
