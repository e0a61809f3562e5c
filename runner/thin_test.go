package runner

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// goWrites are statements that write to a table. What is granted or vacuumed is
// none: "GRANT UPDATE ON", "VACUUM (TRUNCATE false)".
var goWrites = regexp.MustCompile(`(?i)\b(INSERT\s+INTO|MERGE\s+INTO|DELETE\s+FROM|UPDATE\s+(ONLY\s+)?[\w."%]+\s+(AS\s+\w+\s+)?SET|` +
	`UPDATE\s+(ONLY\s+)?(relpack|public)\.|TRUNCATE\s+(TABLE\s+)?(ONLY\s+)?(relpack\.|public\.|object_state|%))`)

// goLiterals calls look with every string of the program: of runner and cmd,
// without tests and what serves them.
func goLiterals(t *testing.T, look func(position, text string)) {
	t.Helper()
	files := token.NewFileSet()
	for _, root := range []string{".", "../cmd"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && (d.Name() == "internal" || d.Name() == "testdata"):
				return filepath.SkipDir
			case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			file, err := parser.ParseFile(files, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
					text, err := strconv.Unquote(literal.Value)
					if err != nil {
						t.Fatal(err)
					}
					look(files.Position(literal.Pos()).String(), text)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Rules stand in sql/, where a DBA can read them and seeded mistakes reach them.
func TestGoWritesToNoTable(t *testing.T) {
	t.Parallel()
	for sql, writes := range map[string]bool{
		"insert into\n relpack.pending":            true,
		"UPDATE relpack.storage SET reread = true": true,
		"UPDATE storage AS s SET x":                true,
		"update relpack.":                          true,
		"DELETE FROM object_state":                 true,
		"TRUNCATE relpack.object":                  true,
		"TRUNCATE TABLE %s":                        true,
		"MERGE INTO relpack.object":                true,
		"GRANT INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA relpack": false,
		"VACUUM (TRUNCATE false) relpack.object":                                 false,
		"SELECT FROM relpack.object FOR UPDATE":                                  false,
	} {
		if goWrites.MatchString(sql) != writes {
			t.Errorf("%q: %v", sql, !writes)
		}
	}
	literals, calls := 0, 0
	goLiterals(t, func(position, text string) {
		literals++
		if strings.Contains(text, "SELECT relpack.") {
			calls++
		}
		if found := goWrites.FindString(text); found != "" {
			t.Errorf("%s: %s: let a function of sql/ do that", position, found)
		}
	})
	if literals < 1000 || calls < 40 {
		t.Errorf("only %d strings and %d calls were looked at", literals, calls)
	}
}

// What COPY fills is looked at by functions, or, in a first build, belongs to no
// graph yet.
func TestGoCopiesIntoStagingAlone(t *testing.T) {
	t.Parallel()
	staging := []string{"staged_object", "object_inref", "examined_object", "examined_inref", "examined_problem", "examined_foreign"}
	target := regexp.MustCompile(`newCopyBuffer\("(\w+)"`)
	copies := 0
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, found := range target.FindAllStringSubmatch(string(text), -1) {
			copies++
			if !slices.Contains(staging, found[1]) {
				t.Errorf("%s: COPY into %s", file, found[1])
			}
		}
		if n := strings.Count(string(text), " FROM STDIN"); n > 0 && file != "copyin.go" {
			t.Errorf("%s: a COPY of its own", file)
		}
	}
	if copies < 5 {
		t.Errorf("only %d were looked at", copies)
	}
}
