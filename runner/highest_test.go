package runner

import (
	"testing"
	"time"
)

func TestTheOnlyRowWithTheHighestTidStays(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	commitAt(t, conn, time.Hour, garden)
	tid := commit(t, conn, links{20: {10}})
	packStorage(t, target, everything)
	// And so does what it refers to.
	expectStored(t, conn, 0, 1, 2, 10, 11, 12, 13, 20)
	if newest := get[int64](t, conn, "SELECT max(tid) FROM object_state"); newest != tid {
		t.Errorf("the highest tid is %d, was %d", newest, tid)
	}
	commit(t, conn, links{0: {1}})
	packStorage(t, target, everything)
	expectStored(t, conn, 0, 1, 2)
}

func TestTheHighestTidStaysWhenSeveralUnreachableRowsBearIt(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	commitAt(t, conn, time.Hour, garden)
	tid := commit(t, conn, links{20: nil, 21: nil, 22: nil})
	packStorage(t, target, everything)
	if newest := get[int64](t, conn, "SELECT max(tid) FROM object_state"); newest != tid {
		t.Errorf("the highest tid is %d, was %d", newest, tid)
	}
	expectStored(t, conn, 0, 1, 2, 20)
	packStorage(t, target, everything)
	expectStored(t, conn, 0, 1, 2, 20)
}
