package pack_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
)

func TestOldGarbageThatIsAttachedAgainBringsAlongWhatItReaches(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	// The one new edge leads to 10; no edge to 11, 12 and 13 is new.
	packtest.Commit(t, conn, packtest.Links{2: {10}})
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
	packtest.ExpectExact(t, conn)
}

func TestGarbageThatNewGarbageRefersToComesAliveWithIt(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	// In two runs: first garbage refers to garbage, then it is attached.
	packtest.Commit(t, conn, packtest.Links{20: {11}, 21: {20}})
	packtest.DryRun(t, target)
	packtest.ExpectExact(t, conn)
	packtest.Commit(t, conn, packtest.Links{1: {2, 21}})
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13, 20, 21)
	packtest.ExpectExact(t, conn)
}

func TestGarbageAttachedBetweenTheChoiceAndTheSweepStays(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Pack(t, target, packtest.Before("delete", func() { packtest.Commit(t, conn, packtest.Links{2: {11}}) }))
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
	packtest.ExpectExact(t, conn)
}

// newBegun is a storage with old garbage, the deletion of which has begun:
// what is begun is finished, and asks nobody for its age.
func newBegun(t *testing.T) (target.Target, *pgx.Conn) {
	t.Helper()
	target, conn := packtest.NewStorage(t)
	l := packtest.Links{0: {1}, 1: nil, 3000: {3001}, 3001: {3002}, 3002: nil}
	for zoid := int64(10); zoid < 310; zoid++ {
		l[zoid] = nil
	}
	packtest.CommitAt(t, conn, 48*time.Hour, l)
	packtest.CommitAt(t, conn, time.Minute, packtest.Links{0: {1}})
	packtest.DryRun(t, target)
	if n := packtest.Get[int64](t, conn, "SELECT objects FROM relpack.sweep(100, now() - interval '1 day')"); n == 0 {
		t.Fatal("nothing was swept")
	}
	return target, conn
}

// graced packs with a day of grace, and acts before the first batch.
func graced(t *testing.T, target target.Target, act func()) {
	t.Helper()
	o := packtest.Before("delete", act)
	o.Days = 1
	packtest.Pack(t, target, o)
}

func TestGarbageAttachedWithAnOldTidBetweenTwoBatchesStays(t *testing.T) {
	t.Parallel()
	target, conn := newBegun(t)
	graced(t, target, func() { packtest.Restore(t, conn, 1, 5, zodbtest.Record(zodbtest.Document, 3000)) })
	packtest.ExpectStored(t, conn, 0, 1, 3000, 3001, 3002)
	packtest.ExpectExact(t, conn)
}

func TestGarbageWithinTheGraceKeepsWhatItIsMadeToReferToBetweenTwoBatches(t *testing.T) {
	t.Parallel()
	target, conn := newBegun(t)
	// The restored row is unreachable and was found so just now: it stays, and
	// what it refers to with it. A later commit finds both.
	graced(t, target, func() { packtest.Restore(t, conn, 5000, 5, zodbtest.Record(zodbtest.Document, 3000)) })
	packtest.Commit(t, conn, packtest.Links{1: {5000}})
	packtest.ExpectNothingDangles(t, conn)
	packtest.ExpectStored(t, conn, 0, 1, 3000, 3001, 3002, 5000)
}

func TestGarbageThatIsWrittenAnewBetweenTwoBatchesIsAskedForItsAgeAgain(t *testing.T) {
	t.Parallel()
	target, conn := newBegun(t)
	// Some application holds it and works on it.
	graced(t, target, func() { packtest.Commit(t, conn, packtest.Links{3000: {3001}, 1: nil}) })
	packtest.Commit(t, conn, packtest.Links{1: {3000}})
	packtest.ExpectNothingDangles(t, conn)
	packtest.ExpectStored(t, conn, 0, 1, 3000, 3001, 3002)
}
