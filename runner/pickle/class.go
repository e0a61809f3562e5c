package pickle

import "bytes"

// Class returns module and name of the record's class, as far as the first
// pickle gives them away: it is the class, or (class, arguments), or in very
// old records ((module, name), arguments) (ObjectReader.getGhost in
// ZODB/serialize.py). Both are empty when it is anything else. They are views
// that are valid until the next Scan, after an error in the second pickle, too.
func (s *Scanner) Class() (module, name []byte) {
	class := s.class
	if class.kind() == tuple {
		class = s.nodes[class.at()].first
	}
	switch class.kind() {
	case global:
		lines := s.data[class.at()+1:]
		end := bytes.IndexByte(lines, '\n')
		module, lines = lines[:end], lines[end+1:]
		return module, lines[:bytes.IndexByte(lines, '\n')]
	case stackGlobal, tuple:
		n := s.nodes[class.at()]
		pair := class.kind() == stackGlobal || n.items == 2
		if pair && n.first.kind() == text && n.second.kind() == text {
			return s.word(n.first), s.word(n.second)
		}
	}
	return nil, nil
}

// ClassOf returns module and name of the class of a record of which this is the beginning,
// compressed or not, as [Scanner.Class] does; of as much as its first pickle takes.
func (s *Scanner) ClassOf(head []byte) (module, name []byte) {
	s.reset()
	s.data = s.unpacker.beginning(head)
	if _, f := s.pickle(0); f != nil {
		return nil, nil
	}
	s.class = s.stack[len(s.stack)-1]
	return s.Class()
}

// word returns the string that v stands for, nothing if it is spelled with
// escapes: no identifier of Python 2 is.
func (s *Scanner) word(v value) []byte {
	b, form := body(s.data, v.at())
	if (form == reprBytes || form == escapedText) && bytes.IndexByte(b, '\\') >= 0 {
		return nil
	}
	return b
}
