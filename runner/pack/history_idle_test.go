package pack_test

import (
	"log/slog"
	"strings"
	"testing"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
)

// A capture more, after the trim, is for a sweep: where nothing is unreachable there is none.
func TestAPackOfAHistoryWithNothingToDeleteCapturesOnce(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(9), map[int64][]byte{0: page(1, 2), 1: page(), 2: page()})
	captures := func(days float64) int {
		t.Helper()
		var said strings.Builder
		log := slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug}))
		if _, err := pack.Run(t.Context(), file, trimDays(days), log); err != nil {
			t.Fatal(err)
		}
		return strings.Count(said.String(), "SELECT relpack.capture_list()")
	}
	reachable := func(want bool, why string) {
		t.Helper()
		if got := packtest.Get[bool](t, h.Conn, "SELECT relpack.all_reachable()"); got != want {
			t.Errorf("%s: %v", why, got)
		}
	}
	captures(1)
	reachable(true, "packed")
	if n := captures(1); n != 1 {
		t.Errorf("nothing was written: %d captures", n)
	}
	store(t, h, daysAgo(8), map[int64][]byte{1: page(2)})
	if n := captures(1); n != 2 {
		t.Errorf("an old revision went: %d captures", n)
	}
	store(t, h, daysAgo(0.5), map[int64][]byte{0: page(2)})
	if n := captures(1); n != 1 {
		t.Errorf("what is younger than the pack time: %d captures", n)
	}
	packtest.Run(t, h.Conn, "SELECT relpack.try_pack_lock(), relpack.pend(pg_backend_pid(), '{2}'), relpack.release_pack_lock()")
	reachable(false, "one is to be read")
	captures(1)
	reachable(true, "read")
	packtest.Run(t, h.Conn, "UPDATE object_state SET state = $1 WHERE zoid = 2", page(2))
	reachable(false, "reported")
	captures(1)
	reachable(true, "captured")
	// Younger than the pack time: it stays, unreachable.
	store(t, h, daysAgo(0.1), map[int64][]byte{5: page()})
	captures(1)
	reachable(false, "nothing refers to one")
	if n := captures(1); n != 2 {
		t.Errorf("something is unreachable: %d captures", n)
	}
}
