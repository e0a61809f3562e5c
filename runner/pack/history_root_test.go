package pack_test

import (
	"testing"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
)

// An accident that one row mends: with garbage collection all but the root would go, and
// without it the old revisions that could be restored, and the root itself.
func TestAHistoryWhoseRootHasNoStateIsNotPacked(t *testing.T) {
	t.Parallel()
	for _, gc := range []string{"pack-gc true", "pack-gc false"} {
		for _, packed := range []bool{false, true} {
			file, h := newStored(t, zodbtest.V42, gc)
			store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page(2), 2: page()})
			if packed {
				packtest.Pack(t, file, trimDays(30))
			}
			store(t, h, daysAgo(10), map[int64][]byte{0: nil})
			store(t, h, daysAgo(9), map[int64][]byte{1: page(2)})
			before := allRevisions(t, h.Conn).Keys()
			for _, dry := range []bool{true, false} {
				job := trimDays(0)
				job.DryRun = dry
				_, err := pack.Run(t.Context(), file, job, packtest.Log(t))
				packtest.ExpectError(t, err, fault.ExitRefused, "the root object (zoid 0) has no state", "Restore the state of object 0")
			}
			if left := len(allRevisions(t, h.Conn).Keys()); left != len(before) {
				t.Errorf("%s: %d of %d revisions are left", gc, left, len(before))
			}
		}
	}
}
