package tree

import (
	"encoding/binary"
	"fmt"

	"relpack/runner/pickle"
)

// Limits on a record.
const (
	// MaxRecord is how many bytes it may have.
	MaxRecord = 64 << 20
	// MaxNodes is how many values may be in it: 100 MiB of nodes and slices.
	MaxNodes = 1 << 19
)

// A Record is an object's class and state.
type Record struct {
	Class *Node // what the first pickle is: a Class, a Tuple of it and arguments, or what is older
	State *Node // what the second one is; nil where only the first could be read
}

// Read reads a record, which must not change while the result is in use. After an
// error the result has what could be read before.
func Read(record []byte) (Record, error) {
	var r Record
	if len(record) > MaxRecord {
		return r, fmt.Errorf("the record has %d bytes, more than %d", len(record), MaxRecord)
	}
	data, err := pickle.Unpack(record, MaxRecord)
	if err != nil {
		return r, err
	}
	m := machine{data: data, memo: map[int]*Node{}}
	if r.Class, err = m.load(); err != nil {
		return r, err
	}
	r.State, err = m.load()
	return r, err
}

// ClassName is the object's class, as [pickle.Scanner.Class] tells it; empty when
// the record gives none away.
func (r Record) ClassName() (module, name string) {
	n := r.Class
	if n != nil && n.Kind == Tuple && len(n.Items) > 0 {
		n = n.Items[0]
	}
	switch {
	case n == nil:
	case n.Kind == Class:
		return string(n.Module), string(n.Text)
	case n.Kind == Tuple && len(n.Items) == 2 && isString(n.Items[0]) && isString(n.Items[1]):
		return string(n.Items[0].Text), string(n.Items[1].Text)
	}
	return "", ""
}

func isString(n *Node) bool { return n.Kind == Text || n.Kind == Bytes }

// machine runs the instructions of a record.
type machine struct {
	data  []byte
	at    int
	stack []*Node
	marks []int // where on the stack they are
	memo  map[int]*Node
	nodes int
	stop  bool
}

// load runs one pickle.
func (m *machine) load() (*Node, error) {
	m.stack, m.marks, m.stop = m.stack[:0], m.marks[:0], false
	for !m.stop {
		next, err := pickle.Next(m.data, m.at)
		if err != nil {
			return nil, err
		}
		if err := m.step(m.data[m.at], m.data[m.at+1:next]); err != nil {
			return nil, fmt.Errorf("%w at byte %d", err, m.at)
		}
		if m.nodes > MaxNodes || len(m.stack) > MaxNodes || len(m.marks) > MaxNodes {
			return nil, fmt.Errorf("more than %d values at byte %d", MaxNodes, m.at)
		}
		m.at = next
	}
	return m.pop()
}

// node counts a new node.
func (m *machine) node(kind Kind) *Node {
	m.nodes++
	return &Node{Kind: kind}
}

func (m *machine) push(n *Node) { m.stack = append(m.stack, n) }

// bottom is how far down the stack items may be taken.
func (m *machine) bottom() int {
	if len(m.marks) == 0 {
		return 0
	}
	return m.marks[len(m.marks)-1]
}

var errUnderflow = fmt.Errorf("an instruction finds too few values on the stack")

func (m *machine) pop() (*Node, error) {
	n := len(m.stack) - 1
	if n < m.bottom() {
		return nil, errUnderflow
	}
	top := m.stack[n]
	m.stack = m.stack[:n]
	return top, nil
}

func (m *machine) top() (*Node, error) {
	n := len(m.stack) - 1
	if n < m.bottom() {
		return nil, errUnderflow
	}
	return m.stack[n], nil
}

// popN takes n items off the stack; they are the caller's.
func (m *machine) popN(n int) ([]*Node, error) {
	at := len(m.stack) - n
	if at < m.bottom() {
		return nil, errUnderflow
	}
	items := append([]*Node{}, m.stack[at:]...)
	m.stack = m.stack[:at]
	return items, nil
}

// popMark takes the topmost mark off, and all that lies above it.
func (m *machine) popMark() ([]*Node, error) {
	outer := len(m.marks) - 1
	if outer < 0 {
		return nil, fmt.Errorf("an instruction finds no mark on the stack")
	}
	at := m.marks[outer]
	items := append([]*Node{}, m.stack[at:]...)
	m.nodes += len(items) / 8 // the slice is memory, too
	m.stack, m.marks = m.stack[:at], m.marks[:outer]
	return items, nil
}

// put stores the topmost item in the memo.
func (m *machine) put(number int) error {
	n, err := m.top()
	if err != nil {
		return err
	}
	if m.nodes++; number < 0 {
		return fmt.Errorf("a memo entry below 0")
	}
	m.memo[number] = n
	return nil
}

func (m *machine) get(number int) error {
	n, known := m.memo[number]
	if !known {
		return fmt.Errorf("memo entry %d was never stored", number)
	}
	m.push(n)
	return nil
}

// oid reads the 8 bytes of an object id.
func oid(n *Node) (int64, bool) {
	if n == nil || !isString(n) || len(n.Text) != 8 {
		return 0, false
	}
	id := int64(binary.BigEndian.Uint64(n.Text))
	return id, id >= 0
}

// persistent is what a persistent id stands for.
func (m *machine) persistent(id *Node) *Node {
	n := m.node(Unknown)
	set := func(kind Kind, of *Node) *Node {
		if id, ok := oid(of); ok {
			n.Kind, n.Int = kind, id
		}
		return n
	}
	switch {
	case isString(id):
		return set(Ref, id)
	case id.Kind == Tuple && len(id.Items) > 0:
		if len(id.Items) > 1 {
			n.extra().class = id.Items[1]
		}
		return set(Ref, id.Items[0])
	case id.Kind == List && len(id.Items) == 1:
		return set(Weak, id.Items[0])
	case id.Kind != List || len(id.Items) != 2 || !isString(id.Items[0]) || id.Items[1].Kind != Tuple || len(id.Items[1].Items) == 0:
		return n
	}
	arguments := id.Items[1].Items
	switch letter := string(id.Items[0].Text); {
	case letter == "w":
		return set(Weak, arguments[0])
	case (letter == "n" || letter == "m") && len(arguments) > 1 && isString(arguments[0]):
		n.Text = arguments[0].Text
		return set(Foreign, arguments[1])
	}
	return n
}
