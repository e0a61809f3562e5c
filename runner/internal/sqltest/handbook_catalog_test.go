package sqltest

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/packtest"
	"relpack/runner/session"
)

// An attribute is a column of a table or view, or an argument of a function.
type attribute struct {
	Of, Name, Type string
	Put            bool // into the function: no column
}

const readAttributes = `
	SELECT relname::text, attname::text, format_type(atttypid, atttypmod), false
	FROM pg_attribute
	JOIN pg_class ON pg_class.oid = attrelid
	WHERE relnamespace = 'relpack'::regnamespace AND relkind IN ('r', 'v') AND attnum > 0 AND NOT attisdropped
	UNION ALL
	SELECT proname, coalesce(argument.name, ''), format_type(argument.type, NULL), coalesce(argument.mode, 'i') = 'i'
	FROM pg_proc
	CROSS JOIN LATERAL ROWS FROM (
	    unnest(proargnames), unnest(coalesce(proallargtypes, proargtypes)), unnest(proargmodes)
	) WITH ORDINALITY AS argument (name, type, mode, place)
	WHERE pronamespace = 'relpack'::regnamespace AND argument.type IS NOT NULL`

var (
	columnTable = regexp.MustCompile("^\\| (column|parameter)(?: of `(\\w+)`)? \\| \\|$")
	ofRelpack   = regexp.MustCompile(`\brelpack\.(\w+)`)
	inBackticks = regexp.MustCompile("`(\\w+)`")
	signature   = regexp.MustCompile("`relpack\\.\"?(\\w+)\"?\\((\\w+ \\w.*?)\\)`")
)

func readHandbook(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(handbookFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func attributes(t *testing.T) []attribute {
	t.Helper()
	_, conn := packtest.NewStorage(t)
	all, err := session.Rows(t.Context(), conn, pgx.RowToStructByPos[attribute], readAttributes)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A table of columns in the handbook is of what its heading names, unless it
// says so itself.
func TestTheHandbooksTablesOfColumnsAreThoseOfTheDatabase(t *testing.T) {
	t.Parallel()
	all := attributes(t)
	lines := strings.Split(readHandbook(t), "\n")
	var heading string
	tables := 0
	for i, line := range lines {
		if strings.HasPrefix(line, "#") {
			heading = line
		}
		header := columnTable.FindStringSubmatch(line)
		if header == nil {
			continue
		}
		tables++
		var documented, there, of []string
		for _, row := range lines[i+2:] {
			if !strings.HasPrefix(row, "| ") {
				break
			}
			for _, name := range inBackticks.FindAllStringSubmatch(strings.Split(row, "|")[1], -1) {
				documented = append(documented, name[1])
			}
		}
		for _, name := range ofRelpack.FindAllStringSubmatch(heading, -1) {
			of = append(of, name[1])
		}
		if header[2] != "" {
			of = []string{header[2]}
		}
		for _, a := range all {
			if slices.Contains(of, a.Of) && a.Put == (header[1] == "parameter") && !slices.Contains(there, a.Name) {
				there = append(there, a.Name)
			}
		}
		slices.Sort(documented)
		slices.Sort(there)
		if !slices.Equal(documented, there) {
			t.Errorf("%s, line %d: %v: the handbook has %v, the database %v", handbookFile, i+1, of, documented, there)
		}
	}
	if tables < 12 {
		t.Errorf("only %d tables of columns", tables)
	}
}

// What a DBA types has the arguments, and the types, that the handbook shows.
func TestTheHandbooksSignaturesAreThoseOfTheDatabase(t *testing.T) {
	t.Parallel()
	all := attributes(t)
	shown := signature.FindAllStringSubmatch(readHandbook(t), -1)
	if len(shown) < 6 {
		t.Errorf("only %d signatures", len(shown))
	}
	for _, s := range shown {
		var want, got []string
		for _, a := range all {
			if a.Of == s[1] && a.Put {
				got = append(got, a.Name+" "+a.Type)
			}
		}
		for argument := range strings.SplitSeq(s[2], ", ") {
			argument, _, _ = strings.Cut(argument, " DEFAULT ")
			want = append(want, strings.Replace(argument, " timestamptz", " timestamp with time zone", 1))
		}
		if !slices.Equal(want, got) {
			t.Errorf("%s: %s has the arguments %v, the database's %v", handbookFile, s[1], want, got)
		}
	}
}

// What the handbook doesn't name, a DBA meets without a word. Functions and views
// are in its map.
func TestTheHandbookNamesEveryTable(t *testing.T) {
	t.Parallel()
	_, conn := packtest.NewStorage(t)
	tables := packtest.Lines(t, conn, `
		SELECT relname::text
		FROM pg_class
		WHERE relnamespace = 'relpack'::regnamespace AND relkind = 'r' AND relname <> 'goose_db_version'
		ORDER BY relname::text COLLATE "C"`)
	_, chapter, found := strings.Cut(readHandbook(t), "\n## Tables\n")
	chapter, _, _ = strings.Cut(chapter, "\n## ")
	if !found {
		t.Fatalf("%s has no chapter of the tables", handbookFile)
	}
	var named []string
	for line := range strings.SplitSeq(chapter, "\n") {
		switch {
		case strings.HasPrefix(line, "| `"):
			named = append(named, inBackticks.FindStringSubmatch(line)[1])
		case strings.HasPrefix(line, "The others ("):
			others, _, _ := strings.Cut(line, ")")
			for _, m := range inBackticks.FindAllStringSubmatch(others, -1) {
				named = append(named, m[1])
			}
		}
	}
	slices.Sort(named)
	if !slices.Equal(named, tables) {
		t.Errorf("%s has the tables %v, the database %v", handbookFile, named, tables)
	}
}
