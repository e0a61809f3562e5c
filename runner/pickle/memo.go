package pickle

// memo holds the values that a record stored for later.
//
// Picklers number entries one after the other, from 0 or 1 on, so the run that
// begins with the first entry is a slice. Any entry that doesn't continue it
// goes to a map, so that a high number needs no more room than a low one.
type memo struct {
	run    []value
	base   int           // the number of run[0]
	sparse map[int]value // no number is in both
}

// maxSparse bounds the map, which no pickler fills.
const maxSparse = 1 << 20

func (m *memo) reset() {
	m.run = reuse(m.run)
	m.base = 0
	if len(m.sparse) > 1<<10 {
		m.sparse = nil // a map never shrinks, and clears in the time of its size
	}
	clear(m.sparse)
}

// len is the number of entries.
func (m *memo) len() int { return len(m.run) + len(m.sparse) }

func (m *memo) get(number int) (value, bool) {
	if k := number - m.base; k >= 0 && k < len(m.run) {
		return m.run[k], true
	}
	v, ok := m.sparse[number]
	return v, ok
}

// put reports false when the memo is full.
func (m *memo) put(number int, v value) bool {
	if m.len() == 0 {
		m.base = number
	}
	switch k := number - m.base; {
	case k >= 0 && k < len(m.run):
		m.run[k] = v
	case k == len(m.run):
		if len(m.run) >= maxMemo { // pickle itself fills what room there is
			return false
		}
		delete(m.sparse, number)
		m.run = append(m.run, v)
	default:
		if len(m.sparse) == maxSparse {
			return false
		}
		if m.sparse == nil {
			m.sparse = make(map[int]value)
		}
		m.sparse[number] = v
	}
	return true
}

// next is the number that append to run is right for, -1 if put must decide.
func (m *memo) next() int {
	if len(m.run) == 0 || len(m.sparse) > 0 || len(m.run) == cap(m.run) {
		return -1
	}
	return m.base + len(m.run)
}
