package zconfig

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// maxValue bounds a value after substitution, in bytes. Definitions that double
// each other would otherwise fill the memory.
const maxValue = 64 << 10

// errUnsetEnv is the cause when $(NAME) names a variable that is not set.
var errUnsetEnv = errors.New("environment variable is not set")

// substitute replaces $name and ${name} by definitions (names are
// case-insensitive and kept in lower case), $(NAME) by the environment, and $$
// by a dollar (ZConfig, "Text substitution"). What is put in is not looked at
// again. Errors name the reference and never repeat the text around it.
func substitute(text string, defines map[string]string) (string, error) {
	if !strings.Contains(text, "$") {
		return text, checkLength(len(text))
	}
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "$")
		out.WriteString(before)
		if !found {
			return out.String(), checkLength(out.Len())
		}
		value, rest, err := reference(after, defines)
		if err != nil {
			return "", err
		}
		out.WriteString(value)
		if err := checkLength(out.Len()); err != nil {
			return "", err
		}
		text = rest
	}
}

func checkLength(n int) error {
	if n > maxValue {
		return fmt.Errorf("value is longer than %d bytes", maxValue)
	}
	return nil
}

// reference reads what follows a dollar and returns its value and the rest.
func reference(after string, defines map[string]string) (value, rest string, err error) {
	if after == "" {
		return "", "", errors.New("a lone $ at the end of the value: write $$ for a dollar")
	}
	switch after[0] {
	case '$':
		return "$", after[1:], nil
	case '(':
		name, rest, err := bracketed(after, '(', ')')
		if err != nil {
			return "", "", err
		}
		value, ok := os.LookupEnv(name)
		if !ok {
			return "", "", fmt.Errorf("%s: %w", quote("$("+name+")"), errUnsetEnv)
		}
		return value, rest, nil
	case '{':
		name, rest, err := bracketed(after, '{', '}')
		if err != nil {
			return "", "", err
		}
		value, err := lookup(name, defines)
		return value, rest, err
	}
	name := leadingName(after)
	if name == "" {
		return "", "", errors.New("$ is not followed by a name: write $$ for a dollar")
	}
	value, err = lookup(name, defines)
	return value, after[len(name):], err
}

func lookup(name string, defines map[string]string) (string, error) {
	value, ok := defines[strings.ToLower(name)]
	if !ok {
		return "", fmt.Errorf("%s is not defined: no %%define of that name before this line (a dollar is written $$)", quote(name))
	}
	return value, nil
}

// bracketed reads "(NAME)" or "{name}" at the start of text.
func bracketed(text string, opening, closing byte) (name, rest string, err error) {
	name = leadingName(text[1:])
	rest = text[1+len(name):]
	if name == "" || rest == "" || rest[0] != closing {
		return "", "", fmt.Errorf("$%c is not followed by a name and %c", opening, closing)
	}
	return name, rest[1:], nil
}

// leadingName returns the longest name, [A-Za-z_][A-Za-z0-9_]*, text starts with.
func leadingName(text string) string {
	for i := range len(text) {
		c := text[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return text[:i]
		}
	}
	return text
}
