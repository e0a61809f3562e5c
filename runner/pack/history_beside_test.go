package pack_test

import (
	"testing"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
)

// Whatever is committed while changes are read, is read with them.
func TestACommitBesideAPackOfAHistoryIsNoRestore(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(20), map[int64][]byte{0: page(1, 2), 1: page(), 2: page(), 3: page()})
	packtest.Pack(t, file, trimDays(5))
	expectObjects(t, h, "packed", 0, 1, 2)
	store(t, h, daysAgo(1), map[int64][]byte{1: page(), 4: page()})
	o := trimDays(0)
	commits, trims := 0, 0
	o.Progress = &packtest.Hooks{OnPhase: func(name string) {
		switch name {
		case "apply":
			commits++
			root := page(1, 2)
			if commits > 1 {
				root = page(1) // cuts off
			}
			store(t, h, 0, map[int64][]byte{0: root, 1: page()})
		case "trim":
			trims++
		}
	}}
	packtest.Pack(t, file, o)
	if commits < 2 || trims != 1 {
		t.Errorf("%d commits beside changes that are read, %d trims", commits, trims)
	}
	if noticed := packtest.Get[int64](t, h.Conn, "SELECT noticed_tid FROM relpack.storage"); noticed != 0 {
		t.Errorf("what a commit cut off has a grace from %d on", noticed)
	}
	packtest.Pack(t, file, packtest.Everything)
	expectObjects(t, h, "later", 0, 1)
}

// An undo has RelStorage's pack lock for a moment. Whoever has it longer is a pack.
func TestAPackOfAHistoryWaitsForAnUndo(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(9), map[int64][]byte{0: page(), 1: page()})
	packtest.Run(t, h.Conn, "SELECT pg_advisory_lock(-2)")
	_, err := pack.Run(t.Context(), file, trimDays(1), packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitLocked, "another pack, or an undo, is running: pid")
	ended := make(chan error)
	go func() {
		_, err := h.Conn.Exec(t.Context(), "SELECT pg_sleep(0.3), pg_advisory_unlock(-2)")
		ended <- err
	}()
	packtest.Pack(t, file, trimDays(1))
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	expectObjects(t, h, "packed", 0)
}
