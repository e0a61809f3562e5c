package pack_test

import (
	"testing"
	"time"

	"relpack/runner/internal/packtest"
)

// Autovacuum locks a table out for a moment when it shortens its file, whatever
// the table is for. A pack that comes then waits, and does not fail.
func TestAScratchTableThatIsLockedForAMomentIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, fill := range map[string]int{"small": 1, "large": 20_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewStorage(t)
			packtest.Run(t, conn, "INSERT INTO relpack.examined_object (zoid, tid, class, size) SELECT n, n, 0, 0 FROM generate_series(1, $1::int) AS n", fill)
			other := packtest.Session(t, target)
			packtest.Run(t, other, "BEGIN; LOCK TABLE relpack.examined_object IN ACCESS EXCLUSIVE MODE")
			cleared := make(chan error, 1)
			go func() {
				_, err := conn.Exec(t.Context(), "SELECT relpack.scratch_clear('relpack.examined_object')")
				cleared <- err
			}()
			select {
			case err := <-cleared:
				t.Fatalf("not waited for: %v", err)
			case <-time.After(100 * time.Millisecond):
			}
			packtest.Run(t, other, "COMMIT")
			if err := <-cleared; err != nil {
				t.Error(err)
			}
			if n := packtest.Get[int](t, other, "SELECT count(*) FROM relpack.examined_object"); n != 0 {
				t.Errorf("%d rows are left", n)
			}
		})
	}
}

// Nearly all are empty nearly always, and a pack clears a dozen.
func TestAScratchTableThatHasNothingIsLeftAlone(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	other := packtest.Session(t, target)
	packtest.Run(t, conn, "TRUNCATE relpack.examined_object; SET lock_timeout = '100ms'")
	packtest.Run(t, other, "BEGIN; LOCK TABLE relpack.examined_object IN EXCLUSIVE MODE")
	packtest.Run(t, conn, "SELECT relpack.scratch_clear('relpack.examined_object')")
	packtest.Run(t, other, "COMMIT; INSERT INTO relpack.examined_object (zoid, tid, class, size) VALUES (1, 1, 0, 0)")
	packtest.Run(t, conn, "SELECT relpack.scratch_clear('relpack.examined_object')")
	if n := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.examined_object"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}
