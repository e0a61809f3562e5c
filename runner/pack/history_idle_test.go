package pack_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// said packs, and returns the statements of that.
func said(t *testing.T, file target.Target, days float64) (string, *pack.Report) {
	t.Helper()
	var said strings.Builder
	report, err := pack.Run(t.Context(), file, trimDays(days), slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	return said.String(), report
}

// A capture more, after the trim, is for a sweep: where nothing is unreachable there is none.
func TestAPackOfAHistoryWithNothingToDeleteCapturesOnce(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(9), map[int64][]byte{0: page(1, 2), 1: page(), 2: page()})
	captures := func(days float64) int {
		t.Helper()
		statements, _ := said(t, file, days)
		return strings.Count(statements, "SELECT relpack.capture_list()")
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
	if n := captures(1); n != 1 {
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

// What has to be looked at nevertheless is what makes no event.
func TestAPackOfAHistoryThatIsTrimmedDoesNotTrimAgain(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	first := store(t, h, daysAgo(9), map[int64][]byte{0: page(1, 2), 1: page(), 2: page()})
	store(t, h, daysAgo(8), map[int64][]byte{1: page(2)})
	looked := func(want bool, why string) *pack.Report {
		t.Helper()
		statements, report := said(t, file, 1)
		for _, step := range []string{"relpack.trim_list(", "relpack.trim_find(", "relpack.trim_mark(", "relpack.trim_cleared("} {
			if got := strings.Contains(statements, step); got != want {
				t.Errorf("%s: %s) is called: %v", why, step, got)
			}
		}
		return report
	}
	looked(true, "never packed")
	looked(false, "nothing was written")
	store(t, h, daysAgo(0.5), map[int64][]byte{0: page(1, 2)})
	looked(false, "what was written is later than the pack time")
	packtest.Run(t, h.Conn, "UPDATE transaction SET packed = false WHERE tid = $1", first)
	looked(true, "somebody has one marked no more")
	if !packtest.Get[bool](t, h.Conn, "SELECT packed FROM transaction WHERE tid = $1", first) {
		t.Error("it is not marked again")
	}
	packtest.Run(t, h.Conn, "UPDATE relpack.storage SET gone_through = now() - interval '8 days'")
	looked(true, "all was gone through a week ago")
	// It is left alone, and told of each time.
	store(t, h, daysAgo(7), map[int64][]byte{2: page()})
	packtest.Run(t, h.Conn, "UPDATE current_object SET tid = $1 WHERE zoid = 2", first)
	for _, why := range []string{"set back", "still set back"} {
		if report := looked(true, why); report.Trimmed.LeftAlone != 1 {
			t.Errorf("%s: %d objects are left alone", why, report.Trimmed.LeftAlone)
		}
	}
}

// A pack was killed after it had marked the transaction.
func TestWhatIsMarkedAlreadyIsTrimmed(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(9), map[int64][]byte{0: page(1), 1: page()})
	packtest.Pack(t, file, trimDays(5))
	written := store(t, h, daysAgo(4), map[int64][]byte{1: page()})
	packtest.Run(t, h.Conn, "UPDATE transaction SET packed = true WHERE tid = $1", written)
	packtest.Pack(t, file, trimDays(1))
	expectRevisions(t, h.Conn, "marked, and trimmed by the next pack", 1, 1)
}

// The pack begins to look for it where the last one found it.
func TestTheOldestRevisionIsOlderAfterARestore(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(9), map[int64][]byte{0: page(1), 1: page()})
	oldest := func(want int64, why string) {
		t.Helper()
		_, report := said(t, file, 1)
		if got := report.Trimmed.Oldest; got == nil || got.Sub(zodbtest.TidTime(want)).Abs() > time.Millisecond {
			t.Errorf("%s: the oldest revision is of %v, not %v", why, got, zodbtest.TidTime(want))
		}
		if known := packtest.Get[int64](t, h.Conn, "SELECT oldest_tid FROM relpack.storage"); known != want {
			t.Errorf("%s: %d is known, not %d", why, known, want)
		}
	}
	first := packtest.Get[int64](t, h.Conn, "SELECT min(tid) FROM object_state")
	oldest(first, "packed")
	oldest(first, "packed again")
	older := daysAgo(12)
	if err := h.Restore(t.Context(), older, true, map[int64][]byte{7: page()}, nil); err != nil {
		t.Fatal(err)
	}
	packtest.Run(t, h.Conn, "UPDATE object_state SET state = $1 WHERE zoid = 1", page(7))
	oldest(older, "an older one was restored")
	second := store(t, h, daysAgo(8), map[int64][]byte{7: page()})
	store(t, h, daysAgo(8), map[int64][]byte{0: page(1), 1: page(7)})
	oldest(second, "the older ones went")
}
