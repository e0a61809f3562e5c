package pack_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
)

// newQuiet is a storage without a commit since three days, of which a pack knows
// everything. Below 1 hangs a subtree, below 20 a wide one.
func newQuiet(t *testing.T) (target.Target, *pgx.Conn) {
	t.Helper()
	target, conn := packtest.NewStorage(t)
	l := packtest.Links{0: {1, 20, 40}, 1: {2}, 2: {3}, 3: {2}, 20: nil, 40: nil}
	for zoid := int64(21); zoid < 40; zoid++ {
		l[20] = append(l[20], zoid)
		l[zoid] = []int64{20}
	}
	packtest.CommitAt(t, conn, 240*time.Hour, l)
	packtest.CommitAt(t, conn, 72*time.Hour, packtest.Links{40: nil})
	packtest.PackWithGrace(t, target, 1)
	return target, conn
}

// What no tid dates happened when relpack noticed, at the latest: long after
// the last commit, here.
func TestWhatLosesItsReferrerInPsqlHasItsGrace(t *testing.T) {
	t.Parallel()
	record := zodbtest.Record
	restored := zodbtest.TimeTid(time.Now().Add(-200 * time.Hour))
	for name, act := range map[string]func(target.Target, *pgx.Conn){
		"a row is deleted": func(_ target.Target, conn *pgx.Conn) {
			packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid IN (1, 20)")
		},
		"an older revision is restored": func(_ target.Target, conn *pgx.Conn) {
			packtest.Restore(t, conn, 1, restored, record(zodbtest.Document))
			packtest.Restore(t, conn, 20, restored, record(zodbtest.Document))
		},
		"an older revision is loaded behind relpack's back": func(_ target.Target, conn *pgx.Conn) {
			packtest.Run(t, conn, "ALTER TABLE object_state DISABLE TRIGGER ALL")
			packtest.Restore(t, conn, 1, restored, record(zodbtest.Document))
			packtest.Restore(t, conn, 20, restored, record(zodbtest.Document))
			packtest.Run(t, conn, "SELECT relpack.create_triggers()")
		},
		"the storage is emptied and loaded": func(_ target.Target, conn *pgx.Conn) {
			packtest.Run(t, conn, `CREATE TABLE dump AS SELECT * FROM object_state; TRUNCATE object_state CASCADE;
				INSERT INTO object_state SELECT * FROM dump WHERE zoid NOT IN (1, 20)`)
		},
		"and the pack that notices is interrupted": func(target target.Target, conn *pgx.Conn) {
			packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid IN (1, 20)")
			packtest.Run(t, conn, "SELECT relpack.capture_watermark(); SELECT relpack.capture_list()")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := newQuiet(t)
			act(target, conn)
			packtest.PackWithGrace(t, target, 1)
			packtest.GiveUpMissing(t, conn)
			packtest.PackWithGrace(t, target, 1)
			kept := append(zoidRange(21, 40), 0, 2, 3, 40)
			for _, zoid := range []int64{1, 20} {
				if packtest.Get[bool](t, conn, "SELECT EXISTS (SELECT FROM object_state WHERE zoid = $1)", zoid) {
					kept = append(kept, zoid)
				}
			}
			packtest.ExpectStored(t, conn, kept...)
			// Nor later, while the storage is as quiet as before.
			packtest.PackWithGrace(t, target, 1)
			packtest.ExpectStored(t, conn, kept...)
			packtest.ExpectExact(t, conn)
			// It is over after a day. Here the clock stays, and the graph is older.
			packtest.Run(t, conn, "UPDATE relpack.object SET detached_tid = relpack.time_to_tid(now() - interval '25 hours') WHERE parent IS NULL")
			packtest.PackWithGrace(t, target, 1)
			packtest.ExpectExact(t, conn)
			if n := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.unreachable_object"); n != 0 {
				t.Errorf("%d unreachable objects are left after the grace", n)
			}
		})
	}
}

// A row restored with an old tid before anything refers to it, as an operator
// does who mends a POSKeyError, is as young as its return.
func TestARestoredRowThatNothingRefersToYetHasItsGrace(t *testing.T) {
	t.Parallel()
	target, conn := newQuiet(t)
	packtest.Restore(t, conn, 50, 5, zodbtest.Record(zodbtest.Document, 51))
	packtest.Restore(t, conn, 51, 5, zodbtest.Record(zodbtest.Document))
	packtest.PackWithGrace(t, target, 1)
	packtest.Commit(t, conn, packtest.Links{40: {50}})
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectNothingDangles(t, conn)
	if found := packtest.Findings(t, conn); len(found) > 0 {
		t.Errorf("relpack.verify(): %q", found)
	}
}

// Up to now is up to now: what a DELETE cut off a moment ago is garbage.
func TestWithoutDaysWhatIsCutInPsqlGoesAtOnce(t *testing.T) {
	t.Parallel()
	target, conn := newQuiet(t)
	packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = 1")
	packtest.PackWithGrace(t, target, 0)
	packtest.GiveUpMissing(t, conn)
	packtest.PackWithGrace(t, target, 0)
	packtest.ExpectStored(t, conn, append(zoidRange(20, 41), 0)...)
}

func zoidRange(from, to int64) (zoids []int64) {
	for zoid := from; zoid < to; zoid++ {
		zoids = append(zoids, zoid)
	}
	return zoids
}

// newTorn is a storage with a ring of garbage larger than a batch, of which a
// batch has gone: 30 of 50, beyond a grace of a day.
func newTorn(t *testing.T) (target.Target, *pgx.Conn) {
	t.Helper()
	target, conn := packtest.NewStorage(t)
	l := packtest.Links{0: {1}, 1: nil}
	for zoid := int64(10); zoid < 60; zoid++ {
		l[zoid] = []int64{10 + (zoid+1-10)%50, 10 + (zoid+49-10)%50}
	}
	packtest.CommitAt(t, conn, 48*time.Hour, l)
	packtest.CommitAt(t, conn, time.Hour, packtest.Links{1: nil})
	packtest.DryRun(t, target)
	if n := packtest.Get[int](t, conn, "SELECT objects FROM relpack.sweep(30)"); n != 30 {
		t.Fatalf("%d objects were swept", n)
	}
	return target, conn
}

// A group that is larger than a batch goes in several transactions. Until it is
// used again nothing that can be reached refers to it, and the next run goes on
// with it whatever it is told of days.
func TestTheRestOfATornGroupGoesFirst(t *testing.T) {
	t.Parallel()
	target, conn := newTorn(t)
	packtest.ExpectNothingDangles(t, conn)
	packtest.PackWithGrace(t, target, 1000)
	packtest.ExpectStored(t, conn, 0, 1)
}

// Who takes up a part of it beyond the grace keeps what is left, and is told of
// what is not: neither more is deleted, nor is it hidden.
func TestTheRestOfATornGroupStaysIfItIsUsedAgain(t *testing.T) {
	t.Parallel()
	target, conn := newTorn(t)
	left := packtest.Stored(t, conn)
	packtest.Commit(t, conn, packtest.Links{1: {left[len(left)-1]}})
	packtest.PackWithGrace(t, target, 0)
	packtest.ExpectZoids(t, "stored", packtest.Stored(t, conn), left)
	packtest.ExpectExact(t, conn)
	found := packtest.Findings(t, conn)
	if len(found) != 1 || found[0][:7] != "damage:" {
		t.Errorf("relpack.verify(): %q", found)
	}
	if n := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.doomed"); n != 0 {
		t.Errorf("%d objects are doomed", n)
	}
}

// The event is captured later than the row is read.
func TestWhatLosesItsReferrerInPsqlWhileAPackReadsHasItsGrace(t *testing.T) {
	t.Parallel()
	target, conn := newQuiet(t)
	packtest.CommitAt(t, conn, 50*time.Hour, packtest.Links{1: {2}, 40: nil})
	o := packtest.Before("apply", func() { packtest.Run(t, conn, packtest.Rewrite, 1, packtest.Document()) })
	o.Days = 1
	packtest.Pack(t, target, o)
	packtest.ExpectStored(t, conn, append(zoidRange(20, 41), 0, 1, 2, 3)...)
	packtest.ExpectExact(t, conn)
}
