package pickle

import (
	"encoding/binary"
	"strconv"
)

// A form says how the bytes of a string instruction spell the string.
type form uint8

const (
	plainBytes  form = iota // bytes, or str of Python 2
	utf8Text                // str of Python 3, unicode of Python 2
	reprBytes               // STRING: what repr() of Python 2 puts between quotes
	escapedText             // UNICODE: Latin-1, and \uXXXX for the rest
)

// body returns what the string instruction at byte i carries. The instruction
// is complete: it was scanned before.
func body(data []byte, i int) ([]byte, form) {
	next, _ := instruction(data, i)
	arg := data[i+1 : next]
	switch data[i] {
	case opShortBinBytes, opShortBinString:
		return arg[1:], plainBytes
	case opBinBytes, opBinString:
		return arg[4:], plainBytes
	case opBinBytes8:
		return arg[8:], plainBytes
	case opShortBinUnicode:
		return arg[1:], utf8Text
	case opBinUnicode:
		return arg[4:], utf8Text
	case opBinUnicode8:
		return arg[8:], utf8Text
	case opString:
		return arg[1 : len(arg)-2], reprBytes
	}
	return arg[:len(arg)-1], escapedText
}

// quoted reports whether the line of a STRING instruction, newline included,
// is in quotes.
func quoted(line []byte) bool {
	n := len(line) - 1
	return n >= 2 && line[0] == line[n-1] && (line[0] == '\'' || line[0] == '"')
}

// spell returns the string that the instruction at byte i spells, escapes
// undone, and its length in bytes. A string with escapes that is longer than
// room comes back cut short.
func spell(room, data []byte, i int) (spelled []byte, length int, form form, f *fault) {
	b, form := body(data, i)
	if form != reprBytes && form != escapedText {
		return b, len(b), form, nil
	}
	n, ok := unescape(room, b, form)
	if !ok {
		return nil, 0, form, oddf("a string with a wrong escape in it")
	}
	return room[:min(n, len(room))], n, form, nil
}

// textOid returns the oid that the string instruction at byte i spells. A text
// must be ASCII, as in referencesf.
func textOid(data []byte, i int) (uint64, *fault) {
	var room [8]byte
	b, n, form, f := spell(room[:], data, i)
	if f != nil {
		return 0, f
	}
	if n != 8 {
		return 0, oddf("an oid of length %d instead of 8", n)
	}
	oid := binary.BigEndian.Uint64(b)
	if (form == utf8Text || form == escapedText) && oid&0x8080808080808080 != 0 {
		return 0, oddf("an oid that is a text with non-ASCII characters")
	}
	return oid, nil
}

// unescape writes the bytes that s spells to room, as far as they fit, and
// returns how many there are; false if an escape is wrong.
func unescape(room, s []byte, form form) (n int, ok bool) {
	put := func(c byte) {
		if n < len(room) {
			room[n] = c
		}
		n++
	}
	for len(s) > 0 {
		c, used := s[0], 1
		switch {
		case c != '\\':
		case form == reprBytes:
			c, used = reprEscape(s)
		case len(s) > 1 && (s[1] == 'u' || s[1] == 'U'):
			c, used = unicodeEscape(s)
		case len(s) > 1: // an escaped backslash, too, is two
			put(c)
			c, used = s[1], 2
		}
		if used == 0 {
			return 0, false
		}
		put(c)
		s = s[used:]
	}
	return n, true
}

// simpleEscapes are the pairs of a letter and the byte that it stands for.
const simpleEscapes = "\\\\''\"\"a\ab\bf\fn\nr\rt\tv\v"

// reprEscape reads the escape at the beginning of s, as Python's
// codecs.escape_decode does. A backslash before any other letter is itself.
func reprEscape(s []byte) (c byte, used int) {
	if len(s) == 1 {
		return 0, 0
	}
	for i := 0; i < len(simpleEscapes); i += 2 {
		if s[1] == simpleEscapes[i] {
			return simpleEscapes[i+1], 2
		}
	}
	switch {
	case s[1] == 'x':
		if len(s) < 4 {
			return 0, 0
		}
		n, err := strconv.ParseUint(string(s[2:4]), 16, 8)
		if err != nil {
			return 0, 0
		}
		return byte(n), 4
	case '0' <= s[1] && s[1] <= '7':
		n := 0
		for used = 1; used < min(4, len(s)) && '0' <= s[used] && s[used] <= '7'; used++ {
			n = 8*n + int(s[used]-'0')
		}
		return byte(n), used
	}
	return '\\', 1
}

// unicodeEscape reads \uXXXX or \UXXXXXXXX at the beginning of s. Whatever
// isn't ASCII comes out as 0x80.
func unicodeEscape(s []byte) (c byte, used int) {
	r, used := codePoint(s)
	return byte(min(r, 0x80)), used
}

// codePoint is the character that \uXXXX or \UXXXXXXXX at the beginning of s
// stands for; used is 0 if the escape is wrong.
func codePoint(s []byte) (r rune, used int) {
	used = 6
	if s[1] == 'U' {
		used = 10
	}
	if len(s) < used {
		return 0, 0
	}
	n, err := strconv.ParseUint(string(s[2:used]), 16, 32)
	if err != nil || n > 0x10ffff {
		return 0, 0
	}
	return rune(n), used
}
