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

// psql shows the comment of a function in one line: what it does comes first.
func TestLongCommentsBeginWithAShortSentence(t *testing.T) {
	t.Parallel()
	comment := regexp.MustCompile(`COMMENT ON ([^;']*) IS\s+((?:'(?:[^']|'')*'\s*)+);`)
	literal := regexp.MustCompile(`'((?:[^']|'')*)'`)
	comments := 0
	for file, text := range written(t) {
		for _, found := range comment.FindAllStringSubmatch(text, -1) {
			comments++
			var said strings.Builder
			for _, part := range literal.FindAllStringSubmatch(found[2], -1) {
				said.WriteString(part[1])
			}
			first, _, _ := strings.Cut(said.String(), ". ")
			if said.Len() > 300 && len(first) > 130 {
				t.Errorf("%s: the comment on %s has %d characters, and its first sentence %d", file, found[1], said.Len(), len(first))
			}
		}
	}
	if comments < 200 {
		t.Errorf("only %d comments", comments)
	}
}

// Where a setting was never made it is NULL, and so is NOT of what compares it. IF takes
// that for false.
func TestASettingThatWasNeverMadeIsComparedAsNull(t *testing.T) {
	t.Parallel()
	compared := regexp.MustCompile(`(?m)^(.*)\bcurrent_setting\('[^']*', true\)\s*(?:=|<>)`)
	comparisons := 0
	for file, text := range written(t) {
		for _, found := range compared.FindAllStringSubmatch(text, -1) {
			if comparisons++; strings.TrimSpace(found[1]) != "IF" {
				t.Errorf("%s: %s: write IS [NOT] DISTINCT FROM", file, strings.TrimSpace(found[0]))
			}
		}
	}
	if comparisons == 0 {
		t.Error("no comparison was found")
	}
}

// code is a text without comments; literals stay.
func code(text string) string {
	return regexp.MustCompile(`--[^\n]*|'(?:[^']|'')*'`).ReplaceAllStringFunc(text, func(found string) string {
		if strings.HasPrefix(found, "--") {
			return ""
		}
		return found
	})
}

// What FOUND and ROW_COUNT say is of the last statement that touched rows: nothing may
// come between them and what they are asked of.
func TestFoundAndRowCountAreAskedOfTheStatementBefore(t *testing.T) {
	t.Parallel()
	asked := regexp.MustCompile(`\b(FOUND|GET DIAGNOSTICS)\b`)
	touches := regexp.MustCompile(`^(?:(?:BEGIN|LOOP|ELSE|THEN|DECLARE)\s+|(?:IF|ELSIF|WHILE)\b[^;]*?\b(?:THEN|LOOP)\s+)*(?:WITH|INSERT|UPDATE|DELETE|SELECT)\b`)
	literal := regexp.MustCompile(`'(?:[^']|'')*'`)
	found := 0
	for file, text := range written(t) {
		statements := strings.Split(literal.ReplaceAllString(code(text), "''"), ";")
		for i, statement := range statements {
			if !asked.MatchString(statement) {
				continue
			}
			found++
			if before := strings.TrimSpace(statements[max(i-1, 0)]); !touches.MatchString(before) {
				t.Errorf("%s: what is %q asked of? Before it comes\n%s", file, asked.FindString(statement), before)
			}
		}
	}
	if found < 10 {
		t.Errorf("found in %d places only", found)
	}
}

// RelStorage says NOT NULL, and somebody may have dropped that.
func TestWhetherATransactionIsPackedIsAskedAsOfNull(t *testing.T) {
	t.Parallel()
	for file, text := range written(t) {
		if found := regexp.MustCompile(`NOT (?:transaction\.)?packed\b|packed\s*(?:=|<>)\s*(?:true|false)`).FindString(
			regexp.MustCompile(`SET packed = true`).ReplaceAllString(code(text), "")); found != "" {
			t.Errorf("%s: %s: write IS [NOT] TRUE", file, found)
		}
	}
}

// Where its row is lost, relpack.known_storage() says so.
func TestTheRowOfStorageIsReadWhereItsLossIsNoticed(t *testing.T) {
	t.Parallel()
	for file, text := range written(t) {
		if file != "known_storage.sql" && file != "graph_lost.sql" && regexp.MustCompile(`SELECT \* INTO (?:STRICT )?v_storage`).MatchString(text) {
			t.Errorf("%s: write v_storage := relpack.known_storage()", file)
		}
	}
}

// A function that says in a setting which transaction is relpack's own takes that back,
// or what follows in the transaction is believed as well.
func TestTheWordOfATransactionIsTakenBack(t *testing.T) {
	t.Parallel()
	words := 0
	for file, text := range written(t) {
		for _, said := range regexp.MustCompile(`set_config\('(relpack\.\w+)', pg_current_xact_id\(\)::text, true\)`).FindAllStringSubmatch(code(text), -1) {
			words++
			_, after, _ := strings.Cut(text, said[0])
			if !strings.Contains(after, "set_config('"+said[1]+"', '', true)") && !strings.Contains(after, "MESSAGE = 'not held'") {
				t.Errorf("%s: %s is not taken back", file, said[1])
			}
		}
	}
	if words < 3 {
		t.Errorf("found %d times only", words)
	}
}
