package conninfo

import (
	"errors"
	"fmt"
	"strings"
)

const space = " \t\n\v\f\r"

// parseKeyValue reads "keyword = value ..." (PostgreSQL manual, "Keyword/Value
// Connection Strings"): a value with spaces stands in single quotes, a backslash
// takes the next character as it is, the last of two equal keywords counts.
func parseKeyValue(dsn string) (map[string]string, error) {
	if strings.ContainsRune(dsn, 0) {
		return nil, errors.New("has a NUL byte in it")
	}
	values := map[string]string{}
	previous := ""
	for rest := strings.TrimLeft(dsn, space); rest != ""; rest = strings.TrimLeft(rest, space) {
		end := strings.IndexAny(rest, "="+space)
		if end < 0 {
			return nil, noEquals(previous)
		}
		name := rest[:end]
		after, ok := strings.CutPrefix(strings.TrimLeft(rest[end:], space), "=")
		if !ok {
			return nil, noEquals(previous)
		}
		if _, known := keywords[name]; !known {
			return nil, unknown(name, previous)
		}
		value, tail, err := cutValue(strings.TrimLeft(after, space))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		values[name] = value
		rest, previous = tail, name
	}
	return values, nil
}

// cutValue reads the value at the start of text and returns the rest.
func cutValue(text string) (value, rest string, err error) {
	quoted := strings.HasPrefix(text, "'")
	if quoted {
		text = text[1:]
	}
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			if i++; i < len(text) {
				out.WriteByte(text[i])
			}
		case quoted && c == '\'':
			return out.String(), text[i+1:], nil
		case !quoted && strings.IndexByte(space, c) >= 0:
			return out.String(), text[i:], nil
		default:
			out.WriteByte(c)
		}
	}
	if quoted {
		return "", "", errors.New("the quoted value does not end")
	}
	return out.String(), "", nil
}

// noEquals does not repeat the word: it is likely part of a value with a space.
func noEquals(previous string) error {
	if previous == "" {
		return errors.New(`the first word has no "=" after it: expected keyword=value or an URI that starts with postgresql://`)
	}
	return fmt.Errorf(`missing "=" after a word behind %s=...: put a value with spaces in single quotes`, previous)
}

// unknown names the keyword, unless it may be part of a password.
func unknown(name, previous string) error {
	if secret(previous) {
		return fmt.Errorf("invalid connection option behind %s=...: put a value with spaces in single quotes", previous)
	}
	for i := range len(name) {
		if c := name[i] | 0x20; (c < 'a' || c > 'z') && name[i] != '_' && (c < '0' || c > '9') {
			return errors.New("invalid connection option: keywords are letters, digits and _")
		}
	}
	if len(name) > 60 {
		name = name[:60] + "..."
	}
	return fmt.Errorf("invalid connection option %q", name)
}
