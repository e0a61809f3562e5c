package sqltest

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

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/verify"
	"relpack/sql"
)

// goWrites are statements that write to a table. What is granted or vacuumed is
// none: "GRANT UPDATE ON", "VACUUM (TRUNCATE false)".
var goWrites = regexp.MustCompile(`(?i)\b(INSERT\s+INTO|MERGE\s+INTO|DELETE\s+FROM|UPDATE\s+(ONLY\s+)?[\w."%]+\s+(AS\s+\w+\s+)?SET|` +
	`UPDATE\s+(ONLY\s+)?(relpack|public)\.|TRUNCATE\s+(TABLE\s+)?(ONLY\s+)?(relpack\.|public\.|object_state|%))`)

// goFiles calls look with every file of the program: of runner and cmd, without
// tests and what serves them.
func goFiles(t *testing.T, look func(path string)) {
	t.Helper()
	for _, root := range []string{"../..", "../../../cmd"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && (d.Name() == "internal" || d.Name() == "testdata"):
				return filepath.SkipDir
			case !d.IsDir() && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"):
				look(path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// goLiterals calls look with every string of the program.
func goLiterals(t *testing.T, look func(position, text string)) {
	t.Helper()
	files := token.NewFileSet()
	goFiles(t, func(path string) {
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			t.Fatal(err)
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
	})
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
	table := regexp.MustCompile(`NewBuffer\("(\w+)"`)
	copies := 0
	goFiles(t, func(file string) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range table.FindAllStringSubmatch(string(text), -1) {
			copies++
			if !slices.Contains(staging, found[1]) {
				t.Errorf("%s: COPY into %s", file, found[1])
			}
		}
		if n := strings.Count(string(text), " FROM STDIN"); n > 0 && file != "../../record/copyin.go" {
			t.Errorf("%s: a COPY of its own", file)
		}
	})
	if copies < 5 {
		t.Errorf("only %d were looked at", copies)
	}
}

// sqlCode is what the files of sql/ define, without comments.
func sqlCode(t *testing.T) map[string]string {
	t.Helper()
	files, err := sql.Files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	code := map[string]string{}
	for _, file := range files {
		name := strings.TrimSuffix(file.Name(), ".sql")
		text, _, _ := strings.Cut(read(t, sql.Files, file.Name()), "\nCOMMENT ON ")
		code[name] = regexp.MustCompile(`--[^\n]*`).ReplaceAllString(text, "")
	}
	if len(code) < 100 {
		t.Fatalf("only %d functions in sql/", len(code))
	}
	return code
}

// A storage that keeps history stores more than one revision of an object:
// what is to be read of it, and to be deleted, is told in one place each. Only trims
// know of revisions.
func TestOneFunctionReadsObjectStateAndOneDeletesFromIt(t *testing.T) {
	t.Parallel()
	var (
		reads             = regexp.MustCompile(`(?i)\b(FROM|JOIN|USING|COPY|ONLY)\s+(public\.)?object_state\b|[,(]\s*(public\.)?object_state AS\b`)
		deletes           = regexp.MustCompile(`(?i)\b(DELETE\s+FROM|UPDATE|INSERT\s+INTO|MERGE\s+INTO|TRUNCATE|TRUNCATE\s+TABLE)\s+(ONLY\s+)?(public\.)?object_state\b`)
		readers, deleters []string
	)
	for name, text := range sqlCode(t) {
		if reads.MatchString(deletes.ReplaceAllString(text, "")) && !strings.HasPrefix(name, "trim_") {
			readers = append(readers, name)
		}
		if n := len(deletes.FindAllString(text, -1)); n > 0 {
			deleters = append(deleters, name)
			if n > 1 {
				t.Errorf("%s deletes %d times", name, n)
			}
		}
	}
	slices.Sort(readers)
	slices.Sort(deleters)
	// What is deleted must be gone: the deleter looks itself.
	if want := []string{"stored", "sweep_delete"}; !slices.Equal(readers, want) {
		t.Errorf("%v read object_state, not %v: let them call relpack.stored()", readers, want)
	}
	if want := []string{"sweep_delete", "trim_delete"}; !slices.Equal(deleters, want) {
		t.Errorf("%v write to object_state, not %v", deleters, want)
	}
}

// The index serves whoever asks just as it was made; what is detached is told in
// one place, beside the two that make the index.
func TestOneViewTellsWhatIsDetached(t *testing.T) {
	t.Parallel()
	condition := regexp.MustCompile(`(?i)\bcoalesce\((\w+\.)?(parent, -1\) = -1|detached_tid,)`)
	var places []string
	for name, text := range sqlCode(t) {
		if condition.MatchString(text) {
			places = append(places, name)
		}
	}
	slices.Sort(places)
	// A deletion that has begun asks for the age of what it has chosen.
	if want := []string{"build_step", "detached", "doom"}; !slices.Equal(places, want) {
		t.Errorf("%v tell what is detached, or since when, not %v: let them read relpack.detached", places, want)
	}
	goLiterals(t, func(position, text string) {
		if found := condition.FindString(text); found != "" {
			t.Errorf("%s: %s: let it read relpack.detached", position, found)
		}
	})
}

// In Go, too. Blocks, and samples of them, are the table's.
func TestGoReadsBlocksOfObjectStateAlone(t *testing.T) {
	t.Parallel()
	reads := regexp.MustCompile(`(?i)\b(FROM|JOIN|USING)\s+(public\.)object_state\b(.*)`)
	blocks := 0
	goLiterals(t, func(position, text string) {
		if found := reads.FindStringSubmatch(text); found != nil {
			file, _, _ := strings.Cut(position, ":")
			if blocks++; file != "../../record/reader.go" && !strings.Contains(found[3], "TABLESAMPLE") {
				t.Errorf("%s: %s: let it read relpack.stored()", position, found[0])
			}
		}
	})
	if blocks != 2 {
		t.Errorf("object_state is read in %d places", blocks)
	}
}

// Of two indexes that serve "zoid = ... AND tid = ..." the planner may take the one on tid,
// where it expects one object in a transaction: each look reads all that a large one wrote.
// BETWEEN, and a comparison that IS TRUE, leave it the primary key.
func TestARevisionIsLookedUpByItsObject(t *testing.T) {
	t.Parallel()
	plain := regexp.MustCompile(`(?:^|[^.\w])((?:stored|object_state|current_object|revision|newest|next|later|older|old)\.)?zoid = \S+ AND (?:\w+\.)?tid = `)
	for text, found := range map[string]bool{
		"stored.zoid = kept.zoid AND stored.tid = kept.tid":                         true,
		"WHERE zoid = $1 AND tid = $2":                                              true,
		"current_object.zoid = few.zoid AND (current_object.tid = few.tid) IS TRUE": false,
		"stored.zoid = kept.zoid AND stored.tid BETWEEN kept.tid AND kept.tid":      false,
		"removal.zoid = file.zoid AND removal.tid = file.tid":                       false,
	} {
		if plain.MatchString(text) != found {
			t.Errorf("%q: %v", text, !found)
		}
	}
	looked := 0
	look := func(position, text string) {
		looked++
		if found := plain.FindString(text); found != "" {
			t.Errorf("%s: %s: compare the tid by BETWEEN, or write (... = ...) IS TRUE", position, found)
		}
	}
	goLiterals(t, look)
	for name, text := range sqlCode(t) {
		look(name, text)
	}
	if looked < 1000 {
		t.Errorf("only %d texts were looked at", looked)
	}
}

// As a function it would read the whole table each time. PostgreSQL counts calls
// of what it did not put in the place of the call.
func TestWhatReadsObjectStateIsInlined(t *testing.T) {
	t.Parallel()
	s := packtest.NewSample(t)
	packtest.Run(t, s.Conn, "ALTER DATABASE "+s.Conn.Config().Database+" SET track_functions = 'all'")
	packtest.Pack(t, s.Target, packtest.Everything)
	packtest.CommitRecords(t, s.Conn, map[int64][]byte{1 << 30: zodbtest.Odd(zodbtest.Document, 1), 1<<30 + 1: zodbtest.Record(zodbtest.Document)})
	packtest.Pack(t, s.Target, packtest.Everything)
	if _, err := verify.Run(t.Context(), s.Target, packtest.VerifyOptions(true), packtest.Log(t)); err != nil {
		t.Error(err)
	}
	watcher := packtest.Session(t, s.Target)
	for _, sql := range []string{"SELECT FROM relpack.status()", "SELECT FROM relpack.verify()", "SELECT relpack.capture_compare() FROM relpack.try_pack_lock()"} {
		packtest.Run(t, watcher, sql)
	}
	packtest.Until(t, "sessions have told what they called", func() bool {
		return packtest.Get[bool](t, s.Conn, `SELECT count(*) = 6 FROM pg_stat_user_functions
			WHERE schemaname = 'relpack' AND funcname IN ('capture_compare', 'sweep_delete', 'sweep_recheck', 'verify_nodes', 'spare_young', 'build_enter')`)
	})
	if calls := packtest.Get[int64](t, s.Conn, "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_user_functions WHERE schemaname = 'relpack' AND funcname IN ('stored', 'build_level')"); calls > 0 {
		t.Errorf("%d calls of relpack.stored() and relpack.build_level()", calls)
	}
	if parallel := packtest.Get[string](t, s.Conn, "SELECT proparallel::text FROM pg_proc WHERE oid = 'relpack.stored()'::regprocedure"); parallel != "s" {
		t.Errorf("no worker may help to read relpack.stored(): it is %s", parallel)
	}
}

// RelStorage drops its table, DBAs alter, rename and restore it: relpack is not in
// their way, and reads what has the name.
func TestNothingDependsOnObjectState(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.DryRun(t, target)
	packtest.Run(t, conn, "ALTER TABLE object_state ALTER state_size TYPE integer, ALTER tid TYPE numeric; ALTER TABLE object_state ALTER tid TYPE bigint")
	packtest.Run(t, conn, "ALTER TABLE object_state RENAME TO put_aside; CREATE TABLE object_state (LIKE put_aside INCLUDING ALL)")
	if n := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.stored()"); n != 0 {
		t.Errorf("%d objects of the table that was put aside are read", n)
	}
	packtest.Run(t, conn, "DROP TABLE object_state; DROP TABLE put_aside CASCADE")
}

// A reference is decoded in one place, whatever is then done with it.
func TestOneReaderDecodesReferences(t *testing.T) {
	t.Parallel()
	goFiles(t, func(path string) {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if dir := filepath.Dir(path); regexp.MustCompile(`[^\[]pickle\.Scanner`).Match(source) && dir != "../../record" {
			t.Errorf("%s has a scanner of its own: give record.Reader another sink", path)
		}
	})
}
