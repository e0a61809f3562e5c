package pack_test

import (
	"testing"
	"time"

	"relpack/runner/internal/packtest"
)

func TestTheOnlyRowWithTheHighestTidStays(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.CommitAt(t, conn, time.Hour, packtest.Garden)
	tid := packtest.Commit(t, conn, packtest.Links{20: {10}})
	packtest.Pack(t, target, packtest.Everything)
	// And so does what it refers to.
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13, 20)
	if newest := packtest.Get[int64](t, conn, "SELECT max(tid) FROM object_state"); newest != tid {
		t.Errorf("the highest tid is %d, was %d", newest, tid)
	}
	packtest.Commit(t, conn, packtest.Links{0: {1}})
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2)
}

func TestTheHighestTidStaysWhenSeveralUnreachableRowsBearIt(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.CommitAt(t, conn, time.Hour, packtest.Garden)
	tid := packtest.Commit(t, conn, packtest.Links{20: nil, 21: nil, 22: nil})
	packtest.Pack(t, target, packtest.Everything)
	if newest := packtest.Get[int64](t, conn, "SELECT max(tid) FROM object_state"); newest != tid {
		t.Errorf("the highest tid is %d, was %d", newest, tid)
	}
	packtest.ExpectStored(t, conn, 0, 1, 2, 20)
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2, 20)
}
