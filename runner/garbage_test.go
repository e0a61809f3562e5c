package runner

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
)

func TestOldGarbageThatIsAttachedAgainBringsAlongWhatItReaches(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	// The one new edge leads to 10; no edge to 11, 12 and 13 is new.
	commit(t, conn, links{2: {10}})
	packStorage(t, target, everything)
	expectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
	expectExact(t, conn)
}

func TestGarbageThatNewGarbageRefersToComesAliveWithIt(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	// In two runs: first garbage refers to garbage, then it is attached.
	commit(t, conn, links{20: {11}, 21: {20}})
	dryRun(t, target)
	expectExact(t, conn)
	commit(t, conn, links{1: {2, 21}})
	packStorage(t, target, everything)
	expectStored(t, conn, 0, 1, 2, 10, 11, 12, 13, 20, 21)
	expectExact(t, conn)
}

func TestGarbageAttachedBetweenTheChoiceAndTheSweepStays(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	packStorage(t, target, before("delete", func() { commit(t, conn, links{2: {11}}) }))
	expectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
	expectExact(t, conn)
}

// newBegun is a storage with old garbage, the deletion of which has begun:
// what is begun is finished, and asks nobody for its age.
func newBegun(t *testing.T) (target.Target, *pgx.Conn) {
	t.Helper()
	target, conn := newStorage(t)
	l := links{0: {1}, 1: nil, 3000: {3001}, 3001: {3002}, 3002: nil}
	for zoid := int64(10); zoid < 310; zoid++ {
		l[zoid] = nil
	}
	commitAt(t, conn, 48*time.Hour, l)
	commitAt(t, conn, time.Minute, links{0: {1}})
	dryRun(t, target)
	if n := get[int64](t, conn, "SELECT objects FROM relpack.sweep(100, now() - interval '1 day')"); n == 0 {
		t.Fatal("nothing was swept")
	}
	return target, conn
}

// graced packs with a day of grace, and acts before the first batch.
func graced(t *testing.T, target target.Target, act func()) {
	t.Helper()
	o := before("delete", act)
	o.Days = 1
	packStorage(t, target, o)
}

func TestGarbageAttachedWithAnOldTidBetweenTwoBatchesStays(t *testing.T) {
	t.Parallel()
	target, conn := newBegun(t)
	graced(t, target, func() { restore(t, conn, 1, 5, zodbtest.Record(zodbtest.Document, 3000)) })
	expectStored(t, conn, 0, 1, 3000, 3001, 3002)
	expectExact(t, conn)
}

func TestGarbageWithinTheGraceKeepsWhatItIsMadeToReferToBetweenTwoBatches(t *testing.T) {
	t.Parallel()
	target, conn := newBegun(t)
	// The restored row is unreachable and was found so just now: it stays, and
	// what it refers to with it. A later commit finds both.
	graced(t, target, func() { restore(t, conn, 5000, 5, zodbtest.Record(zodbtest.Document, 3000)) })
	commit(t, conn, links{1: {5000}})
	expectNothingDangles(t, conn)
	expectStored(t, conn, 0, 1, 3000, 3001, 3002, 5000)
}

func TestGarbageThatIsWrittenAnewBetweenTwoBatchesIsAskedForItsAgeAgain(t *testing.T) {
	t.Parallel()
	target, conn := newBegun(t)
	// Some application holds it and works on it.
	graced(t, target, func() { commit(t, conn, links{3000: {3001}, 1: nil}) })
	commit(t, conn, links{1: {3000}})
	expectNothingDangles(t, conn)
	expectStored(t, conn, 0, 1, 3000, 3001, 3002)
}
