package pickle

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// encode is the GLOBAL instruction of the function that Python 3 calls for
// bytes in protocols 0 to 2, with a text and the name of Latin-1.
const encode = "c_codecs\nencode\n"

// call is the result of calling a class or a function that a GLOBAL
// instruction names.
func (s *Scanner) call(function, args value) value {
	if args.kind() != tuple || !bytes.HasPrefix(s.data[function.at():], []byte(encode)) {
		return computed
	}
	n := s.nodes[args.at()]
	if n.items != 2 || n.first.kind() != text || n.second.kind() != text || string(s.word(n.second)) != "latin1" {
		return computed
	}
	switch _, form := body(s.data, n.first.at()); form {
	case utf8Text, escapedText:
		return encoded.with(n.first.at())
	}
	return computed
}

// encodedOid returns the oid whose bytes are the characters of the text that
// the instruction at byte i spells.
func encodedOid(data []byte, i int) (uint64, *fault) {
	b, form := body(data, i)
	var oid [8]byte
	n := 0
	for len(b) > 0 {
		c, used := rune(b[0]), 1
		switch {
		case form == utf8Text:
			c, used = utf8.DecodeRune(b)
			if c == utf8.RuneError {
				return 0, oddf("bytes that are no Latin-1")
			}
		case c == '\\' && len(b) > 1 && (b[1] == 'u' || b[1] == 'U'):
			if c, used = codePoint(b); used == 0 {
				return 0, oddf("a string with a wrong escape in it")
			}
		}
		if c > 0xff {
			return 0, oddf("bytes that are no Latin-1")
		}
		if n < len(oid) {
			oid[n] = byte(c)
		}
		n++
		b = b[used:]
	}
	if n != 8 {
		return 0, oddf("an oid of length %d instead of 8", n)
	}
	return binary.BigEndian.Uint64(oid[:]), nil
}
