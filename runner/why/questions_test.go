package why_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/program"
)

const questionsFile = "README.md"

var updateQuestions = flag.Bool("update", false, "rewrite the transcripts in "+questionsFile)

var (
	transcript = regexp.MustCompile("(?s)<!-- meanwhile: ([^\n]*) -->|```console\n\\$ relpack ([^\n]*)\n(.*?)```")
	quoted     = regexp.MustCompile(`"[^"]*"|\S+`)
	ago        = regexp.MustCompile(`\([^()]* (ago|from now)\)`)
)

// Each transcript is what relpack prints. Comments that a reader doesn't see are SQL
// that somebody executes in between.
func TestTheQuestionsTranscriptsAreWhatRelpackPrints(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(questionsFile)
	if err != nil {
		t.Fatal(err)
	}
	s := newSample(t)
	if strings.Contains(s.dsn, "://") {
		t.Skip("the configuration is written for keywords")
	}
	config := filepath.Join(t.TempDir(), "site.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil,
		"<relstorage site>\nkeep-history false\n<postgresql>\ndsn %s\n</postgresql>\n</relstorage>\n", s.dsn), 0o600); err != nil {
		t.Fatal(err)
	}
	count := 0
	rewritten := transcript.ReplaceAllStringFunc(string(text), func(block string) string {
		parts := transcript.FindStringSubmatch(block)
		if parts[1] != "" {
			packtest.Run(t, s.conn, parts[1])
			return block
		}
		count++
		var args []string
		for _, word := range quoted.FindAllString(parts[2], -1) {
			args = append(args, strings.Replace(strings.Trim(word, `"`), "site.conf", config, 1))
		}
		r := program.Run(t, args...)
		got := r.Stdout + r.Stderr
		if plain(got) != plain(parts[3]) && !*updateQuestions {
			t.Errorf("$ relpack %s (go test ./runner/why -run Questions -update rewrites it)\n--- the text has\n%s\n--- it prints\n%s", parts[2], parts[3], got)
		}
		return fmt.Sprintf("```console\n$ relpack %s\n%s```", parts[2], trimmed(got))
	})
	if count < 4 {
		t.Errorf("only %d transcripts", count)
	}
	if *updateQuestions {
		if err := os.WriteFile(questionsFile, []byte(rewritten), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

var spent = regexp.MustCompile(`(?m)^(time|peak memory|on disk) .*$`)

// plain is a transcript without what changes from day to day.
func plain(text string) string {
	return spent.ReplaceAllString(ago.ReplaceAllString(trimmed(text), "(ago)"), "$1")
}

// trimmed has no white space at the ends of lines.
func trimmed(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}
