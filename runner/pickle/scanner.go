package pickle

import "iter"

// A Scanner finds the references in records, one after the other. Its zero
// value is ready. It is not safe for concurrent use; it may be used for any
// number of records, and is fastest when it is.
type Scanner struct {
	data    []byte // the record, decompressed
	refs    oidSet
	foreign []Foreign
	// class is what the first pickle leaves on the stack.
	class  value
	latest int64 // the oid of the last persistent id that was a reference
	holder holder

	// The pickle machine. The stack is empty again at the second pickle, the
	// memo and the nodes are not.
	stack []value
	fence int   // the items of the stack above the topmost mark begin here
	marks []int // the fences below
	memo  memo
	nodes []node

	unpacker unpacker
}

// Limits on the buffers of the pickle machine.
const (
	// kept is the capacity that a buffer may have to survive its record.
	kept = 1 << 16
	// maxStack, maxNodes and maxMemo bound the machine to some hundreds of MiB.
	// A record of ten million references stays below.
	maxStack = 1 << 24
	maxNodes = 1 << 24
	maxMemo  = 1 << 25
)

// Scan reads one record, which must not change while the results are in use.
// They are valid until the next Scan. The error is an [*Error]; an empty
// record, which a storage keeps of an object whose creation was undone, is one.
func (s *Scanner) Scan(record []byte) error {
	s.reset()
	if err := s.scan(record); err != nil {
		s.refs.reset()
		s.foreignUnread(err)
		return err
	}
	return nil
}

func (s *Scanner) reset() {
	s.data = nil
	s.refs.reset()
	s.foreign = reuse(s.foreign)
	s.class = other
	s.stack = reuse(s.stack)
	s.marks = reuse(s.marks)
	s.nodes = reuse(s.nodes)
	s.memo.reset()
}

// reuse empties a buffer, and lets go of one that a giant record has left.
func reuse[T any](buf []T) []T {
	if cap(buf) > kept {
		return nil
	}
	return buf[:0]
}

func (s *Scanner) scan(record []byte) *Error {
	data, err := s.unpacker.unpack(record)
	if err != nil {
		return err
	}
	return s.scanUnpacked(data)
}

func (s *Scanner) scanUnpacked(data []byte) *Error {
	if len(data) > maxOffset {
		return &Error{Kind: Opaque, Reason: "the record is longer than 4 GiB"}
	}
	s.data = data
	i, f := s.pickle(0)
	if f != nil {
		return s.failure(i, f)
	}
	s.class = s.stack[len(s.stack)-1]
	s.holder.parent = -1
	if i, f = s.pickle(i); f != nil {
		return s.failure(i, f)
	}
	return nil
}

// Refs returns the distinct oids that the record refers to, its own included
// if it does, in the order of their first appearance. All are >= 0. After an
// error there are none.
func (s *Scanner) Refs() []int64 { return s.refs.oids }

// Candidates yields every 8-byte window of the record that, read as an oid, is
// at most max, with repetitions. After an Odd error every object that the
// record may refer to is among them (and others that it doesn't refer to);
// after an Opaque one that can't be said.
func (s *Scanner) Candidates(max int64) iter.Seq[int64] {
	data := s.data
	return func(yield func(int64) bool) {
		if max < 0 {
			return
		}
		var window uint64
		for i, b := range data {
			window = window<<8 | uint64(b)
			if i >= 7 && window <= uint64(max) && !yield(int64(window)) {
				return
			}
		}
	}
}
