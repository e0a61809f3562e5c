package pickle

import (
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

func asString(v any) (string, bool) {
	switch v := v.(type) {
	case pyBytes:
		return string(v), true
	case pyText:
		return string(v), true
	}
	return "", false
}

func (o *oracle) persid(id any) error {
	oid := id
	switch v := id.(type) {
	case *pyList:
		switch {
		case len(v.items) == 1:
			_, err := oidOf(v.items[0])
			if errors.Is(err, errOpaque) || errors.Is(err, errRange) {
				err = errors.New("weak")
				_, isBytes := v.items[0].(pyLatin1)
				if _, isString := asString(v.items[0]); isString || isBytes {
					err = nil
				}
			}
			return err
		case len(v.items) > 1:
			word, _ := asString(v.items[0])
			if word == "n" || word == "m" {
				o.verdict.foreign++
			}
			if word == "n" || word == "m" || word == "w" {
				return nil
			}
		}
		return errors.New("list")
	case pyTuple:
		if len(v) == 0 {
			return errors.New("empty")
		}
		oid = v[0]
	}
	n, err := oidOf(oid)
	if err != nil {
		return err
	}
	if !slices.Contains(o.verdict.refs, n) {
		o.verdict.refs = append(o.verdict.refs, n)
	}
	return nil
}

var errRange = errors.New("2^63")

func oidOf(v any) (int64, error) {
	switch v := v.(type) {
	case pyBytes, pyText:
	case pyLatin1:
		var out []byte
		for _, r := range string(v) {
			if r > 0xff {
				return 0, errors.New("latin1")
			}
			out = append(out, byte(r))
		}
		return oidOf(pyBytes(out))
	case pyResult:
		return 0, errOpaque
	default:
		return 0, errors.New("type")
	}
	s, _ := asString(v)
	if _, isText := v.(pyText); isText && strings.ContainsFunc(s, func(r rune) bool { return r > 0x7f || r == utf8.RuneError }) {
		return 0, errors.New("ascii")
	}
	if len(s) != 8 {
		return 0, errors.New("length")
	}
	n := binary.BigEndian.Uint64([]byte(s))
	if n >= 1<<63 {
		return 0, errRange
	}
	return int64(n), nil
}

// unrepr undoes Python 2's repr of a str; a wrong escape makes it a thing.
func unrepr(s string) any {
	var out []byte
	for s != "" {
		if s[0] != '\\' {
			out = append(out, s[0])
			s = s[1:]
			continue
		}
		if len(s) == 1 {
			return pyThing{"trailing backslash"}
		}
		c := s[1]
		i := strings.IndexByte(`abfnrtv\'"`, c)
		switch {
		case i >= 0:
			out = append(out, "\a\b\f\n\r\t\v\\'\""[i])
			s = s[2:]
		case c == 'x':
			if len(s) < 4 {
				return pyThing{"short escape"}
			}
			b, err := strconv.ParseUint(s[2:4], 16, 8)
			if err != nil {
				return pyThing{"wrong escape"}
			}
			out = append(out, byte(b))
			s = s[4:]
		case c >= '0' && c <= '7':
			digits := s[1:min(4, len(s))]
			if rest := strings.TrimLeft(digits, "01234567"); rest != "" {
				digits = digits[:len(digits)-len(rest)]
			}
			b, _ := strconv.ParseUint(digits, 8, 16)
			out = append(out, byte(b))
			s = s[1+len(digits):]
		default:
			out = append(out, '\\', c)
			s = s[2:]
		}
	}
	return pyBytes(out)
}

func rawUnicode(s string) any {
	var out []rune
	for s != "" {
		digits := 0
		switch {
		case strings.HasPrefix(s, `\u`):
			digits = 4
		case strings.HasPrefix(s, `\U`):
			digits = 8
		case strings.HasPrefix(s, `\`) && len(s) > 1:
			out = append(out, '\\', rune(s[1]))
			s = s[2:]
			continue
		default:
			out = append(out, rune(s[0]))
			s = s[1:]
			continue
		}
		if len(s) < 2+digits {
			return pyThing{"short escape"}
		}
		n, err := strconv.ParseUint(s[2:2+digits], 16, 32)
		if err != nil || n > 0x10ffff {
			return pyThing{"wrong escape"}
		}
		out = append(out, rune(n))
		s = s[2+digits:]
	}
	return pyText(string(out))
}

// call is what a function returns: bytes, for the one that Python 3 writes.
func call(function, args any) any {
	pair, _ := args.(pyTuple)
	if function != (pyClass{"_codecs", "encode", true}) || len(pair) != 2 {
		return pyResult{}
	}
	s, isText := pair[0].(pyText)
	if name, _ := asString(pair[1]); !isText || name != "latin1" {
		return pyResult{}
	}
	return pyLatin1(s)
}
