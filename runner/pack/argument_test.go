package pack_test

import (
	"testing"
	"time"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
)

// A condition that is NULL is not true: no check may be passed by that.
func TestAnArgumentThatIsNullLoosensNoCheck(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(batch => NULL, pack_time => NULL)")
	packtest.ExpectState(t, err, "22023")
	packtest.Commit(t, conn, packtest.Links{2: {10}})
	if got := packtest.Get[string](t, conn, "SELECT outcome FROM relpack.sweep(pack_time => NULL, decoder => NULL)"); got != "stale" {
		t.Errorf("a sweep beside a commit: %s", got)
	}
	packtest.Run(t, conn, "BEGIN")
	packtest.Run(t, conn, "INSERT INTO relpack.undecoded DEFAULT VALUES")
	if packtest.Get[bool](t, conn, "SELECT relpack.sweep_decoded('{}', NULL)") {
		t.Error("nobody said how many states can't be decoded, and all can")
	}
	packtest.Run(t, conn, "ROLLBACK")
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
}

// A lock_timeout of 0 is none.
func TestWhoHasNoPatienceWaitsForNobody(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	busy := packtest.Session(t, target)
	packtest.Run(t, busy, "BEGIN")
	packtest.Run(t, busy, "SELECT pg_advisory_xact_lock(-1)")
	packtest.Run(t, conn, "SET statement_timeout = '5s'")
	for _, patience := range []time.Duration{0, -time.Second} {
		if packtest.Get[bool](t, conn, "SELECT relpack.line_up(make_interval(secs => $1))", patience.Seconds()) {
			t.Errorf("%v: the commit lock is another's", patience)
		}
	}
	packtest.Run(t, busy, "SELECT pg_advisory_xact_lock_shared(1919249520, 1)")
	if packtest.Get[bool](t, conn, "SELECT relpack.try_writers_lock(NULL, rows_locked => true)") {
		t.Error("the writers' lock is another's")
	}
	packtest.Run(t, busy, "ROLLBACK")
}

// relpack says of its own deletions that they need no event.
func TestTheWordOfASweepEndsWithIt(t *testing.T) {
	t.Parallel()
	_, conn := packtest.NewGarden(t)
	packtest.Run(t, conn, "SELECT relpack.try_pack_lock()")
	packtest.Run(t, conn, "SELECT relpack.doom(NULL)")
	packtest.Run(t, conn, "BEGIN")
	if got := packtest.Get[string](t, conn, "SELECT outcome || ' ' || objects FROM relpack.sweep(1, NULL)"); got != "swept 1" {
		t.Fatal(got)
	}
	packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = (SELECT min(zoid) FROM relpack.doomed)")
	packtest.Run(t, conn, "COMMIT")
	if n := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.write_event"); n != 1 {
		t.Errorf("%d events of what was deleted by hand after a sweep", n)
	}
	_, err := conn.Exec(t.Context(), "BEGIN; SELECT relpack.doom(NULL); SELECT relpack.doom_choose(9223372036854775807, true)")
	packtest.ExpectState(t, err, "RP002")
	packtest.Run(t, conn, "ROLLBACK")
}

// The zoids of RelStorage are not negative, and its transactions say whether they are
// packed. Neither is any other row left out for ever.
func TestAHistoryIsTrimmedWhateverItsZoidsAndMarks(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	packtest.Run(t, h.Conn, "ALTER TABLE transaction ALTER packed DROP NOT NULL, ALTER packed DROP DEFAULT")
	for _, days := range []float64{9, 8, 7} {
		store(t, h, daysAgo(days), map[int64][]byte{0: page(), -5: page()})
	}
	packtest.Run(t, h.Conn, "UPDATE transaction SET packed = NULL")
	packtest.Pack(t, file, trimDays(1))
	if n := packtest.Get[int](t, h.Conn, "SELECT count(*) FROM object_state WHERE zoid = 0"); n != 1 {
		t.Errorf("%d revisions of the root", n)
	}
}

// Some years fit into a bigint, and PostgreSQL knows many more.
func TestAMomentBeyondAllTransactionsHasTheHighestTid(t *testing.T) {
	t.Parallel()
	_, conn := packtest.NewStorage(t)
	for moment, want := range map[string]bool{"5907-12-31 23:59:59": false, "5908-01-01": true, "9999-12-31": true, "294276-12-31": true, "infinity": true} {
		if got := packtest.Get[bool](t, conn, "SELECT relpack.time_to_tid($1::text::timestamptz) = 9223372036854775807", moment); got != want {
			t.Errorf("%s: the highest: %v", moment, got)
		}
		if got := packtest.Get[bool](t, conn, "SELECT relpack.time_to_tid($1::text::timestamptz) > relpack.time_to_tid(now())", moment); !got {
			t.Errorf("%s is not later than now", moment)
		}
	}
}
