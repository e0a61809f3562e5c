package sqltest

import (
	"regexp"
	"strings"
)

// A step is a statement for psql with its prompts, or a command of relpack.
type step struct {
	shown string // as in the text, prompts included
	input string
}

// A part is a stretch of the handbook: a transcript, a directive, or prose.
type part struct {
	text      string
	line      int
	directive string
	steps     []step
}

var (
	fence     = regexp.MustCompile("^```(\\w*)$")
	directive = regexp.MustCompile(`^<!-- meanwhile: (.*) -->$`)
	prompt    = regexp.MustCompile(`^(\$|site[=*]+>) `)
	more      = regexp.MustCompile(`^site[-(*'"]+> `)
)

// parseHandbook splits the text; the texts of its parts make it whole again.
func parseHandbook(text string) []part {
	var parts []part
	var inside bool
	add := func(p part, line string) {
		last := len(parts) - 1
		if p.directive == "" && last >= 0 && parts[last].directive == "" && (parts[last].steps != nil) == (p.steps != nil) {
			parts[last].text += line
			parts[last].steps = append(parts[last].steps, p.steps...)
			return
		}
		p.text = line
		parts = append(parts, p)
	}
	for i, line := range strings.SplitAfter(text, "\n") {
		bare := strings.TrimSuffix(line, "\n")
		p := part{line: i + 1}
		last := len(parts) - 1
		switch {
		case fence.MatchString(bare):
			inside = !inside && bare == "```console"
		case inside && prompt.MatchString(bare):
			p.steps = []step{{bare, prompt.ReplaceAllString(bare, "")}}
		case inside && last >= 0 && parts[last].steps != nil:
			p.steps = []step{} // output, or the rest of a statement
			if s := parts[last].steps; more.MatchString(bare) {
				s[len(s)-1].shown += "\n" + bare
				s[len(s)-1].input += "\n" + more.ReplaceAllString(bare, "")
			}
		}
		if m := directive.FindStringSubmatch(bare); m != nil {
			p.directive = m[1]
		}
		add(p, line)
	}
	return parts
}

var (
	spaces     = regexp.MustCompile(` +`)
	dashes     = regexp.MustCompile(`-{2,}`)
	timestamps = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?\+\d\d`)
	durations  = regexp.MustCompile(`\d\d:\d\d:\d\d(\.\d+)?`)
	volatile   = regexp.MustCompile(`(?m)^(pid|bytes|version) +\| .*$|\bpid \d+|^ *\d{3,} \| zope\b`)
)

// normal leaves out what differs from run to run, and how wide it is: moments,
// process ids, sizes of tables.
func normal(text string) string {
	text = timestamps.ReplaceAllString(text, "MOMENT")
	text = durations.ReplaceAllString(text, "TIME")
	text = volatile.ReplaceAllString(text, "$1 VOLATILE")
	text = dashes.ReplaceAllString(text, "-")
	return spaces.ReplaceAllString(text, " ")
}
