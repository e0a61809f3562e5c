package pack_test

import (
	"testing"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
)

// A session that never swept deletes the newest revision of what is chosen for deletion.
func TestWhatIsChosenForDeletionIsReadAgainWhenItsNewestRevisionIsDeleted(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	before := daysAgo(20)
	store(t, h, daysAgo(30), map[int64][]byte{0: page(), 2: page()})
	store(t, h, before, map[int64][]byte{1: page(2)})
	if _, err := h.Undo(t.Context(), before, daysAgo(10)); err != nil {
		t.Fatal(err)
	}
	dryRun(t, file, 0)
	for _, statement := range []string{
		"UPDATE current_object SET tid = $1 WHERE zoid = 1", "DELETE FROM object_state WHERE zoid = 1 AND tid > $1",
	} {
		if _, err := h.Conn.Exec(t.Context(), statement, before); err != nil {
			t.Fatal(err)
		}
	}
	store(t, h, daysAgo(5), map[int64][]byte{0: page(1)})
	packtest.Pack(t, file, trimDays(0))
	packtest.ExpectStored(t, h.Conn, 0, 1, 2)
}
