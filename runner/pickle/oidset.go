package pickle

import "math/rand/v2"

// oidSet is a list of distinct oids in the order in which they came.
//
// Most records have a handful: those are compared one by one. Beyond few, an
// open-addressing hash table finds them.
type oidSet struct {
	oids  []int64
	table []uint32 // 1 + the place in oids; 0 is free; len is a power of two
	shift uint     // 64 - log2(len(table))
}

// few is how many oids are compared one by one. The table begins with room for
// four times as many and is never more than half full.
const few = 16

// factor spreads oids over the table, differently in every process, so that no
// record can be made to collide.
var factor = rand.Uint64() | 1

func (s *oidSet) reset() {
	s.oids = reuse(s.oids)
	s.table = reuse(s.table)
}

func (s *oidSet) add(oid int64) {
	if len(s.oids) > few {
		s.addHashed(oid)
		return
	}
	for _, o := range s.oids {
		if o == oid {
			return
		}
	}
	s.oids = append(s.oids, oid)
	if len(s.oids) > few {
		s.rehash(4 * few)
	}
}

func (s *oidSet) addHashed(oid int64) {
	slot := s.slot(oid)
	if s.table[slot] != 0 {
		return
	}
	s.oids = append(s.oids, oid)
	s.table[slot] = uint32(len(s.oids))
	if 2*len(s.oids) > len(s.table) {
		s.rehash(2 * len(s.table))
	}
}

// slot returns where oid is in the table, or the free place for it.
func (s *oidSet) slot(oid int64) int {
	slot := int(uint64(oid) * factor >> s.shift)
	for s.table[slot] != 0 && s.oids[s.table[slot]-1] != oid {
		slot = (slot + 1) & (len(s.table) - 1)
	}
	return slot
}

func (s *oidSet) rehash(size int) {
	if cap(s.table) < size {
		s.table = make([]uint32, size)
	}
	s.table = s.table[:size]
	clear(s.table)
	s.shift = 64
	for n := size; n > 1; n >>= 1 {
		s.shift--
	}
	for i, oid := range s.oids {
		s.table[s.slot(oid)] = uint32(i + 1)
	}
}
