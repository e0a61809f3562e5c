package pickle

import "unicode/utf8"

// Next returns where the instruction at byte i of some pickles ends. It is an
// [*Error] if the instruction is unknown or cut off; i may be the end of data.
func Next(data []byte, i int) (int, error) {
	next, broken := instruction(data, i)
	if broken != "" {
		return i, &Error{Kind: Opaque, Offset: i, Reason: broken}
	}
	return next, nil
}

// String returns what the string instruction at byte i spells, and whether that
// is a text: str of Python 3, unicode of Python 2. Else it is bytes, which Python
// 2 calls str. false if an escape in it is wrong. The instruction is complete:
// Next has found its end.
func String(data []byte, i int) (spelled []byte, isText, ok bool) {
	if data[i] == opString && !quoted(data[i+1:lineEnd(data, i+1)]) {
		return nil, false, false
	}
	b, form := body(data, i)
	switch form {
	case plainBytes:
		return b, false, true
	case utf8Text:
		return b, true, true
	case reprBytes:
		room := make([]byte, len(b)) // no escape is shorter than what it stands for
		n, ok := unescape(room, b, form)
		return room[:min(n, len(room))], false, ok
	}
	spelled, ok = latinText(b)
	return spelled, true, ok
}

// latinText makes UTF-8 of the argument of UNICODE: Latin-1, with escapes.
func latinText(b []byte) (spelled []byte, ok bool) {
	spelled = make([]byte, 0, len(b))
	for len(b) > 0 {
		c, used := rune(b[0]), 1
		if c == '\\' && len(b) > 1 && (b[1] == 'u' || b[1] == 'U') {
			if c, used = codePoint(b); used == 0 {
				return nil, false
			}
		}
		spelled, b = utf8.AppendRune(spelled, c), b[used:]
	}
	return spelled, true
}
