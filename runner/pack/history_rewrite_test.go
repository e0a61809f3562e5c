package pack_test

import (
	"fmt"
	"strings"
	"testing"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
)

const eventsOf = `SELECT coalesce(string_agg(DISTINCT zoid::text, ' ' ORDER BY zoid::text), '') FROM relpack.write_event`

// zodbpack has what it keeps name no predecessor, a row for each. Nobody asks the
// predecessor of what is no later than the horizon.
func TestARewrittenRevisionIsReportedIfTheGraphMayShowIt(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	first := store(t, h, daysAgo(30), map[int64][]byte{0: page(1, 2, 3), 1: page(), 2: page(), 3: page()})
	second := store(t, h, daysAgo(20), map[int64][]byte{1: page(2), 2: page(1), 3: page(2)})
	last := store(t, h, daysAgo(2), map[int64][]byte{1: page(), 2: page()})
	dryRun(t, file, 5)
	tids := strings.NewReplacer("FIRST", fmt.Sprint(first), "SECOND", fmt.Sprint(second), "LAST", fmt.Sprint(last))
	for _, test := range []struct{ does, want string }{
		{"SET prev_tid = 0 WHERE tid <= SECOND", ""},
		{"SET prev_tid = prev_tid, md5 = md5 WHERE tid <= SECOND", ""},
		{"SET prev_tid = 0 WHERE tid = LAST", "1 2"}, // an older one is kept for them
		{"SET prev_tid = FIRST WHERE zoid = 3 AND tid = SECOND", ""},
		{"SET prev_tid = SECOND WHERE zoid = 3 AND tid = FIRST", "3"}, // it may keep what was not kept
		{"SET state = state || '.' WHERE zoid = 1 AND tid = SECOND", "1"},
		{"SET state = NULL WHERE zoid = 1 AND tid = SECOND", "1"},
		{"SET state = other.state FROM object_state AS other WHERE object_state.tid = SECOND AND other.tid = SECOND AND object_state.zoid IN (1, 2) AND other.zoid = 3 - object_state.zoid", "1 2"},
		{"SET tid = tid + 1 WHERE zoid = 0", "0"},
		{"SET zoid = 9 WHERE zoid = 0", "0 9"},
		{"SET prev_tid = 0 WHERE false", ""},
	} {
		tx, err := h.Conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// Keys are of no concern here.
		for _, sql := range []string{"DELETE FROM current_object WHERE zoid = 0", "ALTER TABLE object_state DROP CONSTRAINT object_state_tid_fkey",
			"UPDATE object_state " + tids.Replace(test.does)} {
			if _, err := tx.Exec(t.Context(), sql); err != nil {
				t.Fatalf("%s: %v", sql, err)
			}
		}
		if got := packtest.Get[string](t, h.Conn, eventsOf); got != test.want {
			t.Errorf("%s reports %q, want %q", test.does, got, test.want)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	packtest.Run(t, h.Conn, "BEGIN ISOLATION LEVEL REPEATABLE READ")
	packtest.Run(t, h.Conn, "UPDATE object_state SET prev_tid = 0 WHERE zoid = 3")
	packtest.Run(t, h.Conn, "COMMIT")
	if got := packtest.Get[string](t, h.Conn, eventsOf); got != "3" {
		t.Errorf("a transaction with an older snapshot reports %q", got)
	}
	dryRun(t, file, 5)
	packtest.Run(t, h.Conn, "UPDATE object_state SET prev_tid = 0 WHERE tid <= $1", second)
	packtest.ExpectSound(t, file)
	report := packtest.Pack(t, file, trimDays(5))
	if report.Scanned.Objects > 0 {
		t.Errorf("%d objects were read", report.Scanned.Objects)
	}
	packtest.ExpectSound(t, file)
}
