package zconfig

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"unicode"
)

// A loader reads one configuration with all that it includes.
type loader struct {
	defines   map[string]substituted // by lower-case name; shared by all files, as in ZConfig
	storages  []*Storage
	databases []*database // <zodb> sections
	bare      []Section   // storages of others without a <zodb> around them
	blobDirs  []BlobDir
	opened    int // sections
	unset     unsetVariables

	inclusions, bytesRead, bytesSubstituted int
}

func newLoader() *loader {
	return &loader{defines: map[string]substituted{}}
}

// A section is an open section. The outermost one has no type.
type section struct {
	kind    string // the section's type, in lower case
	name    string // its own name or that of the nearest named section around it
	at      position
	chain   *enclosed // the section as one among those around it
	db      *database // the <zodb> that it is or stands in
	storage *Storage  // set in <relstorage> and in the adapter within it
	number  int       // tells it from all others of the configuration; an included file's keys have that of the section they belong to
}

// A parser reads one file. Sections have to be balanced within a file, but the
// keys of an included file belong to the section that the %include stands in.
type parser struct {
	*loader
	file  *openFile
	at    position
	stack []section // stack[0] is where the file's text stands
}

// load reads the main file.
func (l *loader) load(path string) error {
	file, text, err := l.read(path, nil)
	if err != nil {
		what := err.Error()
		if failed := (*fs.PathError)(nil); errors.As(err, &failed) {
			what = "can't be read: " + failed.Err.Error()
		}
		return &Error{File: path, What: what, Err: err}
	}
	return l.parse(file, text, section{})
}

func (l *loader) parse(file *openFile, text string, outer section) error {
	p := &parser{loader: l, file: file, at: position{file: file.path}, stack: []section{outer}}
	for line := range strings.SplitSeq(text, "\n") {
		p.at.line++
		if err := p.parseLine(strings.TrimSpace(line)); err != nil {
			return err
		}
	}
	if open := p.inner(); len(p.stack) > 1 {
		return open.at.errorf("section <%s> is never closed", printable(open.kind))
	}
	return nil
}

func (p *parser) inner() *section { return &p.stack[len(p.stack)-1] }

func (p *parser) parseLine(line string) error {
	switch {
	case line == "" || line[0] == '#':
		return nil
	case strings.HasPrefix(line, "</"):
		return p.closeSection(line)
	case line[0] == '<':
		return p.openSection(line)
	case line[0] == '%':
		return p.directive(line[1:])
	}
	key, value := cutWord(line)
	if key == "" {
		return p.at.errorf("malformed line: neither a key with its value nor a section")
	}
	return p.keyValue(key, value)
}

// cutWord splits a line into its first word, which ends at white space or a
// parenthesis, and the rest.
func cutWord(line string) (word, rest string) {
	i := strings.IndexFunc(line, endsWord)
	if i < 0 {
		return line, ""
	}
	return line[:i], strings.TrimSpace(line[i:])
}

func endsWord(r rune) bool { return unicode.IsSpace(r) || r == '(' || r == ')' }

func (p *parser) openSection(line string) error {
	header, closed := strings.CutSuffix(line[1:], ">")
	if !closed {
		return p.at.errorf("malformed section start: no > at the end of the line")
	}
	header, empty := strings.CutSuffix(header, "/")
	kind, name := cutWord(strings.TrimRightFunc(header, unicode.IsSpace))
	if kind == "" || strings.ContainsFunc(name, endsWord) {
		return p.at.errorf("malformed section start: not <type>, <type name> or <type name/>")
	}
	outer := p.inner()
	s := section{kind: strings.ToLower(kind), name: strings.ToLower(name), at: p.at, number: p.opened + 1}
	p.opened++
	p.noteSection(outer, &s)
	if err := p.begin(outer, &s); err != nil {
		return err
	}
	if s.name == "" {
		s.name = outer.name
	}
	if empty {
		p.end(&s)
		return nil
	}
	if len(p.stack) > maxNesting {
		return p.at.errorf("more than %d sections stand within each other", maxNesting)
	}
	p.stack = append(p.stack, s)
	return nil
}

func (p *parser) closeSection(line string) error {
	kind, closed := strings.CutSuffix(line[2:], ">")
	if !closed {
		return p.at.errorf("malformed section end: no > at the end of the line")
	}
	kind = strings.ToLower(strings.TrimRightFunc(kind, unicode.IsSpace))
	if len(p.stack) == 1 {
		return p.at.errorf("</%s> closes a section that was not opened in this file", printable(kind))
	}
	open := p.inner()
	if open.kind != kind {
		return p.at.errorf("</%s> does not close <%s> of line %d", printable(kind), printable(open.kind), open.at.line)
	}
	p.end(open)
	p.stack = p.stack[:len(p.stack)-1]
	return nil
}

func (p *parser) directive(text string) error {
	name, argument := cutWord(text)
	switch name {
	case "define", "include", "import":
	case "":
		return p.at.errorf("a %% without a directive: %%define, %%include and %%import are known")
	default:
		return p.at.errorf("unknown directive %%%s: %%define, %%include and %%import are known", printable(name))
	}
	if argument == "" {
		return p.at.errorf("%%%s has no argument", name)
	}
	switch name {
	case "define":
		return p.define(argument)
	case "include":
		return p.include(argument)
	}
	return nil // %import makes more section types known; relpack has no schema
}

// define sets a name. ZConfig lower-cases it and lets it be defined again with
// the same value.
func (p *parser) define(argument string) error {
	name, value := argument, ""
	if i := strings.IndexFunc(argument, unicode.IsSpace); i >= 0 {
		name, value = argument[:i], strings.TrimSpace(argument[i:])
	}
	if leadingName(name) != name {
		return p.at.errorf("%%define: not a name: letters, digits and _ only, no digit first")
	}
	key := strings.ToLower(name)
	t, err := p.substitute(value)
	if err != nil {
		return err
	}
	if old, ok := p.defines[key]; ok && (old.value != t.value || !slices.Equal(old.unset, t.unset)) {
		return p.at.errorf("%%define: %s is defined already, with another value", quote(name))
	}
	p.defines[key] = t
	return nil
}

func (p *parser) include(argument string) error {
	target, err := p.substitute(argument)
	if err != nil {
		return err
	}
	if len(target.unset) > 0 {
		p.unset.add(p.at, target.unset)
		return p.unset.error()
	}
	path, err := resolve(target.value, p.file.path)
	if err != nil {
		return p.at.because(err, "%%include")
	}
	file, text, err := p.read(path, p.file)
	if err != nil {
		return p.at.because(err, "%%include")
	}
	return p.parse(file, text, *p.inner())
}

// substitute is the function of that name for the current line, with a bound on
// what all of them produce.
func (p *parser) substitute(line string) (substituted, error) {
	t, err := substitute(line, p.defines)
	if err != nil {
		return t, p.at.because(err, "substitution")
	}
	if p.bytesSubstituted += len(t.value); p.bytesSubstituted > maxTotalSize {
		return t, p.at.errorf("the values are longer than %d MiB together", maxTotalSize>>20)
	}
	return t, nil
}

// keyValue hands a line to the section it stands in. ZConfig substitutes every
// value; so does relpack, except that a variable missing from the environment
// is no concern of a value that it doesn't need.
func (p *parser) keyValue(key, line string) error {
	s := p.inner()
	t, err := p.substitute(line)
	if err != nil {
		return err
	}
	if len(t.unset) > 0 {
		if s.needs(key) {
			p.unset.add(p.at, t.unset)
		}
		return nil
	}
	if name, ok := basicKey(key); ok && name == "blob-dir" {
		p.blobDirs = append(p.blobDirs, BlobDir{t.value, p.at.file, p.at.line, s.number})
	}
	switch {
	case s.storage != nil:
		return s.set(p.at, key, t.value)
	case isDatabase(s.kind):
		s.setDatabaseName(key, t.value)
	}
	return nil
}

// printable shortens a section type or directive for a message and leaves out
// what is no part of such a word.
func printable(word string) string {
	n := 0
	for n < len(word) && n < maxQuoted && isKeyByte(word[n], n) {
		n++
	}
	if n < len(word) {
		return word[:n] + "..."
	}
	return word
}
