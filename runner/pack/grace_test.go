package pack_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/packtest"
)

func TestGraceOfAFirstBuildIsTheObjectsOwnAge(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.CommitAt(t, conn, 72*time.Hour, packtest.Links{0: {1}, 1: nil, 10: nil, 11: {12}, 12: nil})
	packtest.CommitAt(t, conn, 36*time.Hour, packtest.Links{20: nil})
	packtest.CommitAt(t, conn, 12*time.Hour, packtest.Links{30: nil})
	packtest.CommitAt(t, conn, time.Hour, packtest.Links{1: nil})
	packtest.PackWithGrace(t, target, 2)
	packtest.ExpectStored(t, conn, 0, 1, 20, 30)
	packtest.PackWithGrace(t, target, 1)
	packtest.ExpectStored(t, conn, 0, 1, 30)
	packtest.PackWithGrace(t, target, 0.6)
	packtest.ExpectStored(t, conn, 0, 1, 30)
	packtest.PackWithGrace(t, target, 0.4)
	packtest.ExpectStored(t, conn, 0, 1)
}

func TestGraceOfLaterRunsBeginsWithTheCut(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.CommitAt(t, conn, 240*time.Hour, packtest.Links{0: {1, 2}, 1: nil, 2: {3}, 3: nil, 10: {11}, 11: nil})
	packtest.PackWithGrace(t, target, 30)
	// Old objects, cut off within the day.
	packtest.CommitAt(t, conn, 12*time.Hour, packtest.Links{0: {1}})
	packtest.PackWithGrace(t, target, 1)
	packtest.ExpectStored(t, conn, 0, 1, 2, 3)
	packtest.ExpectZoids(t, "unreachable", packtest.Zoids(t, conn, "SELECT zoid FROM relpack.unreachable_object"), []int64{2, 3})
	// And cut off before it. What was found out then counts, not what was
	// found out by a later run.
	packtest.CommitAt(t, conn, time.Minute, packtest.Links{1: nil})
	packtest.PackWithGrace(t, target, 0.4)
	packtest.ExpectStored(t, conn, 0, 1)
}

func TestYoungGarbageKeepsTheOldThatItReaches(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.CommitAt(t, conn, 240*time.Hour, packtest.Links{0: {1}, 1: nil, 10: {11}, 11: {12}, 12: {10}, 13: {10}, 14: nil})
	packtest.CommitAt(t, conn, time.Hour, packtest.Links{20: {21}, 21: {11}, 1: nil})
	packtest.PackWithGrace(t, target, 1)
	// 13 only refers to them.
	packtest.ExpectStored(t, conn, 0, 1, 10, 11, 12, 20, 21)
	packtest.PackWithGrace(t, target, 0.01)
	packtest.ExpectStored(t, conn, 0, 1)
}

func TestWhatIsAttachedAndCutAgainBeginsItsGraceAnew(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.CommitAt(t, conn, 240*time.Hour, packtest.Links{0: {1}, 1: nil, 10: {11}, 11: nil})
	packtest.PackWithGrace(t, target, 30)
	packtest.CommitAt(t, conn, 3*time.Hour, packtest.Links{1: {10}})
	packtest.PackWithGrace(t, target, 30)
	packtest.CommitAt(t, conn, 2*time.Hour, packtest.Links{1: nil})
	packtest.PackWithGrace(t, target, 1)
	packtest.ExpectStored(t, conn, 0, 1, 10, 11)
	packtest.PackWithGrace(t, target, 0.04)
	packtest.ExpectStored(t, conn, 0, 1)
}

func TestTheOldestOpenTransactionCapsThePackTime(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	reader := packtest.Session(t, target)
	tx, err := reader.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		t.Fatal(err)
	}
	packtest.Get[int](t, reader, "SELECT count(*) FROM object_state")
	packtest.Commit(t, conn, packtest.Links{0: {1}, 1: nil, 10: nil})
	packtest.Commit(t, conn, packtest.Links{1: nil})
	packtest.PackWithGrace(t, target, 0)
	packtest.ExpectStored(t, conn, 0, 1, 10)
	// In psql, too.
	packtest.Run(t, conn, "SELECT relpack.sweep(1000, now())")
	packtest.ExpectStored(t, conn, 0, 1, 10)
	// A negative number of days is not capped.
	packtest.PackWithGrace(t, target, -1)
	packtest.ExpectStored(t, conn, 0, 1)
	packtest.Commit(t, conn, packtest.Links{1: nil, 10: nil})
	packtest.Commit(t, conn, packtest.Links{1: nil})
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	packtest.PackWithGrace(t, target, 0)
	packtest.ExpectStored(t, conn, 0, 1)
}

func TestADeletionThatHasBegunIsFinishedWhateverTheGrace(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	// A cycle larger than a batch: in parts it is of no use to anybody.
	l := packtest.Links{0: {1}, 1: nil}
	for zoid := int64(10); zoid < 60; zoid++ {
		l[zoid] = []int64{zoid + 1}
	}
	l[60] = []int64{10}
	packtest.CommitAt(t, conn, 12*time.Hour, l)
	packtest.CommitAt(t, conn, time.Hour, packtest.Links{1: nil})
	packtest.DryRun(t, target)
	packtest.Run(t, conn, "SELECT relpack.sweep(20, now())")
	if n := packtest.Get[int](t, conn, "SELECT count(*) FROM object_state"); n != 33 {
		t.Errorf("%d objects after the first batch, want 33", n)
	}
	packtest.PackWithGrace(t, target, 7)
	packtest.ExpectStored(t, conn, 0, 1)
}

// Where all garbage is within the grace there is nothing to choose, however much
// it is.
func TestGarbageWithinTheGraceIsNotWalked(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.CommitAt(t, conn, 72*time.Hour, packtest.Links{0: {1}, 1: {2}, 2: {3}, 3: nil})
	packtest.PackWithGrace(t, target, 1)
	packtest.Commit(t, conn, packtest.Links{0: nil, 4: nil})
	packtest.PackWithGrace(t, target, 1)
	for days, spared := range map[int]int64{1: 0, 2: 0} {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var walked int64
		if _, err := tx.Exec(t.Context(), "SELECT relpack.try_pack_lock(), relpack.doom(now() - make_interval(days => $1))", days); err != nil {
			t.Fatal(err)
		}
		if err := tx.QueryRow(t.Context(), "SELECT pg_stat_get_xact_tuples_inserted('relpack.spared'::regclass)").Scan(&walked); err != nil {
			t.Fatal(err)
		}
		if walked != spared {
			t.Errorf("%d objects were looked at with %d days", walked, days)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	packtest.ExpectStored(t, conn, 0, 1, 2, 3, 4)
}
