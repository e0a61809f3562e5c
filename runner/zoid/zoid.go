// Package zoid reads and writes object ids as people meet them: in decimal, in
// hexadecimal, and as tracebacks of Python print them.
package zoid

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Parse reads an object id:
//
//	6699                                       decimal, as in the database
//	0x1a2b                                     hexadecimal, as ZODB prints it
//	b'\x00\x00\x00\x00\x00\x00\x1a+'           8 bytes, as Python 3 prints them
//	'\x00\x00\x00\x00\x00\x00\x1a+'            the same from Python 2
//	root                                       the root object, which is 0
//
// A shell takes quotes away: what is left of the last two is read, too.
func Parse(text string) (int64, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "root":
		return 0, nil
	case strings.HasPrefix(text, "0x") || strings.HasPrefix(text, "0X"):
		id, err := strconv.ParseUint(text[2:], 16, 64)
		return inRange(text, id, err)
	case strings.ContainsAny(text, `\'"`):
		id, err := fromRepr(text)
		return inRange(text, id, err)
	}
	id, err := strconv.ParseUint(text, 10, 64)
	return inRange(text, id, err)
}

func inRange(text string, id uint64, err error) (int64, error) {
	if err != nil {
		return 0, fmt.Errorf("%q is no object id: relpack takes 6699, 0x1a2b or b'\\x00...'", text)
	}
	if id > math.MaxInt64 {
		return 0, fmt.Errorf("%q is no object id of RelStorage: it is 2^63 or more", text)
	}
	return int64(id), nil
}

// fromRepr reads what repr() makes of 8 bytes.
func fromRepr(text string) (uint64, error) {
	text = strings.TrimPrefix(text, "b")
	if n := len(text); n >= 2 && (text[0] == '\'' || text[0] == '"') && text[n-1] == text[0] {
		text = text[1 : n-1]
	}
	var id []byte
	for len(text) > 0 {
		c, used, err := unescape(text)
		if err != nil {
			return 0, err
		}
		id, text = append(id, c), text[used:]
	}
	if len(id) != 8 {
		return 0, fmt.Errorf("%d bytes, not 8", len(id))
	}
	return binary.BigEndian.Uint64(id), nil
}

// unescape reads the first byte of what repr() prints.
func unescape(text string) (c byte, used int, err error) {
	if text[0] != '\\' {
		return text[0], 1, nil
	}
	if len(text) < 2 {
		return 0, 0, strconv.ErrSyntax
	}
	switch text[1] {
	case 'n':
		return '\n', 2, nil
	case 'r':
		return '\r', 2, nil
	case 't':
		return '\t', 2, nil
	case '\\', '\'', '"':
		return text[1], 2, nil
	case 'x':
		if len(text) < 4 {
			return 0, 0, strconv.ErrSyntax
		}
		n, err := strconv.ParseUint(text[2:4], 16, 8)
		return byte(n), 4, err
	}
	return 0, 0, strconv.ErrSyntax
}

// Hex writes an object id as ZODB does in its messages: 0x1a2b, without leading
// zero bytes.
func Hex(zoid int64) string {
	digits := fmt.Sprintf("%x", uint64(zoid))
	if len(digits)%2 == 1 {
		digits = "0" + digits
	}
	return "0x" + digits
}
