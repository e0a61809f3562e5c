package preserved

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A step is one line of a history. It says all that is to be done, so that a history
// can be replayed, and shortened, line by line:
//
//	commit:cut age=600 4=plain[7,9]    object 4 refers to 7 and 9 now
//	undo:back n=2                      the transaction before the last two
//	pack:gc grace=590 crash=7          killed after its seventh statement
//
// Times are minutes before the history began.
type step struct {
	verb, kind string
	args       map[string]int64
	writes     []write
}

// A write is a revision that a step writes.
type write struct {
	zoid int64
	kind string // plain, blob, opaque, null
	refs []int64
}

func (s step) name() string { return s.verb + ":" + s.kind }

// is tells whether a flag is set.
func (s step) is(flag string) bool { return s.args[flag] != 0 }

// String is the step as parseStep reads it.
func (s step) String() string {
	var b strings.Builder
	b.WriteString(s.name())
	for _, name := range slices.Sorted(maps.Keys(s.args)) {
		fmt.Fprintf(&b, " %s=%d", name, s.args[name])
	}
	for _, w := range s.writes {
		refs := make([]string, len(w.refs))
		for i, ref := range w.refs {
			refs[i] = strconv.FormatInt(ref, 10)
		}
		fmt.Fprintf(&b, " %d=%s[%s]", w.zoid, w.kind, strings.Join(refs, ","))
	}
	return b.String()
}

func parseStep(line string) (step, error) {
	words := strings.Fields(line)
	s := step{args: map[string]int64{}}
	s.verb, s.kind, _ = strings.Cut(words[0], ":")
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		kind, refs, isWrite := strings.Cut(strings.TrimSuffix(value, "]"), "[")
		var err error
		if !isWrite {
			if s.args[name], err = strconv.ParseInt(value, 10, 64); err != nil {
				return s, fmt.Errorf("%s: %w", word, err)
			}
			continue
		}
		w := write{kind: kind}
		if w.zoid, err = strconv.ParseInt(name, 10, 64); err != nil {
			return s, fmt.Errorf("%s: %w", word, err)
		}
		for _, ref := range strings.FieldsFunc(refs, func(r rune) bool { return r == ',' }) {
			n, err := strconv.ParseInt(ref, 10, 64)
			if err != nil {
				return s, fmt.Errorf("%s: %w", word, err)
			}
			w.refs = append(w.refs, n)
		}
		s.writes = append(s.writes, w)
	}
	return s, nil
}

func parseScript(text string) ([]step, error) {
	var script []step
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		s, err := parseStep(line)
		if err != nil {
			return nil, err
		}
		script = append(script, s)
	}
	return script, nil
}

func formatScript(script []step) string {
	var b strings.Builder
	for _, s := range script {
		fmt.Fprintf(&b, "\t%s\n", s)
	}
	return b.String()
}
