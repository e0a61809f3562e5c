package pack_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// openTransaction is an application's transaction that has its snapshot.
func openTransaction(t *testing.T, target target.Target) pgx.Tx {
	t.Helper()
	tx, err := packtest.Session(t, target).BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT count(*) FROM object_state"); err != nil {
		t.Fatal(err)
	}
	return tx
}

// keptUntilItEnds packs with a grace of so many days: 2 and 3 must stay while the
// transaction is open, and go then.
func keptUntilItEnds(t *testing.T, target target.Target, conn *pgx.Conn, tx pgx.Tx, days float64) {
	t.Helper()
	packtest.PackWithGrace(t, target, days)
	packtest.ExpectStored(t, conn, 0, 1, 2, 3)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	packtest.PackWithGrace(t, target, days)
	packtest.ExpectStored(t, conn, 0, 1)
}

func TestAPackNamesTheOpenTransactionThatKeepsGarbage(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.CommitAt(t, conn, 72*time.Hour, packtest.Links{0: {1, 2}, 1: nil, 2: {3}, 3: nil})
	packtest.DryRun(t, target)
	tx := openTransaction(t, target)
	packtest.Commit(t, conn, packtest.Links{0: {1}})
	packtest.DryRun(t, target)
	o := packtest.Everything
	o.Days = 0
	pid := fmt.Sprintf("pid %d, ", tx.Conn().PgConn().PID())
	report, err := pack.Run(t.Context(), target, o, packtest.Log(t))
	if notes := strings.Join(report.Notes(), "\n"); err != nil || !strings.Contains(notes, "may still see stays until it ends ("+pid) {
		t.Errorf("%v, notes: %s", err, notes)
	}
	// What stays for its age alone stays for nobody.
	o.Days = 1
	if report, err := pack.Run(t.Context(), target, o, packtest.Log(t)); err != nil || report.HeldBy != "" {
		t.Errorf("%v, held by %q", err, report.HeldBy)
	}
	packtest.ExpectStored(t, conn, 0, 1, 2, 3)
}

func TestAFirstBuildLeavesWhatAnOpenTransactionMaySeeAttached(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.CommitAt(t, conn, 72*time.Hour, packtest.Links{0: {1, 2}, 1: nil, 2: {3}, 3: nil})
	tx := openTransaction(t, target)
	// Nobody can tell when 2 was cut off; it was a moment ago.
	packtest.Commit(t, conn, packtest.Links{0: {1}})
	o := packtest.Everything
	o.Days = 0
	var said bytes.Buffer
	if _, err := pack.Run(t.Context(), target, o, slog.New(slog.NewTextHandler(&said, nil))); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "may still use the garbage") {
		t.Errorf("relpack doesn't say why nothing goes: %s", &said)
	}
	packtest.ExpectStored(t, conn, 0, 1, 2, 3)
	packtest.PackWithGrace(t, target, 1)
	packtest.ExpectStored(t, conn, 0, 1, 2, 3)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	// One that begins now doesn't see it.
	tx = openTransaction(t, target)
	packtest.PackWithGrace(t, target, 1)
	packtest.ExpectStored(t, conn, 0, 1)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestACommitThatWasInFlightWhenATransactionBeganIsNewToIt(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.CommitAt(t, conn, 72*time.Hour, packtest.Links{0: {1, 2}, 1: nil, 2: {3}, 3: nil})
	packtest.PackWithGrace(t, target, 0)
	// RelStorage has chosen the tid, and commits only after another
	// transaction has begun.
	writer, err := packtest.Session(t, target).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	record := zodbtest.Record(zodbtest.Document, 1)
	if _, err := writer.Exec(t.Context(), packtest.RestoreRow, 0, zodbtest.TimeTid(time.Now()), record); err != nil {
		t.Fatal(err)
	}
	tx := openTransaction(t, target)
	if err := writer.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	packtest.PackWithGrace(t, target, 0)
	packtest.ExpectStored(t, conn, 0, 1, 2, 3)
	// In a later run and with another capture it is the same transaction.
	packtest.Commit(t, conn, packtest.Links{1: nil})
	packtest.PackWithGrace(t, target, 0)
	packtest.ExpectStored(t, conn, 0, 1, 2, 3)
	packtest.Run(t, conn, "SELECT relpack.sweep(1000, now())")
	packtest.ExpectStored(t, conn, 0, 1, 2, 3)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	packtest.PackWithGrace(t, target, 0)
	packtest.ExpectStored(t, conn, 0, 1)
}

func TestAClockThatWasSetBackSparesNothingWhereNoTransactionIsOpen(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.CommitAt(t, conn, 72*time.Hour, packtest.Links{0: {1, 2}, 1: nil, 2: {3}, 3: nil})
	packtest.CommitAt(t, conn, 48*time.Hour, packtest.Links{0: {1}})
	o := packtest.Everything
	o.DryRun = true
	packtest.Pack(t, target, o)
	packtest.Run(t, conn, "UPDATE relpack.capture SET read_until = now() + interval '1 hour'")
	tx := openTransaction(t, target)
	keptUntilItEnds(t, target, conn, tx, 1)
}

func TestAClockThatWasSetBackHidesNoOpenTransaction(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.CommitAt(t, conn, 72*time.Hour, packtest.Links{0: {1, 2}, 1: nil, 2: {3}, 3: nil})
	packtest.PackWithGrace(t, target, 0)
	back, err := zodbtest.Mutated("capture_read_until", "clock_timestamp()", "clock_timestamp() - interval '1 hour'")
	if err != nil {
		t.Fatal(err)
	}
	packtest.Run(t, conn, back)
	tx := openTransaction(t, target)
	// A commit has the tid after the last one's if that is ahead of the clock.
	packtest.CommitAt(t, conn, time.Minute, packtest.Links{0: {1}})
	keptUntilItEnds(t, target, conn, tx, 0)
}

func TestATransactionWhoseStartIsNotRecordedStopsAPackWithAGrace(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.CommitAt(t, conn, 72*time.Hour, packtest.Links{0: {1, 2}, 1: nil, 2: {3}, 3: nil})
	packtest.PackWithGrace(t, target, 0)
	app := packtest.Session(t, target)
	packtest.Run(t, app, "SET track_activities = off")
	packtest.Run(t, app, "BEGIN ISOLATION LEVEL REPEATABLE READ")
	packtest.Get[int](t, app, "SELECT count(*) FROM object_state")
	packtest.Commit(t, conn, packtest.Links{0: {1}})
	o := packtest.Everything
	o.Days = 0
	_, err := pack.Run(t.Context(), target, o, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, fmt.Sprintf("the transaction of pid %d", app.PgConn().PID()), "track_activities is off")
	packtest.ExpectStored(t, conn, 0, 1, 2, 3)
	packtest.Run(t, app, "SET track_activities = on")
	packtest.Get[int](t, app, "SELECT count(*) FROM object_state")
	_, err = pack.Run(t.Context(), target, o, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, fmt.Sprintf("the transaction of pid %d", app.PgConn().PID()), "track_activities is off")
	packtest.ExpectStored(t, conn, 0, 1, 2, 3)
	packtest.Run(t, app, "ROLLBACK")
	packtest.PackWithGrace(t, target, 0)
	packtest.ExpectStored(t, conn, 0, 1)
}

// The server shows a transaction the sessions that it saw at first.
func TestATransactionThatBeganSinceTheLastLookIsSeen(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Run(t, conn, "BEGIN")
	packtest.Run(t, conn, "SELECT count(*) FROM pg_stat_activity")
	other := packtest.Session(t, target)
	packtest.Run(t, other, "BEGIN")
	began := packtest.Get[time.Time](t, other, "SELECT now()")
	oldest := packtest.Get[*time.Time](t, conn, "SELECT relpack.grace_oldest_transaction()")
	if oldest == nil || !oldest.Equal(began) {
		t.Errorf("the oldest transaction began at %v, and is said to have at %v", began, oldest)
	}
	packtest.Run(t, conn, "ROLLBACK")
}

// A session that is idle catches up with what others altered, in a transaction that it
// says began with its last statement.
func TestAnIdleSessionThatCatchesUpHasNoTransactionOpen(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	elsewhere, _ := packtest.NewGarden(t)
	for range 20 {
		packtest.Run(t, packtest.Session(t, target), "SELECT 1")
	}
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	for i := range 2 {
		altering := packtest.Session(t, elsewhere)
		group.Go(func() {
			for ctx.Err() == nil {
				_, _ = altering.Exec(ctx, fmt.Sprintf("CREATE TABLE altered_%d (a int, b int, c int, d int); DROP TABLE altered_%d", i, i))
			}
		})
	}
	calls, taken := 0, 0
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); calls++ {
		if packtest.Get[bool](t, conn, "SELECT relpack.grace_oldest_transaction() IS NOT NULL") {
			taken++
		}
	}
	if t.Logf("in %d of %d calls a session that is idle is said to have a transaction open", taken, calls); taken > 1 {
		t.Fail()
	}
}
