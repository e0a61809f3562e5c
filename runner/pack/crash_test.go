package pack_test

import (
	"testing"
	"time"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
)

// A tangle with all kinds of changes to come: containers 1 to 3 below the root,
// a chain, a cycle, and garbage.
func tangle() packtest.Links {
	return packtest.Links{
		0: {1, 2, 3},
		1: {10, 11}, 10: {100, 1}, 11: {101}, 100: {10}, 101: {102}, 102: {103}, 103: {101},
		2: {20, 21}, 20: {200, 2}, 21: {201}, 200: {21}, 201: {202}, 202: {203}, 203: nil,
		3: {30}, 30: {31, 3}, 31: {32}, 32: {30},
		900: {901}, 901: {900, 902}, 902: {903}, 903: {10},
	}
}

// stir changes what the last stir left: it cuts one half, attaches the other,
// moves, adds, deletes behind relpack's back and restores.
func stir(t *testing.T, target target.Target, round int64) {
	t.Helper()
	conn := packtest.Session(t, target)
	fresh := 1000 + 10*round
	if round%2 == 0 {
		packtest.Commit(t, conn, packtest.Links{0: {1, 3, fresh}, fresh: {fresh + 1, 901}, fresh + 1: {fresh, 21}})
		packtest.Restore(t, conn, 902, 77, zodbtest.Record(zodbtest.Document, 20, 903))
	} else {
		packtest.Commit(t, conn, packtest.Links{0: {1, 2, fresh}, fresh: {fresh + 1}, fresh + 1: {201}, 3: {30, 2}})
		packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid IN (203, 103)")
		packtest.Restore(t, conn, 203, 55+round, zodbtest.Record(zodbtest.Document, 30))
	}
	packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = $1", fresh-10)
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestACrashBetweenAnyTwoStatementsIsMadeGood(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.CommitAt(t, conn, time.Hour, tangle())
	locked := packtest.StatementsUntilLocked(t, target)
	packtest.ExpectExact(t, conn)
	o := packtest.Everything
	o.DryRun = true
	for n := locked; ; n++ {
		stir(t, target, int64(n))
		last := packtest.CrashAfter(t, target, o, n)
		if last == "" {
			t.Logf("all of a run's %d statements", n)
			break
		}
		packtest.DryRun(t, target)
		packtest.ExpectExact(t, conn)
		if t.Failed() {
			t.Fatalf("after a crash at statement %d, %s", n, last)
		}
	}
}

func TestAFirstBuildThatCrashesAnywhereIsMadeGood(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	padded := map[int64][]byte{}
	for zoid, refs := range tangle() {
		padded[zoid] = zodbtest.PaddedRecord(zodbtest.Document, 1500, refs...)
	}
	packtest.CommitRecords(t, conn, padded)
	o := packtest.Everything
	o.DryRun, o.Init, o.RangeBlocks = true, true, 4
	for n := packtest.StatementsUntilLocked(t, target); ; n += 4 {
		last := packtest.CrashAfter(t, target, o, n)
		if last == "" {
			break
		}
		stir(t, target, 2*int64(n)) // a graph with missing objects is not built anew
		packtest.DryRun(t, target)
		packtest.ExpectExact(t, conn)
		if t.Failed() {
			t.Fatalf("after a crash at statement %d, %s", n, last)
		}
	}
}

func TestASweepThatCrashesAnywhereIsMadeGood(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.CommitAt(t, conn, time.Hour, tangle())
	packtest.Pack(t, target, packtest.Everything)
	for n := packtest.StatementsUntilLocked(t, target); ; n += 2 {
		stir(t, target, 2*int64(n)+1)
		want := packtest.Without(packtest.Stored(t, conn), packtest.Unreachable(t, conn))
		last := packtest.CrashAfter(t, target, packtest.Everything, n)
		if lost := packtest.Without(want, packtest.Stored(t, conn)); len(lost) > 0 {
			t.Errorf("live objects are gone: %v", lost)
		}
		packtest.Pack(t, target, packtest.Everything)
		packtest.ExpectStored(t, conn, want...)
		packtest.ExpectExact(t, conn)
		if t.Failed() {
			t.Fatalf("after a crash at statement %d, %s", n, last)
		}
		if last == "" {
			break
		}
	}
}
