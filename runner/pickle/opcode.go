package pickle

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
)

// The instructions of the pickle machine, with the names of pickletools.py.
const (
	opMark           = '('
	opEmptyTuple     = ')'
	opStop           = '.'
	opPop            = '0'
	opPopMark        = '1'
	opDup            = '2'
	opBinBytes       = 'B'
	opShortBinBytes  = 'C'
	opFloat          = 'F'
	opBinFloat       = 'G'
	opInt            = 'I'
	opBinInt         = 'J'
	opBinInt1        = 'K'
	opLong           = 'L'
	opBinInt2        = 'M'
	opNone           = 'N'
	opPersID         = 'P'
	opBinPersID      = 'Q'
	opReduce         = 'R'
	opString         = 'S'
	opBinString      = 'T'
	opShortBinString = 'U'
	opUnicode        = 'V'
	opBinUnicode     = 'X'
	opEmptyList      = ']'
	opAppend         = 'a'
	opBuild          = 'b'
	opGlobal         = 'c'
	opDict           = 'd'
	opAppends        = 'e'
	opGet            = 'g'
	opBinGet         = 'h'
	opInst           = 'i'
	opLongBinGet     = 'j'
	opList           = 'l'
	opObj            = 'o'
	opPut            = 'p'
	opBinPut         = 'q'
	opLongBinPut     = 'r'
	opSetItem        = 's'
	opTuple          = 't'
	opSetItems       = 'u'
	opEmptyDict      = '}'

	opProto           = 0x80 // protocol 2
	opNewObj          = 0x81
	opExt1            = 0x82
	opExt2            = 0x83
	opExt4            = 0x84
	opTuple1          = 0x85
	opTuple2          = 0x86
	opTuple3          = 0x87
	opNewTrue         = 0x88
	opNewFalse        = 0x89
	opLong1           = 0x8a
	opLong4           = 0x8b
	opShortBinUnicode = 0x8c // protocol 4
	opBinUnicode8     = 0x8d
	opBinBytes8       = 0x8e
	opEmptySet        = 0x8f
	opAddItems        = 0x90
	opFrozenSet       = 0x91
	opNewObjEx        = 0x92
	opStackGlobal     = 0x93
	opMemoize         = 0x94
	opFrame           = 0x95
	opByteArray8      = 0x96 // protocol 5
	opNextBuffer      = 0x97
	opReadonlyBuffer  = 0x98
)

// lastProtocol is the newest protocol whose instructions are all known here.
const lastProtocol = 5

// A layout says how long an instruction is. A positive one is the length in
// bytes, opcode included; zero is an unknown opcode.
type layout int8

const (
	oneLine  layout = -1 - iota // an argument that ends with a newline
	twoLines                    // two of them
	counted1                    // a length of 1 byte and as many bytes
	counted4                    // the same with 4 bytes, little endian
	signed4                     // the same, and negative lengths are wrong
	counted8                    // the same with 8 bytes
)

var layouts = [256]layout{
	opMark: 1, opEmptyTuple: 1, opStop: 1, opPop: 1, opPopMark: 1, opDup: 1,
	opBinBytes: counted4, opShortBinBytes: counted1,
	opFloat: oneLine, opBinFloat: 9,
	opInt: oneLine, opBinInt: 5, opBinInt1: 2, opLong: oneLine, opBinInt2: 3,
	opNone: 1, opPersID: oneLine, opBinPersID: 1, opReduce: 1,
	opString: oneLine, opBinString: signed4, opShortBinString: counted1,
	opUnicode: oneLine, opBinUnicode: counted4,
	opEmptyList: 1, opAppend: 1, opBuild: 1, opGlobal: twoLines, opDict: 1,
	opAppends: 1, opGet: oneLine, opBinGet: 2, opInst: twoLines,
	opLongBinGet: 5, opList: 1, opObj: 1, opPut: oneLine, opBinPut: 2,
	opLongBinPut: 5, opSetItem: 1, opTuple: 1, opSetItems: 1, opEmptyDict: 1,

	opProto: 2, opNewObj: 1, opExt1: 2, opExt2: 3, opExt4: 5,
	opTuple1: 1, opTuple2: 1, opTuple3: 1, opNewTrue: 1, opNewFalse: 1,
	opLong1: counted1, opLong4: signed4,
	opShortBinUnicode: counted1, opBinUnicode8: counted8, opBinBytes8: counted8,
	opEmptySet: 1, opAddItems: 1, opFrozenSet: 1, opNewObjEx: 1,
	opStackGlobal: 1, opMemoize: 1, opFrame: 9,
	opByteArray8: counted8, opNextBuffer: 1, opReadonlyBuffer: 1,
}

// instruction returns where the instruction at byte i ends, or says why it
// can't be told. i may be the end of data.
func instruction(data []byte, i int) (next int, broken string) {
	if i >= len(data) {
		return 0, "the record ends without STOP"
	}
	head, body := 1, 0
	switch l := layouts[data[i]]; l {
	case 0:
		return 0, fmt.Sprintf("unknown opcode 0x%02x", data[i])
	case oneLine, twoLines:
		next = lineEnd(data, i+1)
		if l == twoLines {
			next = lineEnd(data, next)
		}
		if next > len(data) {
			return 0, fmt.Sprintf("the line of opcode %q is cut off", data[i])
		}
		return next, ""
	case counted1:
		head = 2
	case counted4, signed4:
		head = 5
	case counted8:
		head = 9
	default:
		head = int(l)
	}
	if len(data)-i < head {
		return 0, fmt.Sprintf("the argument of opcode 0x%02x is cut off", data[i])
	}
	arg := data[i+1 : i+head]
	switch l := layouts[data[i]]; l {
	case counted1:
		body = int(arg[0])
	case counted4, signed4:
		n := binary.LittleEndian.Uint32(arg)
		if l == signed4 && n > math.MaxInt32 {
			return 0, fmt.Sprintf("negative length of opcode 0x%02x", data[i])
		}
		body = int(n)
	case counted8:
		n := binary.LittleEndian.Uint64(arg)
		body = int(min(n, math.MaxInt32<<1)) // longer than any record
	}
	if left := len(data) - i - head; body > left {
		return 0, fmt.Sprintf("opcode 0x%02x announces a length of %d, with %d left", data[i], body, left)
	}
	if data[i] == opProto && arg[0] > lastProtocol {
		return 0, fmt.Sprintf("unknown protocol %d", arg[0])
	}
	return i + head + body, ""
}

// lineEnd returns the offset after the newline that ends the line at i, or
// more than len(data) when there is none. i may lie behind the end.
func lineEnd(data []byte, i int) int {
	if i < len(data) {
		if n := bytes.IndexByte(data[i:], '\n'); n >= 0 {
			return i + n + 1
		}
	}
	return len(data) + 1
}
