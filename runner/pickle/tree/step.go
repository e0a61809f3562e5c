package tree

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"relpack/runner/pickle"
)

// step runs one instruction. The letters are those of pickletools.py.
func (m *machine) step(op byte, arg []byte) error {
	switch op {
	case 0x80, 0x95, 0x98: // PROTO, FRAME, READONLY_BUFFER
		return nil
	case '.': // STOP
		m.stop = true
		return nil
	case '(': // MARK
		m.marks = append(m.marks, len(m.stack))
		return nil
	case 'N', 0x88, 0x89, 'K', 'M', 'J', 'I', 'L', 0x8a, 0x8b, 'F', 'G':
		m.push(m.number(op, arg))
		return nil
	case 'S', 'T', 'U', 'V', 'X', 'B', 'C', 0x8c, 0x8d, 0x8e:
		return m.text()
	case 'c', 0x93, 'i':
		return m.global(op, arg)
	case ')', ']', '}', 0x8f:
		m.push(m.node(map[byte]Kind{')': Tuple, ']': List, '}': Dict, 0x8f: Set}[op]))
		return nil
	case 0x85, 0x86, 0x87: // TUPLE1 to TUPLE3
		items, err := m.popN(int(op) - 0x84)
		return m.pushItems(Tuple, items, err)
	case 't', 'l', 'd', 0x91: // TUPLE, LIST, DICT, FROZENSET
		items, err := m.popMark()
		return m.pushItems(map[byte]Kind{'t': Tuple, 'l': List, 'd': Dict, 0x91: Set}[op], items, err)
	case 'a', 'e', 0x90, 's', 'u': // APPEND, APPENDS, ADDITEMS, SETITEM, SETITEMS
		return m.extend(op)
	case 'R', 0x81, 0x92, 'o', 'b': // REDUCE, NEWOBJ, NEWOBJ_EX, OBJ, BUILD
		return m.build(op)
	case 'Q', 'P': // BINPERSID, PERSID
		return m.reference(op, arg)
	case '0', '1', '2': // POP, POP_MARK, DUP
		return m.shuffle(op)
	case 'q', 'r', 'p', 0x94, 'h', 'j', 'g':
		return m.memoize(op, arg)
	}
	// EXT1, EXT2, EXT4, BYTEARRAY8, NEXT_BUFFER
	m.push(m.node(Unknown))
	return nil
}

func (m *machine) pushItems(kind Kind, items []*Node, err error) error {
	if err != nil {
		return err
	}
	n := m.node(kind)
	n.Items = items
	if kind == Dict {
		n.Items = items[:len(items)&^1]
	}
	m.push(n)
	return nil
}

// number reads None, a truth value or a number.
func (m *machine) number(op byte, arg []byte) *Node {
	n := m.node(Int)
	line := bytes.TrimSuffix(bytes.TrimSpace(arg), []byte("L"))
	switch op {
	case 'N':
		n.Kind = None
	case 0x88, 0x89: // NEWTRUE, NEWFALSE
		n.Kind, n.Int = Bool, int64(0x89-int(op))
	case 'K':
		n.Int = int64(arg[0])
	case 'M':
		n.Int = int64(binary.LittleEndian.Uint16(arg))
	case 'J':
		n.Int = int64(int32(binary.LittleEndian.Uint32(arg)))
	case 'I', 'L':
		value, err := strconv.ParseInt(string(line), 10, 64)
		switch {
		case op == 'I' && (string(line) == "00" || string(line) == "01"):
			n.Kind, n.Int = Bool, int64(line[1]-'0')
		case err != nil:
			n.Kind, n.Text = Number, line
		default:
			n.Int = value
		}
	case 'F':
		n.Kind, n.Text = Number, line
	case 'G':
		n.Kind = Number
		n.Text = strconv.AppendFloat(nil, math.Float64frombits(binary.BigEndian.Uint64(arg)), 'g', -1, 64)
	case 0x8a, 0x8b: // LONG1, LONG4: two's complement, little endian
		digits := arg[map[byte]int{0x8a: 1, 0x8b: 4}[op]:]
		if len(digits) > 8 {
			n.Kind, n.Text = Number, []byte("a large number")
			break
		}
		var b [8]byte
		if len(digits) > 0 && digits[len(digits)-1] >= 0x80 {
			b = [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
		}
		copy(b[:], digits)
		n.Int = int64(binary.LittleEndian.Uint64(b[:]))
	}
	return n
}

// text reads the string instruction at which the machine is.
func (m *machine) text() error {
	spelled, isText, ok := pickle.String(m.data, m.at)
	if !ok {
		return fmt.Errorf("a string with a wrong escape in it")
	}
	n := m.node(Bytes)
	n.Text = spelled
	switch op := m.data[m.at]; {
	case isText:
		n.Kind = Text
	case op == 'S' || op == 'T' || op == 'U':
		n.Int = 1
	}
	m.push(n)
	return nil
}

// global names a class, and makes an instance where it is INST.
func (m *machine) global(op byte, arg []byte) error {
	n := m.node(Class)
	if op == 0x93 { // STACK_GLOBAL
		pair, err := m.popN(2)
		if err != nil {
			return err
		}
		n.Module, n.Text = pair[0].Text, pair[1].Text
		m.push(n)
		return nil
	}
	module, rest, _ := bytes.Cut(arg, []byte{'\n'})
	n.Module, n.Text = module, bytes.TrimSuffix(rest, []byte{'\n'})
	if op == 'c' {
		m.push(n)
		return nil
	}
	items, err := m.popMark()
	if err != nil {
		return err
	}
	m.push(m.instance(n, &Node{Kind: Tuple, Items: items}))
	return nil
}

// instance is what a class makes of arguments. Bytes are called as a function by
// Python 3 in protocols below 3.
func (m *machine) instance(class, args *Node) *Node {
	n := m.node(Instance)
	n.extra().class, n.extra().args = class, args
	if class.Is("_codecs", "encode") && args.Kind == Tuple && len(args.Items) == 2 && args.Items[0].Kind == Text && string(args.Items[1].Text) == "latin1" {
		if b, ok := latin1(args.Items[0].Text); ok {
			return &Node{Kind: Bytes, Text: b}
		}
	}
	// copyreg._reconstructor(class, base, state) and copyreg.__newobj__(class, ...)
	if module := string(class.Module); (module == "copyreg" || module == "copy_reg") && args.Kind == Tuple && len(args.Items) > 0 && args.Items[0].Kind == Class {
		n.extra().class = args.Items[0]
		n.extra().args = &Node{Kind: Tuple, Items: args.Items[1:]}
	}
	// A set of Python 2 and of protocols below 4.
	if name := string(class.Text); (name == "set" || name == "frozenset") && args.Kind == Tuple && len(args.Items) == 1 && args.Items[0].Kind == List {
		return &Node{Kind: Set, Items: args.Items[0].Items}
	}
	return n
}

// latin1 are the bytes whose characters a text has.
func latin1(text []byte) ([]byte, bool) {
	b := make([]byte, 0, len(text))
	for len(text) > 0 {
		c, used := utf8.DecodeRune(text)
		if c > 0xff {
			return nil, false
		}
		b, text = append(b, byte(c)), text[used:]
	}
	return b, true
}

// extend adds items to the list, set or dictionary below them.
func (m *machine) extend(op byte) error {
	var items []*Node
	var err error
	switch op {
	case 'a':
		items, err = m.popN(1)
	case 's':
		items, err = m.popN(2)
	default:
		items, err = m.popMark()
	}
	if err != nil {
		return err
	}
	m.nodes += (len(items) + 1) / 2 // they are memory again
	n, err := m.top()
	switch {
	case err != nil:
		return err
	case op != 's' && op != 'u':
		n.Items = append(n.Items, items...)
	case n.Kind == Dict:
		n.Items = append(n.Items, items[:len(items)&^1]...)
	default:
		n.extra().pairs = append(n.extra().pairs, items[:len(items)&^1]...)
	}
	return nil
}

// build makes an instance, or gives one its state.
func (m *machine) build(op byte) error {
	if op == 'o' { // OBJ
		items, err := m.popMark()
		if err != nil {
			return err
		}
		if len(items) == 0 {
			return errUnderflow
		}
		m.push(m.instance(items[0], &Node{Kind: Tuple, Items: items[1:]}))
		return nil
	}
	count := 2
	if op == 0x92 { // NEWOBJ_EX has arguments with names
		count = 3
	}
	items, err := m.popN(count)
	if err != nil {
		return err
	}
	if op != 'b' {
		n := m.instance(items[0], items[1])
		if op == 0x92 {
			n.extra().pairs = items[2].Items
		}
		m.push(n)
		return nil
	}
	if items[0].Kind == Instance {
		items[0].extra().state = items[1]
	}
	m.push(items[0])
	return nil
}

func (m *machine) reference(op byte, arg []byte) error {
	if op == 'P' {
		m.push(m.persistent(&Node{Kind: Bytes, Text: arg[:len(arg)-1]}))
		return nil
	}
	id, err := m.pop()
	if err == nil {
		m.push(m.persistent(id))
	}
	return err
}

func (m *machine) shuffle(op byte) error {
	switch {
	case op == '2': // DUP
		n, err := m.top()
		if err == nil {
			m.push(n)
		}
		return err
	case op == '0' && len(m.stack) > m.bottom(): // POP
		m.stack = m.stack[:len(m.stack)-1]
		return nil
	}
	_, err := m.popMark()
	return err
}

// memoize runs an instruction that stores into the memo or fetches from it.
func (m *machine) memoize(op byte, arg []byte) error {
	var number int
	switch op {
	case 0x94: // MEMOIZE
		number = len(m.memo)
	case 'q', 'h': // BINPUT, BINGET
		number = int(arg[0])
	case 'r', 'j': // LONG_BINPUT, LONG_BINGET
		number = int(binary.LittleEndian.Uint32(arg))
	default: // PUT, GET
		var err error
		if number, err = strconv.Atoi(string(arg[:len(arg)-1])); err != nil {
			return fmt.Errorf("%.20q isn't a memo number", arg[:len(arg)-1])
		}
	}
	if op == 'h' || op == 'j' || op == 'g' {
		return m.get(number)
	}
	return m.put(number)
}
