package pickle

import (
	"bytes"
	"fmt"
)

// Kind says what an unreadable record still tells about its references.
type Kind uint8

const (
	// Odd is a complete record, its framing intact to the end of the second
	// pickle, in which one part is wrong: a persistent id of an unknown form,
	// an oid that isn't 8 bytes long or is 2^63 and more, a memo entry that
	// nobody stored, an instruction that finds nothing on the stack. Every oid
	// in it is 8 plain bytes, so Candidates yields whatever it may refer to.
	Odd Kind = iota + 1

	// Opaque is a record whose references are unknown: it is cut off, has an
	// unknown instruction, is encrypted or can't be decompressed; or it is odd
	// and its oids need not be plain bytes (escapes of protocol 0, bytes
	// computed by a call).
	Opaque
)

func (k Kind) String() string {
	switch k {
	case Odd:
		return "odd"
	case Opaque:
		return "opaque"
	}
	return fmt.Sprintf("Kind(%d)", k)
}

// Error says why a record can't be read.
type Error struct {
	Kind   Kind
	Offset int    // of the instruction at fault, in the record as decompressed
	Reason string // what is wrong, and for Opaque why nothing can be salvaged
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s at byte %d", e.Reason, e.Offset)
}

// fault is what stopped the machine: a reason, and whether the references are
// unknown because of it.
type fault struct {
	reason string
	opaque bool
}

// errFraming stands for whatever frame finds wrong.
var errFraming = &fault{opaque: true}

func oddf(format string, args ...any) *fault {
	return &fault{reason: fmt.Sprintf(format, args...)}
}

func opaquef(format string, args ...any) *fault {
	return &fault{reason: fmt.Sprintf(format, args...), opaque: true}
}

// failure turns a fault at byte i into the error that the caller sees. It
// walks the whole record once more, so that the machine needn't keep book.
func (s *Scanner) failure(i int, f *fault) *Error {
	at, broken := frame(s.data)
	if f == errFraming {
		return &Error{Kind: Opaque, Offset: at, Reason: broken}
	}
	e := &Error{Kind: Odd, Offset: i, Reason: f.reason}
	switch {
	case f.opaque:
		e.Kind = Opaque
	case broken != "":
		e.Kind = Opaque
		e.Reason += fmt.Sprintf(" (and %s at byte %d)", broken, at)
	case !plain(s.data):
		e.Kind = Opaque
		e.Reason += " (and oids may be escaped or computed)"
	}
	return e
}

// frame walks the instructions of both pickles. It returns the offset of the
// first that is unknown or cut off, and says which; "" if there is none.
func frame(data []byte) (at int, broken string) {
	i := 0
	for range 2 {
		for stop := false; !stop; {
			next, broken := instruction(data, i)
			if broken != "" {
				return i, broken
			}
			stop = data[i] == opStop
			i = next
		}
	}
	return i, ""
}

// plain reports whether every oid in a record with intact framing consists of
// the 8 bytes themselves. Protocol 0 writes strings with escapes, and Python 3
// writes bytes for protocols below 3 as a call of _codecs.encode.
func plain(data []byte) bool {
	if bytes.Contains(data, []byte("_codecs")) {
		return false
	}
	i := 0
	for stops := 0; stops < 2; {
		next, broken := instruction(data, i)
		if broken != "" {
			return false
		}
		arg := data[i+1 : next]
		switch data[i] {
		case opString, opUnicode:
			if bytes.IndexByte(arg, '\\') >= 0 {
				return false
			}
		case opPersID: // an oid of 8 bytes may contain a backslash
			if len(arg) != 8+1 && bytes.IndexByte(arg, '\\') >= 0 {
				return false
			}
		case opStop:
			stops++
		}
		i = next
	}
	return true
}
