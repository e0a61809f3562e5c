package pickle

import "encoding/binary"

// pickle runs the pickle that begins at byte i and returns where it ends, its
// result on the stack; or the instruction at fault.
//
// This is the loop that every byte of the database goes through. It keeps the
// machine in local variables and handles the instructions that real records
// are made of; the others, and whatever goes wrong, are for step. A case that
// makes a value leaves it to the end of the loop, which pushes it and looks for
// the instruction that stores it in the memo, as four out of ten do.
func (s *Scanner) pickle(i int) (int, *fault) {
	data := s.data
	stack, fence := s.stack[:0], 0
	s.marks = s.marks[:0]
	run, base, next := s.memo.run, s.memo.base, s.memo.next()
	for i < len(data) {
		var v value // an other, unless a case says otherwise
		switch op := data[i]; op {
		case opBinUnicode:
			if len(data)-i < 5 {
				return i, errFraming
			}
			v = text.with(i)
			i += 5 + int(binary.LittleEndian.Uint32(data[i+1:]))
		case opShortBinBytes, opShortBinString, opShortBinUnicode:
			if len(data)-i < 2 {
				return i, errFraming
			}
			v = text.with(i)
			i += 2 + int(data[i+1])
		case opGlobal:
			v = global.with(i)
			i = lineEnd(data, lineEnd(data, i+1))
		case opNone, opNewTrue, opNewFalse, opBinInt1, opBinInt2, opBinInt, opBinFloat, opEmptyDict:
			i += int(layouts[op])
		case opEmptyTuple:
			v = emptyTuple
			i++

		case opTuple1, opTuple2, opTuple3:
			size := int(op) - opTuple1 + 1
			n := len(stack) - size
			if n < fence {
				return i, underflow(op)
			}
			pair := node{first: stack[n], items: int32(size)}
			if size > 1 {
				pair.second = stack[n+1]
			}
			v = s.node(tuple, pair)
			stack = stack[:n]
			i++

		case opBinGet:
			if len(data)-i < 2 {
				return i, errFraming
			}
			k := uint(int(data[i+1]) - base)
			if k >= uint(len(run)) {
				goto rare
			}
			v = run[k]
			i += 2

		case opLongBinPut: // where opBinPut has run out of numbers
			if len(data)-i < 5 || int(binary.LittleEndian.Uint32(data[i+1:])) != next ||
				len(run) == cap(run) || len(stack) <= fence {
				goto rare
			}
			run = append(run, stack[len(stack)-1])
			next++
			i += 5
			continue

		case opBinPersID:
			n := len(stack) - 1
			if n < fence {
				return i, underflow(op)
			}
			if f := s.persistent(stack[n]); f != nil {
				return i, f
			}
			stack[n] = s.object()
			i++
			continue

		case opProto:
			if len(data)-i < 2 || data[i+1] > lastProtocol {
				return i, errFraming
			}
			i += 2
			continue

		case opMark:
			if len(s.marks) == maxStack {
				return i, opaquef("more than %d marks on the stack", maxStack)
			}
			s.marks = append(s.marks, fence)
			fence = len(stack)
			i++
			continue
		case opSetItem:
			n := len(stack) - 2
			if n <= fence {
				return i, underflow(op)
			}
			if s.holder.sought && n == 1 {
				s.attributes(stack[n:])
			}
			stack = stack[:n]
			i++
			continue
		case opSetItems, opAppends:
			outer := len(s.marks) - 1
			if outer < 0 || fence <= s.marks[outer] {
				return i, underflow(op)
			}
			if op == opAppends {
				s.extend(stack[fence-1], stack[fence:])
			} else if s.holder.sought && fence == 1 {
				s.attributes(stack[fence:])
			}
			stack = stack[:fence]
			fence = s.marks[outer]
			s.marks = s.marks[:outer]
			i++
			continue
		case opTuple:
			outer := len(s.marks) - 1
			if outer < 0 {
				goto rare
			}
			v = s.tuple(stack[fence:])
			stack = stack[:fence]
			fence = s.marks[outer]
			s.marks = s.marks[:outer]
			i++

		case opBuild:
			n := len(stack) - 1
			if n <= fence {
				return i, underflow(op)
			}
			stack = stack[:n]
			i++
			continue
		case opReduce, opNewObj:
			n := len(stack) - 2
			if n < fence {
				return i, underflow(op)
			}
			v = computed
			if op == opReduce && stack[n].kind() == global {
				v = s.call(stack[n], stack[n+1])
			}
			stack = stack[:n]
			i++

		case opStop:
			if len(stack) <= fence {
				return i, underflow(op)
			}
			s.stack, s.memo.run = stack, run
			return i + 1, nil

		default:
			goto rare
		}

		if len(stack) == cap(stack) && len(stack) >= maxStack {
			return i, opaquef("more than %d values on the stack", maxStack)
		}
		stack = append(stack, v)
		if i+1 < len(data) && data[i] == opBinPut {
			if int(data[i+1]) != next || len(run) == cap(run) {
				continue
			}
			run = append(run, v)
			next++
			i += 2
		}
		continue

	rare:
		s.stack, s.fence, s.memo.run = stack, fence, run
		var f *fault
		if i, f = s.step(i); f != nil {
			return i, f
		}
		stack, fence = s.stack, s.fence
		run, base, next = s.memo.run, s.memo.base, s.memo.next()
	}
	return i, errFraming
}

func underflow(op byte) *fault {
	return oddf("opcode 0x%02x finds too little on the stack", op)
}
