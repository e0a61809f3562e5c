package runner

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// openTransaction is an application's transaction that has its snapshot.
func openTransaction(t *testing.T, target target.Target) pgx.Tx {
	t.Helper()
	tx, err := sessionOn(t, target).BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
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
	withGrace(t, target, days)
	expectStored(t, conn, 0, 1, 2, 3)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	withGrace(t, target, days)
	expectStored(t, conn, 0, 1)
}

func TestAPackNamesTheOpenTransactionThatKeepsGarbage(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	commitAt(t, conn, 72*time.Hour, links{0: {1, 2}, 1: nil, 2: {3}, 3: nil})
	dryRun(t, target)
	tx := openTransaction(t, target)
	commit(t, conn, links{0: {1}})
	dryRun(t, target)
	o := everything
	o.Days = 0
	pid := fmt.Sprintf("pid %d, ", tx.Conn().PgConn().PID())
	report, err := pack.Run(t.Context(), target, o, testLog(t))
	if notes := strings.Join(report.Notes(), "\n"); err != nil || !strings.Contains(notes, "may still see stays until it ends ("+pid) {
		t.Errorf("%v, notes: %s", err, notes)
	}
	// What stays for its age alone stays for nobody.
	o.Days = 1
	if report, err := pack.Run(t.Context(), target, o, testLog(t)); err != nil || report.HeldBy != "" {
		t.Errorf("%v, held by %q", err, report.HeldBy)
	}
	expectStored(t, conn, 0, 1, 2, 3)
}

func TestAFirstBuildLeavesWhatAnOpenTransactionMaySeeAttached(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	commitAt(t, conn, 72*time.Hour, links{0: {1, 2}, 1: nil, 2: {3}, 3: nil})
	tx := openTransaction(t, target)
	// Nobody can tell when 2 was cut off; it was a moment ago.
	commit(t, conn, links{0: {1}})
	o := everything
	o.Days = 0
	var said bytes.Buffer
	if _, err := pack.Run(t.Context(), target, o, slog.New(slog.NewTextHandler(&said, nil))); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "may still use the garbage") {
		t.Errorf("relpack doesn't say why nothing goes: %s", &said)
	}
	expectStored(t, conn, 0, 1, 2, 3)
	withGrace(t, target, 1)
	expectStored(t, conn, 0, 1, 2, 3)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	// One that begins now doesn't see it.
	tx = openTransaction(t, target)
	withGrace(t, target, 1)
	expectStored(t, conn, 0, 1)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestACommitThatWasInFlightWhenATransactionBeganIsNewToIt(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	commitAt(t, conn, 72*time.Hour, links{0: {1, 2}, 1: nil, 2: {3}, 3: nil})
	withGrace(t, target, 0)
	// RelStorage has chosen the tid, and commits only after another
	// transaction has begun.
	writer, err := sessionOn(t, target).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	record := zodbtest.Record(zodbtest.Document, 1)
	if _, err := writer.Exec(t.Context(), restoreRow, 0, zodbtest.TimeTid(time.Now()), record); err != nil {
		t.Fatal(err)
	}
	tx := openTransaction(t, target)
	if err := writer.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	withGrace(t, target, 0)
	expectStored(t, conn, 0, 1, 2, 3)
	// In a later run and with another capture it is the same transaction.
	commit(t, conn, links{1: nil})
	withGrace(t, target, 0)
	expectStored(t, conn, 0, 1, 2, 3)
	run(t, conn, "SELECT relpack.sweep(1000, now())")
	expectStored(t, conn, 0, 1, 2, 3)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	withGrace(t, target, 0)
	expectStored(t, conn, 0, 1)
}

func TestAClockThatWasSetBackSparesNothingWhereNoTransactionIsOpen(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	commitAt(t, conn, 72*time.Hour, links{0: {1, 2}, 1: nil, 2: {3}, 3: nil})
	commitAt(t, conn, 48*time.Hour, links{0: {1}})
	o := everything
	o.DryRun = true
	packStorage(t, target, o)
	run(t, conn, "UPDATE relpack.capture SET read_until = now() + interval '1 hour'")
	tx := openTransaction(t, target)
	keptUntilItEnds(t, target, conn, tx, 1)
}

func TestAClockThatWasSetBackHidesNoOpenTransaction(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	commitAt(t, conn, 72*time.Hour, links{0: {1, 2}, 1: nil, 2: {3}, 3: nil})
	withGrace(t, target, 0)
	back, err := zodbtest.Mutated("capture_read_until", "clock_timestamp()", "clock_timestamp() - interval '1 hour'")
	if err != nil {
		t.Fatal(err)
	}
	run(t, conn, back)
	tx := openTransaction(t, target)
	// A commit has the tid after the last one's if that is ahead of the clock.
	commitAt(t, conn, time.Minute, links{0: {1}})
	keptUntilItEnds(t, target, conn, tx, 0)
}

func TestATransactionWhoseStartIsNotRecordedStopsAPackWithAGrace(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	commitAt(t, conn, 72*time.Hour, links{0: {1, 2}, 1: nil, 2: {3}, 3: nil})
	withGrace(t, target, 0)
	app := sessionOn(t, target)
	run(t, app, "SET track_activities = off")
	run(t, app, "BEGIN ISOLATION LEVEL REPEATABLE READ")
	get[int](t, app, "SELECT count(*) FROM object_state")
	commit(t, conn, links{0: {1}})
	o := everything
	o.Days = 0
	_, err := pack.Run(t.Context(), target, o, testLog(t))
	expectError(t, err, fault.ExitRefused, fmt.Sprintf("the transaction of pid %d", app.PgConn().PID()), "track_activities is off")
	expectStored(t, conn, 0, 1, 2, 3)
	run(t, app, "SET track_activities = on")
	get[int](t, app, "SELECT count(*) FROM object_state")
	_, err = pack.Run(t.Context(), target, o, testLog(t))
	expectError(t, err, fault.ExitRefused, fmt.Sprintf("the transaction of pid %d", app.PgConn().PID()), "track_activities is off")
	expectStored(t, conn, 0, 1, 2, 3)
	run(t, app, "ROLLBACK")
	withGrace(t, target, 0)
	expectStored(t, conn, 0, 1)
}
