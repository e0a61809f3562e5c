package zodbgen

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// The values that a record is made of, as far as the sample has them: string,
// int64, float64, bool, nil, []byte, global, and these.
type (
	global string
	tuple  []any
	list   struct{ items []any }
	dict   struct{ keys, values []any }
	object struct {
		class, args, state any
	}
	weak struct{ zoid int64 }
)

func (d *dict) get(key string) any {
	if i := slices.Index(d.keys, any(key)); i >= 0 {
		return d.values[i]
	}
	return nil
}

// machine is a small pickle machine that keeps all values.
type machine struct {
	stack []any
	marks []int
	memo  map[int]any
}

func (m *machine) pop() any {
	v := m.stack[len(m.stack)-1]
	m.stack = m.stack[:len(m.stack)-1]
	return v
}

func (m *machine) popMark() []any {
	at := m.marks[len(m.marks)-1]
	m.marks = m.marks[:len(m.marks)-1]
	items := slices.Clone(m.stack[at:])
	m.stack = m.stack[:at]
	return items
}

func (m *machine) popN(n int) tuple {
	items := slices.Clone(m.stack[len(m.stack)-n:])
	m.stack = m.stack[:len(m.stack)-n]
	return items
}

func (m *machine) push(v any) { m.stack = append(m.stack, v) }

func (m *machine) top() any { return m.stack[len(m.stack)-1] }

// load runs one pickle and returns what follows it.
func (m *machine) load(b []byte) (value any, rest []byte) {
	line := func() string {
		text, after, _ := bytes.Cut(b, []byte("\n"))
		b = after
		return string(text)
	}
	take := func(n int) []byte {
		part := b[:n]
		b = b[n:]
		return part
	}
	for {
		switch op := take(1)[0]; op {
		case 0x80:
			take(1)
		case opStop:
			return m.pop(), b
		case 'c':
			m.push(global("c" + line() + "\n" + line() + "\n"))
		case opMark:
			m.marks = append(m.marks, len(m.stack))
		case opNone:
			m.push(nil)
		case opTrue, opFalse:
			m.push(op == opTrue)
		case opBinInt1:
			m.push(int64(take(1)[0]))
		case opBinInt2:
			m.push(int64(binary.LittleEndian.Uint16(take(2))))
		case opBinInt:
			m.push(int64(int32(binary.LittleEndian.Uint32(take(4)))))
		case opBinFloat:
			m.push(math.Float64frombits(binary.BigEndian.Uint64(take(8))))
		case opBinUnicode:
			m.push(string(take(int(binary.LittleEndian.Uint32(take(4))))))
		case opShortBytes:
			m.push(take(int(take(1)[0])))
		case opEmptyDict:
			m.push(&dict{})
		case opEmptyList:
			m.push(&list{})
		case opEmptyTuple:
			m.push(tuple{})
		case opTuple:
			m.push(tuple(m.popMark()))
		case opTuple1, opTuple2, opTuple3:
			m.push(m.popN(int(op-opTuple1) + 1))
		case opAppend:
			v := m.pop()
			l := m.top().(*list)
			l.items = append(l.items, v)
		case opAppends:
			items := m.popMark()
			l := m.top().(*list)
			l.items = append(l.items, items...)
		case opSetItem, opSetItems:
			var items []any
			if op == opSetItem {
				items = m.popN(2)
			} else {
				items = m.popMark()
			}
			d := m.top().(*dict)
			for i := 0; i < len(items); i += 2 {
				d.keys, d.values = append(d.keys, items[i]), append(d.values, items[i+1])
			}
		case opNewObj, opReduce:
			both := m.popN(2)
			m.push(&object{class: both[0], args: both[1]})
		case opBuild:
			state := m.pop()
			m.top().(*object).state = state
		case opBinPersID:
			m.push(reference(m.pop()))
		case opBinPut:
			m.memo[int(take(1)[0])] = m.top()
		case opLongBinPut:
			m.memo[int(binary.LittleEndian.Uint32(take(4)))] = m.top()
		case opBinGet:
			m.push(m.memo[int(take(1)[0])])
		case opLongBinGet:
			m.push(m.memo[int(binary.LittleEndian.Uint32(take(4)))])
		default:
			panic(fmt.Sprintf("instruction %q", op))
		}
	}
}

func reference(id any) any {
	zoid := func(v any) int64 { return int64(binary.BigEndian.Uint64(v.([]byte))) }
	switch id := id.(type) {
	case tuple:
		return ref{zoid(id[0]), classOf(id[1])}
	case []byte:
		return ref{zoid(id), comment} // or a Tag, which is written alike
	case *list:
		return weak{zoid(id.items[1].(tuple)[0])}
	}
	panic("persistent id")
}

func classOf(v any) class {
	at := slices.Index(globals[:], string(v.(global)))
	if at < 0 {
		panic(v)
	}
	return class(at)
}
