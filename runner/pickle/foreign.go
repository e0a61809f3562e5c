package pickle

import "bytes"

// A Foreign is a reference to an object of another database.
type Foreign struct {
	// Database is its name as the record has it, a view that is valid until the
	// next Scan. It may be empty: ZODB calls a database so that has no name.
	Database []byte
	// Oid is the object there. -1: there may be such references, to whatever
	// database, but they can't be read.
	Oid int64
}

// Foreign returns the references to objects of other databases, ['n', ...] and
// ['m', ...], with repetitions. Weak ones don't count, as they keep nothing
// alive. After an error it is one whose Oid is -1, or none where the record
// holds nothing that could begin one.
func (s *Scanner) Foreign() []Foreign { return s.foreign }

// maxDatabaseName bounds a name that is spelled with escapes; ZODB writes none.
const maxDatabaseName = 256

// foreignReference reads the arguments of 'n' or 'm': (database, oid) or
// (database, oid, class).
func (s *Scanner) foreignReference(arguments value) Foreign {
	unread := Foreign{Oid: -1}
	if arguments.kind() != tuple {
		return unread
	}
	n := s.nodes[arguments.at()]
	if n.first.kind() != text {
		return unread
	}
	var oid uint64
	f := oddf("no oid")
	switch n.second.kind() {
	case text:
		oid, f = textOid(s.data, n.second.at())
	case encoded:
		oid, f = encodedOid(s.data, n.second.at())
	}
	if f != nil || int64(oid) < 0 {
		return unread
	}
	database, form := body(s.data, n.first.at())
	if form == reprBytes || form == escapedText {
		room := make([]byte, maxDatabaseName)
		spelled, length, _, f := spell(room, s.data, n.first.at())
		if f != nil || length > len(room) {
			return unread
		}
		database = spelled
	}
	return Foreign{database, int64(oid)}
}

// letters are the ways to write the string that a reference to another database
// begins with, but for those with escapes.
var letters = [][]byte{
	[]byte("\x01n"), []byte("\x01m"), // SHORT_BINSTRING, SHORT_BINBYTES, SHORT_BINUNICODE
	[]byte("\x01\x00\x00\x00n"), []byte("\x01\x00\x00\x00m"), // the same without SHORT
	[]byte("\x01\x00\x00\x00\x00\x00\x00\x00n"), []byte("\x01\x00\x00\x00\x00\x00\x00\x00m"), // and with 8 bytes
	[]byte("'n'"), []byte("'m'"), []byte("\"n\""), []byte("\"m\""), // STRING
	[]byte("Vn\n"), []byte("Vm\n"), // UNICODE
}

// foreignUnread is what is left to say after an error.
func (s *Scanner) foreignUnread(err *Error) {
	s.foreign = s.foreign[:0]
	may := err.Kind == Opaque
	for _, letter := range letters {
		may = may || bytes.Contains(s.data, letter)
	}
	if may {
		s.foreign = append(s.foreign, Foreign{Oid: -1})
	}
}
