package sql

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// widest is how many columns a line may have: two fit beside each other in a review.
const widest = 140

// Words that are nothing but keywords here. Some others are names or values as
// well: on, index, trigger.
var keywords = map[string]bool{}

func init() {
	for word := range strings.FieldsSeq(`
		select from where join left cross lateral group order by having union all insert into update delete set values
		returning with recursive materialized as and or not in is null exists case when then else end elsif if loop exit
		return returns language begin declare perform raise using create replace function table view default limit
		offset distinct primary key constraint comment grant revoke alter drop truncate execute exception volatile
		stable immutable security definer between array cast for each row execute lock analyze any`) {
		keywords[word] = true
	}
}

// written are the files with SQL that people write: not the snapshot.
func written(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, pattern := range []string{"*.sql", "../migrations/*.sql"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(text), "-- A snapshot of server code") {
				files[name] = string(text)
			}
		}
	}
	if len(files) < 100 {
		t.Fatalf("only %d files", len(files))
	}
	return files
}

var (
	// In the order in which PostgreSQL reads: what begins first hides the others.
	notCode = regexp.MustCompile(`--[^\n]*|'(?:[^']|'')*'|"[^"\n]*"`)
	word    = regexp.MustCompile(`[\w.$]+`)
	cutOut  = regexp.MustCompile(`\bleft\(`) // the function
)

// blank replaces everything but line ends.
func blank(text string) string {
	return regexp.MustCompile(`[^\n]`).ReplaceAllString(text, " ")
}

func TestNoLineIsWiderThanAReview(t *testing.T) {
	t.Parallel()
	for file, text := range written(t) {
		for i, line := range strings.Split(text, "\n") {
			if width := utf8.RuneCountInString(line); width > widest {
				t.Errorf("%s:%d has %d columns, more than %d (end a text with ' and go on with ' on the next line)", file, i+1, width, widest)
			}
		}
	}
}

func TestKeywordsAreInUpperCase(t *testing.T) {
	t.Parallel()
	for file, text := range written(t) {
		code := cutOut.ReplaceAllString(notCode.ReplaceAllStringFunc(text, blank), "")
		for i, line := range strings.Split(code, "\n") {
			for _, found := range word.FindAllString(line, -1) {
				if keywords[found] {
					t.Errorf("%s:%d: %q is a keyword: %s", file, i+1, found, strings.TrimSpace(line))
				}
			}
		}
	}
}
