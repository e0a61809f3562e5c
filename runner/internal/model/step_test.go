package model

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A modelStep is one line of a history. It says all that is to be done, so
// that a history can be replayed, and shortened, line by line:
//
//	commit:cut age=600 4=plain[7,9]     object 4 refers to 7 and 9 now
//	pack:steps grace=1470 crash=7       abandoned before its seventh step
//
// Times are minutes before the history began.
type modelStep struct {
	verb, kind string
	args       map[string]int64
	writes     []modelWrite
}

// modelWrite is a row that a step writes; content kind "gone": deletes.
type modelWrite struct {
	zoid    int64
	content modelContent
}

func (s modelStep) name() string { return s.verb + ":" + s.kind }

// is tells whether a flag is set.
func (s modelStep) is(flag string) bool { return s.args[flag] != 0 }

// String is the step as parseModelStep reads it.
func (s modelStep) String() string {
	var b strings.Builder
	b.WriteString(s.name())
	for _, name := range slices.Sorted(maps.Keys(s.args)) {
		fmt.Fprintf(&b, " %s=%d", name, s.args[name])
	}
	for _, w := range s.writes {
		refs := make([]string, len(w.content.refs))
		for i, ref := range w.content.refs {
			refs[i] = strconv.FormatInt(ref, 10)
		}
		fmt.Fprintf(&b, " %d=%s[%s]", w.zoid, w.content.kind, strings.Join(refs, ","))
	}
	return b.String()
}

func parseModelStep(line string) (modelStep, error) {
	words := strings.Fields(line)
	s := modelStep{args: map[string]int64{}}
	s.verb, s.kind, _ = strings.Cut(words[0], ":")
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		kind, refs, isWrite := strings.Cut(strings.TrimSuffix(value, "]"), "[")
		if !isWrite {
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return s, fmt.Errorf("%s: %w", word, err)
			}
			s.args[name] = n
			continue
		}
		w := modelWrite{content: modelContent{kind: kind}}
		var err error
		if w.zoid, err = strconv.ParseInt(name, 10, 64); err != nil {
			return s, fmt.Errorf("%s: %w", word, err)
		}
		for _, ref := range strings.FieldsFunc(refs, func(r rune) bool { return r == ',' }) {
			n, err := strconv.ParseInt(ref, 10, 64)
			if err != nil {
				return s, fmt.Errorf("%s: %w", word, err)
			}
			w.content.refs = append(w.content.refs, n)
		}
		s.writes = append(s.writes, w)
	}
	return s, nil
}

func parseModelScript(text string) ([]modelStep, error) {
	var script []modelStep
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		step, err := parseModelStep(line)
		if err != nil {
			return nil, err
		}
		script = append(script, step)
	}
	return script, nil
}

func formatModelScript(script []modelStep) string {
	var b strings.Builder
	for _, step := range script {
		fmt.Fprintf(&b, "\t%s\n", step)
	}
	return b.String()
}
