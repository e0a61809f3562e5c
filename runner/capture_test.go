package runner

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// garden is a root with an attached pair, and old garbage in three levels.
var garden = links{0: {1}, 1: {2}, 2: nil, 10: {11}, 11: {12, 13}, 12: {10}, 13: nil}

// newGarden is a storage in which all that is known.
func newGarden(t *testing.T) (target.Target, *pgx.Conn) {
	t.Helper()
	target, conn := newStorage(t)
	commitAt(t, conn, 48*time.Hour, garden)
	dryRun(t, target)
	expectExact(t, conn)
	run(t, conn, impatient)
	return target, conn
}

func TestWritesOfEveryIsolationAreSeenBeforeAndAfterTheWatermark(t *testing.T) {
	t.Parallel()
	for name, level := range map[string]pgx.TxIsoLevel{
		"read committed": pgx.ReadCommitted, "repeatable read": pgx.RepeatableRead, "serializable": pgx.Serializable,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := newGarden(t)
			// Its snapshot is older than the next watermark.
			writer := sessionOn(t, target)
			tx, err := writer.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: level})
			if err != nil {
				t.Fatal(err)
			}
			get[int64](t, writer, "SELECT count(*) FROM object_state")
			commit(t, conn, links{30: nil, 0: {1, 30}})
			dryRun(t, target)
			watermark := get[int64](t, conn, "SELECT watermark FROM relpack.storage")
			// Restored rows, at and below the watermark, and above what was.
			for i, tid := range []int64{5, watermark, watermark - 1} {
				if _, err := tx.Exec(t.Context(), restoreRow, 40+i, tid, zodbtest.Record(zodbtest.Document, 10)); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := tx.Exec(t.Context(), restoreRow, 2, watermark, zodbtest.Record(zodbtest.Document, 40)); err != nil {
				t.Fatal(err)
			}
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			packStorage(t, target, everything)
			expectStored(t, conn, 0, 1, 2, 10, 11, 12, 13, 30, 40)
			expectExact(t, conn)
		})
	}
}

func TestAnOrdinaryCommitMakesNoEvent(t *testing.T) {
	t.Parallel()
	_, conn := newGarden(t)
	commit(t, conn, links{2: {10}, 50: nil})
	if n := get[int](t, conn, "SELECT count(*) FROM relpack.write_event"); n != 0 {
		t.Errorf("%d events", n)
	}
}

func TestARowRestoredTwiceIsReadAsItIsAtLast(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	restore(t, conn, 2, 5, zodbtest.Record(zodbtest.Document, 10))
	restore(t, conn, 2, 5, zodbtest.Record(zodbtest.Document, 13))
	dryRun(t, target)
	expectExact(t, conn)
	// The same tid again, with another state: the tid tells nothing.
	restore(t, conn, 2, 5, zodbtest.Record(zodbtest.Document, 11))
	packStorage(t, target, everything)
	expectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
	expectExact(t, conn)
}

func TestDeletionsFromAnotherSessionWhileAPackRunsAreFollowed(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	packStorage(t, target, before("delete", func() { run(t, conn, "DELETE FROM object_state WHERE zoid IN (1, 11)") }))
	dryRun(t, target)
	giveUpMissing(t, conn)
	dryRun(t, target)
	expectExact(t, conn)
	expectZoids(t, "unreachable", zoids(t, conn, "SELECT zoid FROM relpack.unreachable_object"), []int64{2})
}

func TestTheWatermarkDoesNotKeepWritersWaiting(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	// A writer in flight, which holds the commit lock for long.
	slow := sessionOn(t, target)
	tx, err := slow.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), restoreRow, 60, 5, zodbtest.Record(zodbtest.Document)); err != nil {
		t.Fatal(err)
	}
	// relpack tries for its lock again and again meanwhile.
	done := make(chan error, 1)
	dry := everything
	dry.DryRun = true
	go func() {
		_, err := pack.Run(t.Context(), target, dry, testLog(t))
		done <- err
	}()
	until(t, "relpack tries for the writers' lock", func() bool {
		return get[bool](t, conn, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
			AND application_name = 'relpack pack' AND query LIKE '%capture_watermark%')`)
	})
	for range 150 {
		run(t, conn, restoreRow, 61, 6, zodbtest.Record(zodbtest.Document))
	}
	select {
	case err := <-done:
		t.Fatalf("the pack did not wait: %v", err)
	default:
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	dryRun(t, target)
	expectExact(t, conn)
}

func TestTheWatermarkDoesNotOvertakeAWriterInFlight(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	// It makes no event, its tid being above the watermark as it is now.
	writer := sessionOn(t, target)
	tx, err := writer.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tid := zodbtest.TimeTid(time.Now())
	if _, err := tx.Exec(t.Context(), restoreRow, 2, tid, zodbtest.Record(zodbtest.Document, 10)); err != nil {
		t.Fatal(err)
	}
	// Another, with a higher tid, is faster.
	restore(t, conn, 0, tid+10, zodbtest.Record(zodbtest.Document, 1))
	if get[bool](t, conn, "SELECT relpack.capture_watermark()") {
		t.Error("the watermark was set while a write was in flight")
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	packStorage(t, target, everything)
	expectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
	expectExact(t, conn)
}

func TestCommittersGoOnWhileRelpackTriesForItsLock(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	slow := sessionOn(t, target)
	tx, err := slow.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), restoreRow, 60, 5, zodbtest.Record(zodbtest.Document)); err != nil {
		t.Fatal(err)
	}
	other := sessionOn(t, target)
	stop := make(chan struct{})
	tried := make(chan int, 1)
	go func() {
		n := 0
		defer func() { tried <- n }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			var got bool
			if err := other.QueryRow(t.Context(), "SELECT relpack.capture_watermark()").Scan(&got); err != nil || got {
				return
			}
			n++
		}
	}()
	waited := usualWait(func() { commit(t, conn, links{61: nil}) })
	close(stop)
	if n := <-tried; n < 3 {
		t.Errorf("relpack tried %d times", n)
	}
	// In the queue for the commit lock relpack holds it for 30 ms at most.
	if waited > 150*time.Millisecond {
		t.Errorf("a committer waits for %v", waited)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestAStorageThatIsEmptiedAndLoadedAgainIsReadAnew(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	old := get[int64](t, conn, "SELECT max(tid) FROM object_state")
	run(t, conn, "TRUNCATE object_state CASCADE")
	// The same oids with the same tid, and other references.
	if err := zodbtest.Commit(t.Context(), conn, old, links{0: {10}, 10: {11}, 11: nil, 1: {2}, 2: nil}.records()); err != nil {
		t.Fatal(err)
	}
	dryRun(t, target)
	expectExact(t, conn)
	packStorage(t, target, everything)
	expectStored(t, conn, 0, 10, 11)
}

func TestAStorageLoadedInPartsWithOlderTidsIsFollowed(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	run(t, conn, "TRUNCATE object_state CASCADE")
	restore(t, conn, 0, 50, zodbtest.Record(zodbtest.Document, 1))
	restore(t, conn, 1, 51, zodbtest.Record(zodbtest.Document, 10))
	restore(t, conn, 10, 52, zodbtest.Record(zodbtest.Document, 70))
	// A run that captures this and is lost before it has applied it.
	run(t, conn, "SELECT relpack.capture_watermark()")
	run(t, conn, "SELECT relpack.capture_list()")
	// The load goes on, above the new watermark and below the old one.
	restore(t, conn, 70, 60, zodbtest.Record(zodbtest.Document, 11))
	restore(t, conn, 11, 40, zodbtest.Record(zodbtest.Document))
	packStorage(t, target, everything)
	expectStored(t, conn, 0, 1, 10, 11, 70)
	expectExact(t, conn)
}

// What was committed between the capture and its reading is read with a tid
// that no capture has seen, and nothing reports that its state is rewritten
// under this tid before the next: that one has to read it again.
func TestWhatWasReadAheadOfACaptureIsReadAgain(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	run(t, conn, `
		ALTER FUNCTION relpack.capture_list() RENAME TO collect_at_once;
		CREATE FUNCTION relpack.capture_list() RETURNS bigint LANGUAGE plpgsql AS $$
		BEGIN
			PERFORM pg_advisory_xact_lock_shared(4711, 4712);
			RETURN relpack.collect_at_once();
		END $$;
		SELECT pg_advisory_lock(4711, 4712)`)
	commit(t, conn, links{1: {2}})
	packed := make(chan error, 1)
	go func() {
		o := everything
		o.DryRun = true
		_, err := pack.Run(t.Context(), target, o, testLog(t))
		packed <- err
	}()
	until(t, "the pack has captured", func() bool {
		return get[bool](t, conn, `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'advisory'
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`)
	})
	commit(t, conn, links{2: {60}, 60: nil})
	run(t, conn, "SELECT pg_advisory_unlock(4711, 4712)")
	if err := <-packed; err != nil {
		t.Fatal(err)
	}
	// Garbage is referred to, by an operator who mends a state.
	run(t, conn, "UPDATE object_state SET state = $1 WHERE zoid = 60", document(10))
	packStorage(t, target, everything)
	expectStored(t, conn, 0, 1, 2, 10, 11, 12, 13, 60)
	expectNothingDangles(t, conn)
}
