package zodbgen

import (
	"encoding/binary"
	"math"
)

// Instructions of the pickle machine (Lib/pickletools.py of CPython).
const (
	opMark       = '('
	opStop       = '.'
	opNone       = 'N'
	opTrue       = 0x88
	opFalse      = 0x89
	opBinInt     = 'J'
	opBinInt1    = 'K'
	opBinInt2    = 'M'
	opBinFloat   = 'G'
	opBinUnicode = 'X'
	opShortBytes = 'C'
	opEmptyDict  = '}'
	opEmptyList  = ']'
	opEmptyTuple = ')'
	opTuple      = 't'
	opTuple1     = 0x85
	opTuple2     = 0x86
	opTuple3     = 0x87
	opAppend     = 'a'
	opAppends    = 'e'
	opSetItem    = 's'
	opSetItems   = 'u'
	opBuild      = 'b'
	opNewObj     = 0x81
	opReduce     = 'R'
	opBinPersID  = 'Q'
	opBinPut     = 'q'
	opLongBinPut = 'r'
	opBinGet     = 'h'
	opLongBinGet = 'j'
)

// record is a ZODB record as CPython's pickler writes it: what is pickled a
// second time, being the same Python object, is fetched from the memo. Both
// pickles of a record share the memo.
type record struct {
	buf   []byte
	memo  int // entries so far
	names []named
	oids  []numbered
	seen  [len(globals)]int // memo number + 1
}

type named struct {
	name   string
	number int
}

type numbered struct {
	zoid   int64
	number int
}

// reset begins another record.
func (r *record) reset() {
	r.buf = append(r.buf[:0], 0x80, 3)
	r.memo = 0
	r.names = r.names[:0]
	r.oids = r.oids[:0]
	clear(r.seen[:])
}

// begin writes the first pickle of an object that is made without arguments,
// and the head of the second.
func (r *record) begin(c class) {
	r.reset()
	r.global(c)
	r.second()
}

func (r *record) second() { r.op(opStop, 0x80, 3) }

// end is the end of the second pickle.
func (r *record) end() []byte {
	r.op(opStop)
	return r.buf
}

func (r *record) op(instructions ...byte) { r.buf = append(r.buf, instructions...) }

// put enters what is on top of the stack into the memo.
func (r *record) put() int {
	number := r.memo
	r.memo++
	if number < 256 {
		r.buf = append(r.buf, opBinPut, byte(number))
	} else {
		r.buf = binary.LittleEndian.AppendUint32(append(r.buf, opLongBinPut), uint32(number))
	}
	return number
}

func (r *record) get(number int) {
	if number < 256 {
		r.buf = append(r.buf, opBinGet, byte(number))
	} else {
		r.buf = binary.LittleEndian.AppendUint32(append(r.buf, opLongBinGet), uint32(number))
	}
}

func (r *record) global(c class) {
	if r.seen[c] > 0 {
		r.get(r.seen[c] - 1)
		return
	}
	r.buf = append(r.buf, globals[c]...)
	r.seen[c] = r.put() + 1
}

// text writes a string that is met once; the empty one is always the same
// object to Python.
func (r *record) text(s string) {
	if s == "" {
		r.name(s)
		return
	}
	r.unicode(s)
	r.put()
}

func (r *record) unicode(s string) {
	r.buf = binary.LittleEndian.AppendUint32(append(r.buf, opBinUnicode), uint32(len(s)))
	r.buf = append(r.buf, s...)
}

// name writes a string that Python keeps one object of: a key, a constant.
func (r *record) name(s string) {
	for i := range r.names {
		if r.names[i].name == s {
			r.get(r.names[i].number)
			return
		}
	}
	r.unicode(s)
	r.names = append(r.names, named{s, r.put()})
}

func (r *record) number(n int64) {
	switch {
	case n >= 0 && n < 1<<8:
		r.buf = append(r.buf, opBinInt1, byte(n))
	case n >= 0 && n < 1<<16:
		r.buf = binary.LittleEndian.AppendUint16(append(r.buf, opBinInt2), uint16(n))
	default:
		r.buf = binary.LittleEndian.AppendUint32(append(r.buf, opBinInt), uint32(int32(n)))
	}
}

func (r *record) float(f float64) {
	r.buf = binary.BigEndian.AppendUint64(append(r.buf, opBinFloat), math.Float64bits(f))
}

func (r *record) oid(zoid int64) {
	for i := range r.oids {
		if r.oids[i].zoid == zoid {
			r.get(r.oids[i].number)
			return
		}
	}
	r.buf = binary.BigEndian.AppendUint64(append(r.buf, opShortBytes, 8), uint64(zoid))
	r.oids = append(r.oids, numbered{zoid, r.put()})
}

// ref writes a reference.
func (r *record) ref(to ref) {
	r.oid(to.zoid)
	if !to.bare() {
		r.global(to.class)
		r.op(opTuple2)
		r.put()
	}
	r.op(opBinPersID)
}

// weak writes a weak reference, which keeps nothing alive.
func (r *record) weak(zoid int64) {
	r.emptyList()
	r.op(opMark)
	r.name("w")
	r.oid(zoid)
	r.tuple(1)
	r.op(opAppends, opBinPersID)
}

func (r *record) emptyDict() {
	r.op(opEmptyDict)
	r.put()
}

func (r *record) emptyList() {
	r.op(opEmptyList)
	r.put()
}

// tuple ends a tuple of n items; of more than 3 a mark began it.
func (r *record) tuple(n int) int {
	switch n {
	case 1:
		r.op(opTuple1)
	case 2:
		r.op(opTuple2)
	case 3:
		r.op(opTuple3)
	default:
		r.op(opTuple)
	}
	return r.put()
}

// state begins the dict of an instance with several attributes.
func (r *record) state() {
	r.emptyDict()
	r.op(opMark)
}

// dateTime is an instance of a small class with a state of its own.
func (r *record) dateTime(seconds float64) {
	r.global(dateTime)
	r.op(opEmptyTuple, opNewObj)
	r.put()
	r.float(seconds)
	r.op(opFalse)
	r.name("GMT+1")
	r.tuple(3)
	r.op(opBuild)
}
