package schema_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"relpack/migrations"
	"relpack/runner/internal/packtest"
	"relpack/runner/pack"
	"relpack/runner/status"
)

// letLook lets a role do what the handbook's dashboard may do.
func letLook(t *testing.T, h packtest.House, role string) {
	t.Helper()
	grantMissing(t, h, "SELECT DISTINCT remedy FROM relpack.missing_privilege('dashboard', only_look => true)", "dashboard", role)
}

// grantMissing runs what the handbook's query for a role says, for another one.
func grantMissing(t *testing.T, h packtest.House, query, of, role string) {
	t.Helper()
	handbook, err := os.ReadFile("../../sql/README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(handbook), "=> "+query+` \gexec`) {
		t.Errorf("the handbook does not have %s", query)
	}
	owner := h.As(t, h.Owner)
	for _, remedy := range packtest.Lines(t, owner, strings.ReplaceAll(query, of, role)) {
		packtest.Run(t, owner, remedy)
	}
}

// handbookLooks are the views and functions that have a heading in the handbook's
// chapter on looking.
func handbookLooks(t *testing.T) (names []string) {
	t.Helper()
	handbook, err := os.ReadFile("../../sql/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, chapter, _ := strings.Cut(string(handbook), "\n## Looking\n")
	chapter, _, found := strings.Cut(chapter, "\n## ")
	if !found {
		t.Fatal("the handbook has no chapter on looking")
	}
	for _, heading := range regexp.MustCompile(`(?m)^### relpack\..*$`).FindAllString(chapter, -1) {
		for name := range strings.SplitSeq(strings.TrimPrefix(heading, "### "), " and ") {
			names = append(names, strings.TrimSuffix(strings.TrimPrefix(name, "relpack."), "()"))
		}
	}
	return names
}

func TestARoleThatLooksSeesEverythingAndChangesNothing(t *testing.T) {
	t.Parallel()
	h := packtest.NewHouse(t)
	app := h.As(t, h.App)
	packtest.CommitAt(t, app, 48*time.Hour, packtest.Garden)
	watcher := packtest.NewRole(t, h.Admin)
	letLook(t, h, watcher)
	packtest.Run(t, h.Admin, "GRANT pg_monitor TO "+watcher)
	packtest.DryRun(t, packtest.As(h.Target, h.Owner))
	conn := h.As(t, watcher)

	packer := h.As(t, h.Owner)
	packtest.Run(t, packer, "SELECT relpack.try_pack_lock()")
	packtest.Run(t, app, "BEGIN; UPDATE object_state SET state_size = 0 WHERE zoid = 2")
	report, err := status.Look(t.Context(), packtest.As(h.Target, watcher, "default_transaction_read_only=on"), migrations.Files, packtest.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	if g := report.Graph; g == nil || g.Unreachable.Objects != 4 || len(g.ByClass) != 1 || len(g.Runs) != 1 ||
		g.Packer == nil || g.Packer.Since == nil {
		t.Errorf("%+v", g)
	}
	for query, want := range map[string]int{
		"SELECT zoid::text FROM relpack.unreachable_object":                        4,
		"SELECT class FROM relpack.garbage_by_class":                               1,
		"SELECT age FROM relpack.garbage_by_age":                                   6,
		"SELECT table_name FROM relpack.leftover":                                  0,
		"SELECT query FROM relpack.writer WHERE query LIKE '%UPDATE%' AND pid > 0": 1,
		"SELECT username FROM relpack.pack_lock_holder() WHERE since IS NOT NULL":  1,
		"SELECT class FROM relpack.path_to_root(2)":                                3,
		"SELECT class FROM relpack.referrers(2)":                                   1,
		"SELECT tid::text FROM relpack.history(2)":                                 1,
		`SELECT class FROM relpack.referents(1)`:                                   1,
		"SELECT finding FROM relpack.verify()":                                     0,
		"SELECT relpack.tid_to_time(relpack.time_to_tid(now()))::text":             1,
		"SELECT graph FROM relpack.status() WHERE relpack.doubt() IS NULL":         1,
		"SELECT relname::text FROM pg_class WHERE relnamespace = 'relpack'::regnamespace AND relkind = 'v' AND NOT has_table_privilege(oid, 'SELECT')": 0,
	} {
		if got := packtest.Lines(t, conn, query); len(got) != want {
			t.Errorf("%s: %d rows, want %d", query, len(got), want)
		}
	}

	for _, name := range handbookLooks(t) {
		if !packtest.Get[bool](t, conn, "SELECT coalesce(bool_and(has_function_privilege(oid, 'EXECUTE')), true) FROM pg_proc WHERE pronamespace = 'relpack'::regnamespace AND proname = $1", name) {
			t.Errorf("it may not call relpack.%s, by which the handbook looks", name)
		}
	}

	denied(t, conn,
		"SELECT relpack.sweep(1, NULL)",
		"SELECT relpack.doom(NULL)",
		"SELECT relpack.reach()",
		"SELECT relpack.try_pack_lock()",
		"SELECT relpack.build_reset()",
		"DELETE FROM relpack.run",
		"UPDATE relpack.storage SET graph = 'none'",
		"DELETE FROM object_state",
		"CREATE TABLE relpack.mine ()")
	for _, may := range packtest.Lines(t, conn, `
		SELECT 'execute ' || oid::regprocedure
		FROM pg_proc
		WHERE pronamespace = 'relpack'::regnamespace
		  AND has_function_privilege(oid, 'EXECUTE')
		  AND (provolatile = 'v' OR prosecdef)
		  -- All that these do besides looking is to lock what they look at, as SELECT does,
		  -- or to open and close it.
		  AND (prosecdef OR proname NOT IN ('doubt', 'verify', 'blobs_judge', 'verify_blobs', 'lock_storage', 'require_storage', 'require_protocol', 'require_packable', 'require_unreferred', 'blob_bytes', 'large_object_bytes'))
		UNION ALL
		SELECT 'write to ' || oid::regclass
		FROM pg_class
		WHERE (relnamespace = 'relpack'::regnamespace OR oid = 'object_state'::regclass)
		  AND relkind IN ('r', 'v')
		  AND has_table_privilege(oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')`) {
		t.Errorf("it may %s", may)
	}
	_, err = pack.Run(t.Context(), packtest.As(h.Target, watcher), packtest.Everything, packtest.Log(t))
	packtest.ExpectRefusal(t, err, "role "+watcher+" may not pack")
}
