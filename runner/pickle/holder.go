package pickle

import "bytes"

// parentAttribute is the attribute in which an object names the one that holds it.
const parentAttribute = "__parent__"

// holder is what [Scanner.Holder] looks for.
type holder struct {
	sought bool
	named  []int64 // the oids of the persistent ids so far, -1 for one that is no reference
	parent int64   // what the attribute refers to, -1: nothing yet
}

// Holder returns the oid that a record has as the attribute __parent__ of its
// object: which object holds it, as it says itself. false if it has none, if that
// is no reference, or if the record can't be read. What the other methods return is
// of no use afterwards. A record without the word is not looked at further.
func (s *Scanner) Holder(record []byte) (oid int64, ok bool) {
	s.reset()
	data, err := s.unpacker.unpack(record)
	if err != nil || !bytes.Contains(data, []byte(parentAttribute)) {
		return 0, false
	}
	s.holder = holder{sought: true, named: reuse(s.holder.named), parent: -1}
	s.latest = -1
	err = s.scanUnpacked(data)
	s.holder.sought = false
	return s.holder.parent, err == nil && s.holder.parent >= 0
}

// object is the value that the object of a persistent id leaves on the stack. While
// a holder is sought it tells which object that is.
func (s *Scanner) object() value {
	if !s.holder.sought {
		return other
	}
	s.holder.named = append(s.holder.named, s.latest)
	s.latest = -1
	return other.with(len(s.holder.named))
}

// attributes takes note of what the lowest dictionary on the stack, the state of the
// object, gets: key, value, key, value ...
func (s *Scanner) attributes(items []value) {
	for i := 0; i+1 < len(items); i += 2 {
		key, v := items[i], items[i+1]
		if key.kind() != text || string(s.word(key)) != parentAttribute {
			continue
		}
		s.holder.parent = -1
		if v.kind() == other && v.at() > 0 {
			s.holder.parent = s.holder.named[v.at()-1]
		}
	}
}
