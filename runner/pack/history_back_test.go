package pack_test

import (
	"testing"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
)

// Nobody reports an UPDATE of current_object. Whether an object was set back is asked when
// its old revisions are found, and again when they are to go.
func TestWhatIsSetBackWhileItsRevisionsAreTrimmedIsReadBeforeASweep(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	first := store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page(2), 2: page()})
	store(t, h, daysAgo(15), map[int64][]byte{1: page()})
	dryRun(t, file, 5)
	conn := packtest.Session(t, file)
	packtest.Run(t, conn, "SELECT relpack.try_pack_lock()")
	if !packtest.Get[bool](t, conn, "SELECT relpack.trim_settle()") {
		t.Fatal("not settled")
	}
	packtest.Run(t, conn, "SELECT relpack.trim_mark((SELECT horizon_tid FROM relpack.storage), 0, 1000)")
	if found := packtest.Get[int](t, conn, "SELECT cardinality(zoids) FROM relpack.trim_find((SELECT horizon_tid FROM relpack.storage), -1, 0, 100, 100)"); found != 1 {
		t.Fatalf("%d revisions were found", found)
	}
	packtest.Run(t, h.Conn, "UPDATE current_object SET tid = $1 WHERE zoid = 1", first)
	if gone := packtest.Get[int64](t, conn, "SELECT revisions FROM relpack.trim_batch((SELECT horizon_tid FROM relpack.storage), '{1}', ARRAY[$1::bigint])", first); gone != 0 {
		t.Fatalf("%d revisions went", gone)
	}
	packtest.Run(t, conn, "SELECT relpack.trim_cleared((SELECT horizon_tid FROM relpack.storage))")
	refusesToSweep(t, conn, sweepFiveDays, "captured changes are not applied")
	expectObjects(t, h, "swept", 0, 1, 2)
	packtest.Run(t, conn, "SELECT relpack.release_pack_lock()")
	packtest.Pack(t, file, trimDays(5))
	expectObjects(t, h, "packed", 0, 1, 2)
}
