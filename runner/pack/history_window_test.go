package pack_test

import (
	"testing"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
)

// The event is captured later than the row is read, and nobody knows then when that
// ceased to refer to what it did.
func TestWhatIsCutOffBetweenTheListAndTheReadingHasItsGrace(t *testing.T) {
	t.Parallel()
	for _, phase := range []string{"trim", "apply"} {
		t.Run(phase, func(t *testing.T) {
			t.Parallel()
			file, h := newHistory(t, zodbtest.V42)
			store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page(2), 2: page()})
			packtest.Pack(t, file, trimDays(10))
			store(t, h, daysAgo(6), map[int64][]byte{1: page(2)})
			o := packtest.Before(phase, func() {
				packtest.Run(t, h.Conn, `UPDATE object_state SET state = $1::bytea, state_size = length($1::bytea)
					WHERE zoid = 1 AND tid = (SELECT tid FROM current_object WHERE zoid = 1)`, page())
			})
			o.Days = 5
			packtest.Pack(t, file, o)
			expectObjects(t, h, "within the grace", 0, 1, 2)
			packtest.Pack(t, file, trimDays(5))
			expectObjects(t, h, "within the grace, packed again", 0, 1, 2)
			packtest.ExpectSound(t, file)
			packtest.Pack(t, file, trimDays(-1))
			expectObjects(t, h, "without a grace", 0, 1)
		})
	}
}

// Nor is that an event.
func TestWhatIsSetForwardBetweenTheListAndTheReadingHasItsGrace(t *testing.T) {
	t.Parallel()
	for _, phase := range []string{"settle", "capture", "reach", "choose", "trim", "apply", "delete"} {
		t.Run(phase, func(t *testing.T) {
			t.Parallel()
			file, h := newHistory(t, zodbtest.V42)
			first := store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page(2), 2: page()})
			store(t, h, daysAgo(15), map[int64][]byte{1: page()})
			packtest.Run(t, h.Conn, "UPDATE current_object SET tid = $1 WHERE zoid = 1", first)
			packtest.Pack(t, file, trimDays(10))
			store(t, h, daysAgo(6), map[int64][]byte{0: page(1)})
			o := packtest.Before(phase, func() { packtest.Run(t, h.Conn, forward, 1) })
			o.Days = 5
			packtest.Pack(t, file, o)
			packtest.Pack(t, file, trimDays(5))
			expectObjects(t, h, "within the grace", 0, 1, 2)
			packtest.ExpectSound(t, file)
		})
	}
}

// What is NULL compares as nothing does.
func TestNothingIsTrimmedUpToNoTransaction(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page(2), 2: page()})
	packtest.Pack(t, file, trimDays(10))
	store(t, h, daysAgo(6), map[int64][]byte{1: page()})
	conn := packtest.Session(t, file)
	packtest.Run(t, conn, "SELECT relpack.try_pack_lock()")
	if !packtest.Get[bool](t, conn, "SELECT relpack.trim_settle() AND relpack.capture_watermark()") {
		t.Fatal("not settled")
	}
	packtest.Run(t, conn, "SELECT relpack.capture_list()")
	const cleared = "SELECT cleared_tid FROM relpack.storage"
	before := packtest.Get[int64](t, conn, cleared)
	for _, until := range []string{"NULL", "(SELECT max(tid) + 1 FROM transaction)"} {
		_, err := conn.Exec(t.Context(), "SELECT relpack.trimmed("+until+")")
		packtest.ExpectRefusal(t, err, "is later than the newest one")
	}
	if after := packtest.Get[int64](t, conn, cleared); after != before {
		t.Errorf("trimmed up to %d, and now to %d", before, after)
	}
}

// The triggers were disabled.
func TestTheOldestRevisionIsFoundAfterARestoreThatNobodyReported(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(9), map[int64][]byte{0: page(1), 1: page()})
	packtest.Pack(t, file, trimDays(1))
	older := daysAgo(12)
	packtest.SetTriggers(t, h.Conn, "DISABLE")
	if err := h.Restore(t.Context(), older, true, map[int64][]byte{7: page()}, nil); err != nil {
		t.Fatal(err)
	}
	packtest.SetTriggers(t, h.Conn, "ENABLE ALWAYS")
	if got := packtest.Get[int64](t, h.Conn, "SELECT relpack.oldest_kept()"); got != older {
		t.Errorf("%d is the oldest, not %d", got, older)
	}
}
