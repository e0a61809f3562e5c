package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	one      = "CREATE OR REPLACE FUNCTION relpack.one()\nRETURNS integer\nLANGUAGE sql\nAS $$ SELECT 1 $$;"
	oneTwice = "CREATE OR REPLACE FUNCTION relpack.one()\nRETURNS integer\nLANGUAGE sql\nAS $$ SELECT 1 * 1 $$;"
	oneMore  = "CREATE OR REPLACE FUNCTION relpack.one(more integer)\nRETURNS integer\nLANGUAGE sql\nAS $$ SELECT 1 + more $$;"
	shown    = "CREATE OR REPLACE VIEW relpack.shown AS\nSELECT relpack.one() AS one;"
	shownTwo = "CREATE OR REPLACE VIEW relpack.shown AS\nSELECT relpack.one() AS one, 2 AS two;"
)

// release writes sql/ anew and runs the program as in a directory migrations.
func release(t *testing.T, dir, name string, definitions map[string]string) (up, down string) {
	t.Helper()
	sqlDir := filepath.Join(dir, "sql")
	check(t, os.RemoveAll(sqlDir))
	check(t, os.MkdirAll(sqlDir, 0o755))
	for object, text := range definitions {
		check(t, os.WriteFile(filepath.Join(sqlDir, object+".sql"), []byte(text+"\n"), 0o644))
	}
	check(t, run(sqlDir, dir, name))
	files, err := filepath.Glob(filepath.Join(dir, "*.sql"))
	check(t, err)
	text, err := os.ReadFile(files[len(files)-1])
	check(t, err)
	up, down, found := strings.Cut(string(text), "-- +goose Down")
	if !found || !strings.Contains(up, "-- +goose Up") {
		t.Fatalf("no migration of goose's: %s", text)
	}
	return up, down
}

// first is a directory of migrations with tables and a first snapshot.
func first(t *testing.T, definitions map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "00001_tables.sql"), []byte("-- +goose Up\n-- +goose Down\n"), 0o644))
	release(t, dir, "code", definitions)
	return dir
}

func expect(t *testing.T, what, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if absent, is := strings.CutPrefix(word, "!"); is == strings.Contains(text, absent) {
			t.Errorf("%s: %q in\n%s", what, word, text)
		}
	}
}

func TestTheFirstSnapshotCreatesAllAndDropsAll(t *testing.T) {
	dir := first(t, nil)
	up, down := release(t, dir, "", map[string]string{"one": one, "shown": shown})
	expect(t, "Up", up, one, shown, "create_triggers", "trim_committed", "REVOKE ALL", "take_back(NULL)", "lock_timeout", "!DROP")
	expect(t, "Down", down, "drop_triggers", `DROP VIEW relpack."shown"`, `DROP FUNCTION relpack."one"`, "!CREATE")
	if strings.Index(up, "VIEW") < strings.Index(up, "FUNCTION") || strings.Index(down, "VIEW") > strings.Index(down, "FUNCTION") {
		t.Errorf("views come before functions in\n%s%s", up, down)
	}
}

func TestAChangedFunctionGoesUpWithThePreviousTextDown(t *testing.T) {
	dir := first(t, map[string]string{"one": one, "shown": shown})
	up, down := release(t, dir, "more", map[string]string{"one": oneTwice, "shown": shown})
	expect(t, "Up", up, oneTwice, "REVOKE ALL", "take_back('{}')", "!DROP", "!VIEW", "!create_triggers")
	expect(t, "Down", down, one, "!DROP", "!VIEW", "!drop_triggers")
}

func TestAChangedSignatureIsDroppedFirst(t *testing.T) {
	dir := first(t, map[string]string{"one": one})
	up, down := release(t, dir, "more", map[string]string{"one": oneMore})
	expect(t, "Up", up, `DROP FUNCTION relpack."one";`, oneMore)
	expect(t, "Down", down, `DROP FUNCTION relpack."one";`, one)
	for _, text := range []string{up, down} {
		if strings.Index(text, "DROP") > strings.Index(text, "CREATE") {
			t.Errorf("dropped too late:\n%s", text)
		}
	}
}

// Grants on what is only replaced are the owner's to keep.
func TestDefaultPrivilegesAreTakenBackFromWhatIsNew(t *testing.T) {
	dir := first(t, map[string]string{"one": one})
	up, _ := release(t, dir, "more", map[string]string{"one": oneTwice, "shown": shown})
	expect(t, "Up", up, "take_back('{shown}')")
	up, _ = release(t, dir, "yet_more", map[string]string{"one": oneMore, "shown": shown})
	expect(t, "Up", up, "take_back('{one,shown}')")
}

func TestARemovedFunctionIsDroppedAndComesBackDown(t *testing.T) {
	dir := first(t, map[string]string{"one": one, "shown": shown})
	up, down := release(t, dir, "less", map[string]string{"one": one})
	expect(t, "Up", up, `DROP VIEW relpack."shown";`, "!CREATE OR REPLACE")
	expect(t, "Down", down, shown, "!DROP")
	// The next one doesn't remember it.
	up, down = release(t, dir, "again", map[string]string{"one": one, "shown": shownTwo})
	expect(t, "Up", up, shownTwo, "!DROP")
	expect(t, "Down", down, `DROP VIEW relpack."shown";`, "!CREATE OR REPLACE")
}

// Views depend on the functions they call.
func TestAChangedSignatureTakesTheViewsThatUseItAlong(t *testing.T) {
	dir := first(t, map[string]string{"one": one, "shown": shown})
	up, down := release(t, dir, "more", map[string]string{
		"one": strings.Replace(one, "RETURNS integer", "RETURNS bigint", 1), "shown": shown})
	for what, text := range map[string]string{"Up": up, "Down": down} {
		expect(t, what, text, `DROP VIEW relpack."shown";`, `DROP FUNCTION relpack."one";`, shown)
		if strings.Index(text, "DROP VIEW") > strings.Index(text, "DROP FUNCTION") {
			t.Errorf("%s drops the function first:\n%s", what, text)
		}
	}
}

func TestWritingTheLastSnapshotAgainChangesNothing(t *testing.T) {
	dir := first(t, map[string]string{"one": one})
	up, down := release(t, dir, "more", map[string]string{"one": oneTwice})
	again, downAgain := release(t, dir, "", map[string]string{"one": oneTwice})
	if again != up || downAgain != down {
		t.Errorf("from\n%s%s\nto\n%s%s", up, down, again, downAgain)
	}
}

func TestAFileThatDefinesAnotherObjectIsRefused(t *testing.T) {
	dir := first(t, nil)
	check(t, os.WriteFile(filepath.Join(dir, "sql", "two.sql"), []byte(one), 0o644))
	if err := run(filepath.Join(dir, "sql"), dir, ""); err == nil || !strings.Contains(err.Error(), "two.sql") {
		t.Errorf("%v", err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
