package interop

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	rule "relpack/runner/internal/revision"
)

// keepGarbage makes the configuration one with pack-gc false.
func (w *site) keepGarbage() {
	w.t.Helper()
	text, err := os.ReadFile(w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	kept := strings.Replace(string(text), "keep-history true", "keep-history true\n  pack-gc false", 1)
	if err := os.WriteFile(w.config, []byte(kept), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// states are what ZODB loads of each object at the times of the last transactions.
func (w *site) states(count int) map[string]map[string]string {
	w.t.Helper()
	var found map[string]map[string]string
	if err := json.Unmarshal([]byte(w.script("history.py", "states", w.config, strconv.Itoa(count))), &found); err != nil {
		w.t.Fatal(err)
	}
	return found
}

func TestATrimmedHistoryLoadsAndIsUndoneAsBefore(t *testing.T) {
	t.Parallel()
	for _, how := range []struct{ gc, files bool }{{false, false}, {false, true}, {true, true}} {
		gc := how.gc
		w := newSite(t, shape{files: how.files, history: true})
		if !gc {
			w.keepGarbage()
		}
		w.script("history.py", "write", w.config)
		w.script("history.py", "write", w.config)
		w.relpack("migrate", "up", w.config)
		packTid := get[int64](t, w.conn, "SELECT max(tid) FROM transaction")
		packed := time.Now()
		time.Sleep(100 * time.Millisecond) // the clock is the pack time
		w.script("history.py", "write", w.config)
		later := get[int](t, w.conn, "SELECT count(*) FROM transaction WHERE tid > $1", packTid)
		before := w.states(later + 1)
		stored, err := rule.Load(t.Context(), w.conn)
		if err != nil {
			t.Fatal(err)
		}
		rows := get[int](t, w.conn, "SELECT count(*) FROM object_state")
		days := strconv.FormatFloat(time.Since(packed).Hours()/24, 'f', 12, 64)
		w.relpack("pack", "--days", days, w.config)
		if now := get[int](t, w.conn, "SELECT count(*) FROM object_state"); now >= rows {
			t.Errorf("%d revisions of %d stay", now, rows)
		}
		if how.files {
			w.expectFilesOfHistory()
		}
		if gc {
			if left, err := rule.Load(t.Context(), w.conn); err != nil || !slices.Equal(left.Keys(), stored.Collect(packTid).Stay()) {
				t.Errorf("there are %v (%v), want %v", left.Keys(), err, stored.Collect(packTid).Stay())
			}
			for _, objects := range before {
				for _, zoid := range stored.Collect(packTid).Garbage() {
					delete(objects, strconv.FormatInt(zoid, 10))
				}
			}
			w.relpack("verify", w.config)
		}
		if after := w.states(later + 1); !reflect.DeepEqual(after, before) {
			t.Error("objects are others than before, now or at a time since the pack time")
		}
		undone := strings.TrimSpace(w.script("history.py", "undo", w.config, strconv.FormatInt(packTid, 10)))
		if n, err := strconv.Atoi(undone); err != nil || n < 3 {
			t.Errorf("%s transactions could be undone", undone)
		}
		if lost := get[int](t, w.conn, `SELECT count(*) FROM blob_chunk
			WHERE NOT EXISTS (SELECT FROM pg_largeobject_metadata WHERE oid = chunk)`); lost != 0 {
			t.Errorf("%d large objects are gone", lost)
		}
		if how.files {
			w.expectFilesOfHistory()
			w.relpack("pack", "--days", "-1", w.config)
			w.expectFilesOfHistory()
		}
		w.zodbpack("--days", "1")
	}
}

// An undo locks no objects: it writes one that a client has locked.
func TestACommitThatHadVotedBeforeAnUndoIsUndoneAfterAPack(t *testing.T) {
	t.Parallel()
	w := newSite(t, shape{patience: 3, history: true})
	w.keepGarbage()
	if got, want := strings.TrimSpace(w.script("undo_beside_a_vote.py", w.config, program)), "[('first', 1), ('second', 2)]"; got != want {
		t.Errorf("there are %s, want %s", got, want)
	}
}
