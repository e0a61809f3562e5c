package graph_test

import (
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
)

func TestWritesOfEveryIsolationAreSeenBeforeAndAfterTheWatermark(t *testing.T) {
	t.Parallel()
	for name, level := range map[string]pgx.TxIsoLevel{
		"read committed": pgx.ReadCommitted, "repeatable read": pgx.RepeatableRead, "serializable": pgx.Serializable,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewGarden(t)
			// Its snapshot is older than the next watermark.
			writer := packtest.Session(t, target)
			tx, err := writer.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: level})
			if err != nil {
				t.Fatal(err)
			}
			packtest.Get[int64](t, writer, "SELECT count(*) FROM object_state")
			packtest.Commit(t, conn, packtest.Links{30: nil, 0: {1, 30}})
			packtest.DryRun(t, target)
			watermark := packtest.Get[int64](t, conn, "SELECT watermark FROM relpack.storage")
			// Restored rows, at and below the watermark, and above what was.
			for i, tid := range []int64{5, watermark, watermark - 1} {
				if _, err := tx.Exec(t.Context(), packtest.RestoreRow, 40+i, tid, zodbtest.Record(zodbtest.Document, 10)); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := tx.Exec(t.Context(), packtest.RestoreRow, 2, watermark, zodbtest.Record(zodbtest.Document, 40)); err != nil {
				t.Fatal(err)
			}
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			packtest.Pack(t, target, packtest.Everything)
			packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13, 30, 40)
			packtest.ExpectExact(t, conn)
		})
	}
}

func TestAnOrdinaryCommitMakesNoEvent(t *testing.T) {
	t.Parallel()
	_, conn := packtest.NewGarden(t)
	packtest.Commit(t, conn, packtest.Links{2: {10}, 50: nil})
	if n := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.write_event"); n != 0 {
		t.Errorf("%d events", n)
	}
}

func TestARowRestoredTwiceIsReadAsItIsAtLast(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Restore(t, conn, 2, 5, zodbtest.Record(zodbtest.Document, 10))
	packtest.Restore(t, conn, 2, 5, zodbtest.Record(zodbtest.Document, 13))
	packtest.DryRun(t, target)
	packtest.ExpectExact(t, conn)
	// The same tid again, with another state: the tid tells nothing.
	packtest.Restore(t, conn, 2, 5, zodbtest.Record(zodbtest.Document, 11))
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
	packtest.ExpectExact(t, conn)
}

func TestDeletionsFromAnotherSessionWhileAPackRunsAreFollowed(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Pack(t, target, packtest.Before("delete", func() { packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid IN (1, 11)") }))
	packtest.DryRun(t, target)
	packtest.GiveUpMissing(t, conn)
	packtest.DryRun(t, target)
	packtest.ExpectExact(t, conn)
	packtest.ExpectZoids(t, "unreachable", packtest.Zoids(t, conn, "SELECT zoid FROM relpack.unreachable_object"), []int64{2})
}

func TestTheWatermarkDoesNotKeepWritersWaiting(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	// A writer in flight, which holds the commit lock for long.
	slow := packtest.Session(t, target)
	tx, err := slow.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), packtest.RestoreRow, 60, 5, zodbtest.Record(zodbtest.Document)); err != nil {
		t.Fatal(err)
	}
	// relpack tries for its lock again and again meanwhile.
	done := make(chan error, 1)
	dry := packtest.Everything
	dry.DryRun = true
	go func() {
		_, err := pack.Run(t.Context(), target, dry, packtest.Log(t))
		done <- err
	}()
	packtest.Until(t, "relpack tries for the writers' lock", func() bool {
		return packtest.Get[bool](t, conn, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
			AND application_name = 'relpack pack' AND query LIKE '%capture_watermark%')`)
	})
	for range 150 {
		packtest.Run(t, conn, packtest.RestoreRow, 61, 6, zodbtest.Record(zodbtest.Document))
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
	packtest.DryRun(t, target)
	packtest.ExpectExact(t, conn)
}

func TestTheWatermarkDoesNotOvertakeAWriterInFlight(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	// It makes no event, its tid being above the watermark as it is now.
	writer := packtest.Session(t, target)
	tx, err := writer.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tid := zodbtest.TimeTid(time.Now())
	if _, err := tx.Exec(t.Context(), packtest.RestoreRow, 2, tid, zodbtest.Record(zodbtest.Document, 10)); err != nil {
		t.Fatal(err)
	}
	// Another, with a higher tid, is faster.
	packtest.Restore(t, conn, 0, tid+10, zodbtest.Record(zodbtest.Document, 1))
	if packtest.Get[bool](t, conn, "SELECT relpack.capture_watermark()") {
		t.Error("the watermark was set while a write was in flight")
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
	packtest.ExpectExact(t, conn)
}

func TestCommittersGoOnWhileRelpackTriesForItsLock(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	slow := packtest.Session(t, target)
	tx, err := slow.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), packtest.RestoreRow, 60, 5, zodbtest.Record(zodbtest.Document)); err != nil {
		t.Fatal(err)
	}
	other := packtest.Session(t, target)
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
	waited := usualWait(func() { packtest.Commit(t, conn, packtest.Links{61: nil}) })
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
	target, conn := packtest.NewGarden(t)
	old := packtest.Get[int64](t, conn, "SELECT max(tid) FROM object_state")
	packtest.Run(t, conn, "TRUNCATE object_state CASCADE")
	// The same oids with the same tid, and other references.
	if err := zodbtest.Commit(t.Context(), conn, old, packtest.Links{0: {10}, 10: {11}, 11: nil, 1: {2}, 2: nil}.Records()); err != nil {
		t.Fatal(err)
	}
	packtest.DryRun(t, target)
	packtest.ExpectExact(t, conn)
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 10, 11)
}

func TestAStorageLoadedInPartsWithOlderTidsIsFollowed(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Run(t, conn, "TRUNCATE object_state CASCADE")
	packtest.Restore(t, conn, 0, 50, zodbtest.Record(zodbtest.Document, 1))
	packtest.Restore(t, conn, 1, 51, zodbtest.Record(zodbtest.Document, 10))
	packtest.Restore(t, conn, 10, 52, zodbtest.Record(zodbtest.Document, 70))
	// A run that captures this and is lost before it has applied it.
	packtest.Run(t, conn, "SELECT relpack.capture_watermark()")
	packtest.Run(t, conn, "SELECT relpack.capture_list()")
	// The load goes on, above the new watermark and below the old one.
	packtest.Restore(t, conn, 70, 60, zodbtest.Record(zodbtest.Document, 11))
	packtest.Restore(t, conn, 11, 40, zodbtest.Record(zodbtest.Document))
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 10, 11, 70)
	packtest.ExpectExact(t, conn)
}

// What was committed between the capture and its reading is read with a tid
// that no capture has seen, and nothing reports that its state is rewritten
// under this tid before the next: that one has to read it again.
func TestWhatWasReadAheadOfACaptureIsReadAgain(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Run(t, conn, `
		ALTER FUNCTION relpack.capture_list() RENAME TO collect_at_once;
		CREATE FUNCTION relpack.capture_list() RETURNS bigint LANGUAGE plpgsql AS $$
		BEGIN
			PERFORM pg_advisory_xact_lock_shared(4711, 4712);
			RETURN relpack.collect_at_once();
		END $$;
		SELECT pg_advisory_lock(4711, 4712)`)
	packtest.Commit(t, conn, packtest.Links{1: {2}})
	packed := make(chan error, 1)
	go func() {
		o := packtest.Everything
		o.DryRun = true
		_, err := pack.Run(t.Context(), target, o, packtest.Log(t))
		packed <- err
	}()
	packtest.Until(t, "the pack has captured", func() bool {
		return packtest.Get[bool](t, conn, `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'advisory'
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`)
	})
	packtest.Commit(t, conn, packtest.Links{2: {60}, 60: nil})
	packtest.Run(t, conn, "SELECT pg_advisory_unlock(4711, 4712)")
	if err := <-packed; err != nil {
		t.Fatal(err)
	}
	// Garbage is referred to, by an operator who mends a state.
	packtest.Run(t, conn, "UPDATE object_state SET state = $1 WHERE zoid = 60", packtest.Document(10))
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13, 60)
	packtest.ExpectNothingDangles(t, conn)
}

// usualWait writes for some seconds and returns how long a write waits at most,
// usually: the median of the longest waits in each of several stretches of time.
// A machine that stalls spoils one or two of them.
func usualWait(write func()) time.Duration {
	const stretch = 300 * time.Millisecond // longer than relpack takes to try for its lock
	longest := make([]time.Duration, 9)
	for i := range longest {
		for begin := time.Now(); time.Since(begin) < stretch; {
			start := time.Now()
			write()
			longest[i] = max(longest[i], time.Since(start))
		}
	}
	slices.Sort(longest)
	return longest[len(longest)/2]
}
