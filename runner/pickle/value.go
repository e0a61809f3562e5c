package pickle

// A value stands for an object on the pickle machine's stack or in its memo:
// what kind of thing it is, and at which byte or node to look closer.
type value uint64

// What a value stands for is in its low byte, kindBits wide.
const (
	// other is what can't be an oid and contains none: a number, None, a
	// dictionary, the object that a persistent id stands for.
	other value = iota
	// computed is the result of a call, which could be anything.
	computed
	// text is a string or bytes; its offset is that of the instruction.
	text
	// global is a class; its offset is that of the GLOBAL instruction.
	global
	// stackGlobal is a class, too; its node has module and name.
	stackGlobal
	// emptyTuple has nothing.
	emptyTuple
	// tuple has a node with the first two items.
	tuple
	// list has one, too.
	list
	// encoded is bytes that Python 3 writes, for protocols below 3, as a text of
	// Latin-1; its offset is that of the text's instruction.
	encoded

	kindBits = 8
	kindMask = 1<<kindBits - 1
)

// maxOffset is the highest offset that a value can hold. PostgreSQL's bytea
// ends at 1 GB.
const maxOffset = 1<<32 - 1

func (v value) kind() value { return v & kindMask }

// at is the offset or the number of the node.
func (v value) at() int { return int(v >> kindBits) }

func (v value) with(at int) value { return v | value(at)<<kindBits }

// A node remembers of a tuple, a list or a class the little that can matter:
// an oid comes first in a persistent id, or second after the database that it
// is of, and a name second in (module, name).
type node struct {
	first, second value // other, where there are fewer
	items         int32 // 2 in a list stands for more, too
}

// node makes a value with a node. A record that has more of them than any sane
// one gets values that are good for nothing.
func (s *Scanner) node(kind value, n node) value {
	if len(s.nodes) == maxNodes {
		return computed
	}
	s.nodes = append(s.nodes, n)
	return kind.with(len(s.nodes) - 1)
}

// tuple makes a tuple of items.
func (s *Scanner) tuple(items []value) value {
	if len(items) == 0 {
		return emptyTuple
	}
	n := node{first: items[0], items: int32(len(items))}
	if len(items) > 1 {
		n.second = items[1]
	}
	return s.node(tuple, n)
}

// extend appends items to the list that v stands for. Other objects with an
// append method take items, too, and are none of a persistent id's business.
func (s *Scanner) extend(v value, items []value) {
	if v.kind() != list || len(items) == 0 {
		return
	}
	n := &s.nodes[v.at()]
	switch {
	case n.items == 1:
		n.second = items[0]
	case n.items == 0 && len(items) > 1:
		n.first, n.second = items[0], items[1]
	case n.items == 0:
		n.first = items[0]
	}
	n.items = int32(min(int(n.items)+len(items), 2))
}
