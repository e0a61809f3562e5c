package pickle

import "encoding/binary"

// persistent takes note of a persistent id. Following referencesf, what
// matters of a tuple is its first item, and lists aren't references.
//
// Two things go beyond it. A list must have one of the forms that ZODB knows:
// a form of the future might be a strong reference. And an oid that a call
// computes makes the record Opaque, but for the call that Python 3 writes for
// bytes in protocols below 3.
func (s *Scanner) persistent(id value) *fault {
	if id.kind() == list {
		return s.persistentList(s.nodes[id.at()])
	}
	oid := id
	if id.kind() == tuple {
		oid = s.nodes[id.at()].first
	}
	switch {
	case oid.kind() == text:
		// Nearly every oid: 8 bytes in a SHORT_BINBYTES or SHORT_BINSTRING.
		if b := s.data[oid.at():]; len(b) >= 10 && b[1] == 8 &&
			(b[0] == opShortBinBytes || b[0] == opShortBinString) {
			return s.reference(binary.BigEndian.Uint64(b[2:]))
		}
		n, f := textOid(s.data, oid.at())
		if f != nil {
			return f
		}
		return s.reference(n)
	case oid.kind() == encoded:
		n, f := encodedOid(s.data, oid.at())
		if f != nil {
			return f
		}
		return s.reference(n)
	case oid.kind() == computed:
		return opaquef("a persistent id whose oid is the result of a call")
	case id.kind() == emptyTuple:
		return oddf("a persistent id that is an empty tuple")
	case id.kind() == tuple:
		return oddf("a persistent id whose oid is neither bytes nor a string")
	}
	return oddf("a persistent id that is neither bytes, a string, a tuple nor a list")
}

// reference takes note of an oid.
func (s *Scanner) reference(oid uint64) *fault {
	if int64(oid) < 0 {
		return oddf("oid 0x%x is out of range (2^63 and more)", oid)
	}
	s.refs.add(int64(oid))
	s.latest = int64(oid)
	return nil
}

// persistentLine takes note of the persistent id of a PERSID instruction: the
// oid itself, as the line has no room for more. arg ends with the newline.
func (s *Scanner) persistentLine(arg []byte) *fault {
	if n := len(arg) - 1; n != 8 {
		return oddf("a persistent id of length %d instead of 8", n)
	}
	return s.reference(binary.BigEndian.Uint64(arg))
}

// persistentList takes note of a reference that isn't one, because it is weak
// or leads to another database.
func (s *Scanner) persistentList(n node) *fault {
	switch n.items {
	case 1: // [oid]
		if n.first.kind() == text {
			_, f := textOid(s.data, n.first.at())
			return f
		}
		if n.first.kind() == encoded {
			_, f := encodedOid(s.data, n.first.at())
			return f
		}
	case 2: // [letter, arguments]
		switch s.letter(n.first) {
		case 'w':
			return nil
		case 'n', 'm':
			s.foreign = append(s.foreign, s.foreignReference(n.second))
			return nil
		}
	}
	return oddf("a persistent id that is a list of an unknown form")
}

// letter returns the only byte of the string v, 0 if it isn't such a string.
func (s *Scanner) letter(v value) byte {
	if v.kind() != text {
		return 0
	}
	var room [1]byte
	b, n, _, f := spell(room[:], s.data, v.at())
	if f != nil || n != 1 {
		return 0
	}
	return b[0]
}
