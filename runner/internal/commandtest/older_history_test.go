package commandtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/revision"
	"relpack/runner/internal/zodbtest"
)

// answers are what commands print of a history-preserving storage as a release made it,
// what psql gets, and what is stored in the end.
func answers(t *testing.T, version zodbtest.Version, base time.Time, gc string) map[string]string {
	t.Helper()
	db := pgtest.NewDatabase(t)
	conn := db.Connect(t)
	if _, err := conn.Exec(t.Context(), "SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public"); err != nil {
		t.Fatal(err)
	}
	if err := zodbtest.CreateHistory(t.Context(), conn, version); err != nil {
		t.Fatal(err)
	}
	h := zodbtest.History{Conn: conn, Version: version}
	write(t, h, base)
	config := filepath.Join(t.TempDir(), "site.conf")
	if err := os.WriteFile(config, []byte("<relstorage>\npack-gc "+gc+"\n<postgresql>\ndsn "+db.DSN+"\n</postgresql>\n</relstorage>\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	say := func(code int, args ...string) {
		t.Helper()
		args = append(args, config)
		r := relpack(t, args...)
		if r.code != code {
			t.Errorf("%s: %v: exit code %d, want %d: %s%s", version, args, r.code, code, r.stdout, r.stderr)
		}
		said[fmt.Sprintf("%d %v", len(said), args[:len(args)-1])] = strings.ReplaceAll(strings.ReplaceAll(r.stdout, db.Name, "DATABASE"), config, "CONFIG")
	}
	look := func() {
		t.Helper()
		if gc == "true" {
			say(0, "why", "2")
			say(0, "du")
			say(0, "check")
			say(0, "verify")
			say(0, "report", "--html", t.TempDir()+"/page.html")
		}
		for _, query := range []string{"SELECT history FROM (SELECT 0 AS zoid UNION SELECT 2) AS asked, relpack.history(zoid, 5)", "SELECT h FROM relpack.history_by_class() AS h"} {
			if gc == "true" {
				said[fmt.Sprintf("%d %s", len(said), query)] = lines(t, conn, query)
			}
		}
	}
	say(0, "migrate", "up")
	say(0, "pack", "--days", "5", "--dry-run", "--json")
	look()
	say(0, "pack", "--days", "5", "--json")
	look()
	say(0, "status", "--json")
	if _, err := h.Commit(t.Context(), zodbtest.TimeTid(base.Add(-2*time.Hour)), map[int64][]byte{0: zodbtest.Record(zodbtest.Document)}); err != nil {
		t.Fatal(err)
	}
	say(0, "pack", "--days", "-1", "--json")
	look()
	stored, err := revision.Load(t.Context(), conn)
	if err != nil || len(stored.Unlinked) > 0 {
		t.Errorf("%s: large objects are gone: %v (%v)", version, stored.Unlinked, err)
	}
	said["stored"] = fmt.Sprint(stored.Keys(), lines(t, conn, "SELECT count(*) FROM pg_largeobject_metadata"))
	say(0, "migrate", "down")
	return said
}

// write has old revisions, an undo whose blob shares the large objects of another one, and
// deleted objects and garbage.
func write(t *testing.T, h zodbtest.History, base time.Time) {
	t.Helper()
	page := func(refs ...int64) []byte { return zodbtest.Record(zodbtest.Document, refs...) }
	at := func(days int) int64 { return zodbtest.TimeTid(base.AddDate(0, 0, -days)) }
	blob := zodbtest.Record(zodbtest.Blob)
	_, err := h.CommitBlobs(t.Context(), at(20), map[int64][]byte{0: page(1, 2, 3), 1: page(4), 2: blob, 3: page(5), 4: page(), 5: page(), 6: blob},
		map[int64][][]byte{2: {[]byte("one"), []byte("half"), []byte("more")}, 6: {[]byte("x"), []byte("y")}})
	if err != nil {
		t.Fatal(err)
	}
	second, err := h.CommitBlobs(t.Context(), at(12), map[int64][]byte{0: page(1, 2), 2: blob}, map[int64][][]byte{2: {[]byte("second")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Undo(t.Context(), second, at(11)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		days    int
		objects map[int64][]byte
	}{{10, map[int64][]byte{0: page(1, 2), 5: nil}}, {4, map[int64][]byte{1: page()}}, {1, map[int64][]byte{0: page(1, 2), 1: page(), 4: page()}}} {
		if _, err := h.Commit(t.Context(), at(c.days), c.objects); err != nil {
			t.Fatal(err)
		}
	}
}

func lines(t *testing.T, conn *pgx.Conn, query string) string {
	t.Helper()
	rows, err := conn.Query(t.Context(), "SELECT answer::text FROM ("+query+") AS asked (answer)")
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

// What differs from run to run, or by the size of files: in JSON by key, in text by line.
var (
	chance = regexp.MustCompile(`^(run|[a-z_]*seconds|phases|[a-z_]*memory|[a-z_]*since|started|finished|last_pack|oldest|until|until_tid|trimmed_until|pack_time|horizon|` +
		`version|name|dsn|host|database|storage|[a-z_]*table[a-z_]*|disk[a-z_]*|wal[a-z_]*)$`)
	chanceLine = regexp.MustCompile(`(?m)^(time|peak memory) .*$|\S+ \S+ UTC, the pack time of the last pack or dry run`)
)

// undated is an answer without those.
func undated(t *testing.T, text string) string {
	t.Helper()
	var value any
	if json.Unmarshal([]byte(text), &value) != nil {
		return chanceLine.ReplaceAllString(text, "")
	}
	var without func(any) any
	without = func(value any) any {
		switch value := value.(type) {
		case map[string]any:
			maps.DeleteFunc(value, func(key string, _ any) bool { return chance.MatchString(key) })
			for key := range value {
				value[key] = without(value[key])
			}
		case []any:
			for i := range value {
				value[i] = without(value[i])
			}
		}
		return value
	}
	clean, err := json.MarshalIndent(without(value), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(clean)
}

// Whatever is asked of a history that an old release wrote, the answers are those of a new
// one's.
func TestAHistoryOfAnOldReleaseIsPackedAndAskedAsThatOfANewOne(t *testing.T) {
	t.Parallel()
	base := time.Now().Truncate(time.Minute)
	for gc, version := range map[string]zodbtest.Version{"true": zodbtest.V15, "false": zodbtest.V21} {
		want, got := answers(t, zodbtest.V42, base, gc), answers(t, version, base, gc)
		for _, asked := range slices.Sorted(maps.Keys(want)) {
			if is, was := undated(t, got[asked]), undated(t, want[asked]); is != was {
				t.Errorf("pack-gc %s, %s: of %s\n%s\nof 4.2\n%s", gc, version, asked, is, was)
			}
		}
	}
}
