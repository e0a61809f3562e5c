package runner

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/pack"
	"relpack/runner/target"
)

// withGrace packs with so many days of grace.
func withGrace(t *testing.T, target target.Target, days float64) *pack.Report {
	t.Helper()
	o := everything
	o.Days = days
	return packStorage(t, target, o)
}

func TestGraceOfAFirstBuildIsTheObjectsOwnAge(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	commitAt(t, conn, 72*time.Hour, links{0: {1}, 1: nil, 10: nil, 11: {12}, 12: nil})
	commitAt(t, conn, 36*time.Hour, links{20: nil})
	commitAt(t, conn, 12*time.Hour, links{30: nil})
	commitAt(t, conn, time.Hour, links{1: nil})
	withGrace(t, target, 2)
	expectStored(t, conn, 0, 1, 20, 30)
	withGrace(t, target, 1)
	expectStored(t, conn, 0, 1, 30)
	withGrace(t, target, 0.6)
	expectStored(t, conn, 0, 1, 30)
	withGrace(t, target, 0.4)
	expectStored(t, conn, 0, 1)
}

func TestGraceOfLaterRunsBeginsWithTheCut(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	commitAt(t, conn, 240*time.Hour, links{0: {1, 2}, 1: nil, 2: {3}, 3: nil, 10: {11}, 11: nil})
	withGrace(t, target, 30)
	// Old objects, cut off within the day.
	commitAt(t, conn, 12*time.Hour, links{0: {1}})
	withGrace(t, target, 1)
	expectStored(t, conn, 0, 1, 2, 3)
	expectZoids(t, "unreachable", zoids(t, conn, "SELECT zoid FROM relpack.unreachable_object"), []int64{2, 3})
	// And cut off before it. What was found out then counts, not what was
	// found out by a later run.
	commitAt(t, conn, time.Minute, links{1: nil})
	withGrace(t, target, 0.4)
	expectStored(t, conn, 0, 1)
}

func TestYoungGarbageKeepsTheOldThatItReaches(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	commitAt(t, conn, 240*time.Hour, links{0: {1}, 1: nil, 10: {11}, 11: {12}, 12: {10}, 13: {10}, 14: nil})
	commitAt(t, conn, time.Hour, links{20: {21}, 21: {11}, 1: nil})
	withGrace(t, target, 1)
	// 13 only refers to them.
	expectStored(t, conn, 0, 1, 10, 11, 12, 20, 21)
	withGrace(t, target, 0.01)
	expectStored(t, conn, 0, 1)
}

func TestWhatIsAttachedAndCutAgainBeginsItsGraceAnew(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	commitAt(t, conn, 240*time.Hour, links{0: {1}, 1: nil, 10: {11}, 11: nil})
	withGrace(t, target, 30)
	commitAt(t, conn, 3*time.Hour, links{1: {10}})
	withGrace(t, target, 30)
	commitAt(t, conn, 2*time.Hour, links{1: nil})
	withGrace(t, target, 1)
	expectStored(t, conn, 0, 1, 10, 11)
	withGrace(t, target, 0.04)
	expectStored(t, conn, 0, 1)
}

func TestTheOldestOpenTransactionCapsThePackTime(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	reader := sessionOn(t, target)
	tx, err := reader.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		t.Fatal(err)
	}
	get[int](t, reader, "SELECT count(*) FROM object_state")
	commit(t, conn, links{0: {1}, 1: nil, 10: nil})
	commit(t, conn, links{1: nil})
	withGrace(t, target, 0)
	expectStored(t, conn, 0, 1, 10)
	// In psql, too.
	run(t, conn, "SELECT relpack.sweep(1000, now())")
	expectStored(t, conn, 0, 1, 10)
	// A negative number of days is not capped.
	withGrace(t, target, -1)
	expectStored(t, conn, 0, 1)
	commit(t, conn, links{1: nil, 10: nil})
	commit(t, conn, links{1: nil})
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	withGrace(t, target, 0)
	expectStored(t, conn, 0, 1)
}

func TestADeletionThatHasBegunIsFinishedWhateverTheGrace(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	// A cycle larger than a batch: in parts it is of no use to anybody.
	l := links{0: {1}, 1: nil}
	for zoid := int64(10); zoid < 60; zoid++ {
		l[zoid] = []int64{zoid + 1}
	}
	l[60] = []int64{10}
	commitAt(t, conn, 12*time.Hour, l)
	commitAt(t, conn, time.Hour, links{1: nil})
	dryRun(t, target)
	run(t, conn, "SELECT relpack.sweep(20, now())")
	if n := get[int](t, conn, "SELECT count(*) FROM object_state"); n != 33 {
		t.Errorf("%d objects after the first batch, want 33", n)
	}
	withGrace(t, target, 7)
	expectStored(t, conn, 0, 1)
}

// Where all garbage is within the grace there is nothing to choose, however much
// it is.
func TestGarbageWithinTheGraceIsNotWalked(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	commitAt(t, conn, 72*time.Hour, links{0: {1}, 1: {2}, 2: {3}, 3: nil})
	withGrace(t, target, 1)
	commit(t, conn, links{0: nil, 4: nil})
	withGrace(t, target, 1)
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
	expectStored(t, conn, 0, 1, 2, 3, 4)
}
