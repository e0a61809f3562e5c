package pickle

import (
	"encoding/binary"
	"strconv"
)

// step runs the instruction at byte i, whichever it is that pickle leaves to
// it, and returns where the next one begins.
func (s *Scanner) step(i int) (int, *fault) {
	next, broken := instruction(s.data, i)
	if broken != "" {
		return i, errFraming
	}
	op, arg := s.data[i], s.data[i+1:next]
	var f *fault
	switch op {
	case opFrame:
	case opInt, opLong, opFloat, opLong1, opLong4, opExt1, opExt2, opExt4, opEmptySet, opByteArray8:
		s.push(other)
	case opBinString, opBinBytes, opBinBytes8, opBinUnicode8, opUnicode:
		s.push(text.with(i))
	case opString:
		if !quoted(arg) {
			return i, oddf("a STRING without quotes")
		}
		s.push(text.with(i))
	case opNextBuffer: // may be bytes that lie elsewhere
		s.push(computed)
	case opEmptyList:
		s.push(s.node(list, node{}))

	case opPersID:
		f = s.persistentLine(arg)
		s.push(s.object())
	case opBinPut, opLongBinPut, opPut, opMemoize, opBinGet, opLongBinGet, opGet:
		f = s.memoize(op, arg)

	case opPop:
		switch {
		case len(s.stack) > s.fence:
			s.stack = s.stack[:len(s.stack)-1]
		default:
			_, f = s.popMark(op)
		}
	case opPopMark:
		_, f = s.popMark(op)
	case opTuple, opList, opDict, opFrozenSet, opInst, opObj, opAddItems:
		f = s.collect(op)
	case opDup, opReadonlyBuffer, opAppend, opStackGlobal, opNewObjEx:
		f = s.combine(op)
	default:
		// Nothing is left but an opcode with a layout that nobody handles.
		f = opaquef("unknown opcode 0x%02x", op)
	}
	if f != nil {
		return i, f
	}
	if len(s.stack) > maxStack {
		return i, opaquef("more than %d values on the stack", maxStack)
	}
	return next, nil
}

func (s *Scanner) push(v value) { s.stack = append(s.stack, v) }

// pop takes n items off the stack, none of which may lie below a mark.
func (s *Scanner) pop(op byte, n int) ([]value, *fault) {
	at := len(s.stack) - n
	if at < s.fence {
		return nil, underflow(op)
	}
	items := s.stack[at:]
	s.stack = s.stack[:at]
	return items, nil
}

// popMark takes the topmost mark and the items above it off the stack.
func (s *Scanner) popMark(op byte) ([]value, *fault) {
	outer := len(s.marks) - 1
	if outer < 0 {
		return nil, oddf("opcode 0x%02x finds no mark on the stack", op)
	}
	items := s.stack[s.fence:]
	s.stack = s.stack[:s.fence]
	s.fence = s.marks[outer]
	s.marks = s.marks[:outer]
	return items, nil
}

// collect runs an instruction that takes everything above the mark.
func (s *Scanner) collect(op byte) *fault {
	items, f := s.popMark(op)
	if f != nil {
		return f
	}
	var v value
	switch op {
	case opTuple:
		v = s.tuple(items)
	case opList:
		v = s.node(list, node{})
		s.extend(v, items)
	case opInst:
		v = computed
	case opObj:
		if len(items) == 0 {
			return underflow(op)
		}
		v = computed
	case opAddItems:
		_, f = s.top(op)
		return f
	}
	s.push(v)
	return nil
}

// combine runs an instruction that takes a fixed number of items.
func (s *Scanner) combine(op byte) *fault {
	v, f := s.top(op)
	if f != nil {
		return f
	}
	switch op {
	case opDup:
		s.push(v)
	case opReadonlyBuffer:
	case opAppend:
		items, f := s.pop(op, 1)
		if f != nil {
			return f
		}
		target, f := s.top(op)
		if f != nil {
			return f
		}
		s.extend(target, items)
	case opStackGlobal:
		items, f := s.pop(op, 2)
		if f != nil {
			return f
		}
		if items[0].kind() != text || items[1].kind() != text {
			return oddf("a STACK_GLOBAL of something else than strings")
		}
		s.push(s.node(stackGlobal, node{first: items[0], second: items[1]}))
	case opNewObjEx:
		if _, f := s.pop(op, 3); f != nil {
			return f
		}
		s.push(computed)
	}
	return nil
}

// top is the topmost item, which must lie above the topmost mark.
func (s *Scanner) top(op byte) (value, *fault) {
	if len(s.stack) <= s.fence {
		return other, underflow(op)
	}
	return s.stack[len(s.stack)-1], nil
}

// memoize runs an instruction that stores into the memo or fetches from it.
func (s *Scanner) memoize(op byte, arg []byte) *fault {
	var number int
	switch op {
	case opMemoize:
		number = s.memo.len()
	case opBinPut, opBinGet:
		number = int(arg[0])
	case opLongBinPut, opLongBinGet:
		number = int(binary.LittleEndian.Uint32(arg))
	default:
		n, err := strconv.ParseUint(string(arg[:len(arg)-1]), 10, 63)
		if err != nil {
			return oddf("opcode %q with %.20q, which isn't a memo number", op, arg[:len(arg)-1])
		}
		number = int(n)
	}
	switch op {
	case opBinGet, opLongBinGet, opGet:
		v, ok := s.memo.get(number)
		if !ok {
			return oddf("memo entry %d was never stored", number)
		}
		s.push(v)
		return nil
	}
	v, f := s.top(op)
	if f == nil && !s.memo.put(number, v) {
		f = opaquef("the memo is too large")
	}
	return f
}
