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

// A substituted text is a value, but for variables that the environment lacks.
type substituted struct {
	value string
	unset []string // their names
}

// substitute replaces $name and ${name} by definitions (names are
// case-insensitive and kept in lower case), $(NAME) by the environment, and $$
// by a dollar (ZConfig, "Text substitution"). What is put in is not looked at
// again. Errors name the reference and never repeat the text around it.
func substitute(line string, defines map[string]substituted) (t substituted, err error) {
	if !strings.Contains(line, "$") {
		return substituted{value: line}, checkLength(len(line))
	}
	var out strings.Builder
	for {
		before, after, found := strings.Cut(line, "$")
		out.WriteString(before)
		if !found {
			t.value = out.String()
			return t, checkLength(out.Len())
		}
		part, rest, err := reference(after, defines)
		if err != nil {
			return substituted{}, err
		}
		out.WriteString(part.value)
		t.unset = append(t.unset, part.unset...)
		if err := checkLength(out.Len() + len(t.unset)); err != nil {
			return substituted{}, err
		}
		line = rest
	}
}

func checkLength(n int) error {
	if n > maxValue {
		return fmt.Errorf("value is longer than %d bytes", maxValue)
	}
	return nil
}

// reference reads what follows a dollar and returns its value and the rest.
func reference(after string, defines map[string]substituted) (t substituted, rest string, err error) {
	if after == "" {
		return t, "", errors.New("a lone $ at the end of the value: write $$ for a dollar")
	}
	switch after[0] {
	case '$':
		return substituted{value: "$"}, after[1:], nil
	case '(':
		name, rest, err := bracketed(after, '(', ')')
		if err != nil {
			return t, "", err
		}
		value, ok := os.LookupEnv(name)
		if !ok {
			return substituted{unset: []string{name}}, rest, nil
		}
		return substituted{value: value}, rest, nil
	case '{':
		name, rest, err := bracketed(after, '{', '}')
		if err != nil {
			return t, "", err
		}
		t, err := lookup(name, defines)
		return t, rest, err
	}
	name := leadingName(after)
	if name == "" {
		return t, "", errors.New("$ is not followed by a name: write $$ for a dollar")
	}
	t, err = lookup(name, defines)
	return t, after[len(name):], err
}

func lookup(name string, defines map[string]substituted) (substituted, error) {
	t, ok := defines[strings.ToLower(name)]
	if !ok {
		return t, fmt.Errorf("%s is not defined: no %%define of that name before this line (a dollar is written $$)", quote(name))
	}
	return t, nil
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

// unsetVariables are those that a storage needs and the environment lacks.
type unsetVariables struct {
	first position
	lines []string // "NAME (line 3)"
	known map[string]bool
}

func (u *unsetVariables) add(at position, names []string) {
	if u.known == nil {
		u.first, u.known = at, map[string]bool{}
	}
	for _, name := range names {
		if u.known[name] {
			continue
		}
		u.known[name] = true
		line := fmt.Sprintf("%s (line %d)", printable(name), at.line)
		if at.file != u.first.file {
			line = fmt.Sprintf("%s (%s:%d)", printable(name), at.file, at.line)
		}
		u.lines = append(u.lines, line)
	}
}

// error names all of them, or is nil.
func (u *unsetVariables) error() error {
	switch len(u.lines) {
	case 0:
		return nil
	case 1:
		name, _, _ := strings.Cut(u.lines[0], " ")
		return u.first.errorf("the environment variable %s is not set", name)
	}
	return u.first.errorf("environment variables are not set: %s", strings.Join(u.lines, ", "))
}
