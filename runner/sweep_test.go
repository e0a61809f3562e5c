package runner

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"relpack/runner/fault"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// outcome calls sweep as a DBA would.
func outcome(t testing.TB, conn *pgx.Conn) string {
	t.Helper()
	return get[string](t, conn, "SELECT outcome FROM relpack.sweep(1000, NULL)")
}

// sweeping calls sweep in a session of its own, and returns the outcome, or the
// error, when that is there.
func sweeping(t *testing.T, target target.Target) (sweeper *pgx.Conn, swept <-chan string) {
	t.Helper()
	sweeper = sessionOn(t, target)
	outcome := make(chan string, 1)
	go func() {
		var got string
		if err := sweeper.QueryRow(t.Context(), "SELECT outcome FROM relpack.sweep(1000, NULL)").Scan(&got); err != nil {
			got = err.Error()
		}
		outcome <- got
	}()
	return sweeper, outcome
}

// slowSweep makes every deletion wait for an advisory lock of the test's own
// when the rows are locked and gone, before the writers' lock is tried for.
func slowSweep(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	run(t, conn, `
		CREATE FUNCTION wait_a_while() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$
		BEGIN
			PERFORM pg_advisory_xact_lock_shared(4711, 4711);
			RETURN NULL;
		END $$;
		CREATE TRIGGER wait_a_while AFTER DELETE ON object_state FOR EACH STATEMENT EXECUTE FUNCTION wait_a_while()`)
}

func TestAWriterOfAGarbageRowThatCameFirstIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	writer, err := zodbtest.BeginCommit(t.Context(), sessionOn(t, target), zodbtest.V42)
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Store(t.Context(), links{10: {2}, 1: {2, 10}}.records()); err != nil {
		t.Fatal(err)
	}
	if err := writer.Vote(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := writer.LockCommits(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Move(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if got := outcome(t, conn); got != "busy" {
		t.Errorf("outcome %s, want busy", got)
	}
	if err := writer.Commit(t.Context()); err != nil {
		t.Errorf("the writer's commit was lost: %v", err)
	}
	if got := outcome(t, conn); got != "stale" {
		t.Errorf("outcome %s, want stale", got)
	}
	packStorage(t, target, everything)
	expectStored(t, conn, 0, 1, 2, 10)
	expectExact(t, conn)
}

func TestAWriterThatComesUponRowsBeingDeletedCommits(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	slowSweep(t, conn)
	gate := sessionOn(t, target)
	run(t, gate, "SELECT pg_advisory_lock(4711, 4711)")
	sweeper, swept := sweeping(t, target)
	waiting(t, conn, sweeper.PgConn().PID())
	writer := sessionOn(t, target)
	written := make(chan error, 1)
	go func() {
		_, err := zodbtest.CommitNow(t.Context(), writer, links{10: {2}, 1: {2, 10}}.records())
		written <- err
	}()
	waiting(t, conn, writer.PgConn().PID())
	run(t, gate, "SELECT pg_advisory_unlock(4711, 4711)")
	if err := <-written; err != nil {
		t.Errorf("the writer's commit was lost: %v", err)
	}
	if got := <-swept; got != "busy" && got != "stale" {
		t.Errorf("outcome %s, want busy", got)
	}
	packStorage(t, target, everything)
	expectStored(t, conn, 0, 1, 2, 10)
	expectExact(t, conn)
}

func TestAReferenceCommittedWhileRowsAreBeingDeletedSavesThem(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	slowSweep(t, conn)
	gate := sessionOn(t, target)
	run(t, gate, "SELECT pg_advisory_lock(4711, 4711)")
	sweeper, swept := sweeping(t, target)
	waiting(t, conn, sweeper.PgConn().PID())
	// The site is not held up by it: this commits, and waits for nobody.
	commit(t, conn, links{2: {10}})
	run(t, gate, "SELECT pg_advisory_unlock(4711, 4711)")
	if got := <-swept; got != "stale" {
		t.Errorf("outcome %s, want stale", got)
	}
	packStorage(t, target, everything)
	expectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
}

// Whoever locks the table, for an index or before a commit of old, goes first.
func TestASweepDoesNotWaitForTheTable(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	run(t, conn, "BEGIN; LOCK TABLE object_state IN SHARE MODE")
	_, swept := sweeping(t, target)
	select {
	case got := <-swept:
		if got != "busy" {
			t.Errorf("outcome %s, want busy", got)
		}
	case <-time.After(20 * time.Second):
		t.Error("it waits")
	}
	run(t, conn, "ROLLBACK")
	expectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
}

// A megabyte takes half a second to look at byte by byte.
func TestALargeStateIsNotLookedAtByteByByte(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	// Restored: it would be looked at with the writers' lock held.
	restore(t, conn, 2, 5, zodbtest.PaddedRecord(zodbtest.Document, 200_000))
	if got := outcome(t, conn); got != "stale" {
		t.Errorf("outcome %s, want stale", got)
	}
	dryRun(t, target)
	commitRecords(t, conn, map[int64][]byte{1: zodbtest.PaddedRecord(zodbtest.Document, 1_200_000, 2)})
	if got := outcome(t, conn); got != "stale" {
		t.Errorf("outcome %s, want stale", got)
	}
	packStorage(t, target, everything)
	expectStored(t, conn, 0, 1, 2)
}

func TestAClientThatStopsInTheMiddleOfASweepHoldsNobodyForLong(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	stopped := sessionOn(t, target)
	run(t, stopped, "BEGIN")
	if got := outcome(t, stopped); got != "swept" {
		t.Fatalf("outcome %s, want swept", got)
	}
	commit(t, conn, links{1: {2}})
	if err := stopped.Ping(t.Context()); err == nil {
		t.Error("the session of the stopped client goes on")
	}
	// Its deletion was not committed, and is done again.
	packStorage(t, target, everything)
	expectStored(t, conn, 0, 1, 2)
}

func TestALongStatementAfterASweepHoldsNobodyForLong(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	busy := sessionOn(t, target)
	run(t, busy, "BEGIN")
	if got := outcome(t, busy); got != "swept" {
		t.Fatalf("outcome %s, want swept", got)
	}
	slept := make(chan error, 1)
	go func() {
		_, err := busy.Exec(t.Context(), "SELECT pg_sleep(60)")
		slept <- err
	}()
	commit(t, conn, links{1: {2}})
	// From 17 on the transaction's time is over as well as the statement's.
	if err := <-slept; !fault.IsState(err, "57014", "25P04") {
		t.Errorf("error %v, want that the time is over", err)
	}
}

func TestABusyTransactionAfterASweepHoldsNobodyForLong(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	if get[int](t, conn, "SELECT current_setting('server_version_num')::int") < 170000 {
		t.Skip("transaction_timeout came with PostgreSQL 17")
	}
	busy := sessionOn(t, target)
	run(t, busy, "BEGIN")
	if got := outcome(t, busy); got != "swept" {
		t.Fatalf("outcome %s, want swept", got)
	}
	// Neither a long statement nor a long pause.
	ended := make(chan error, 1)
	go func() {
		var err error
		for start := time.Now(); err == nil && time.Since(start) < 30*time.Second; {
			_, err = busy.Exec(t.Context(), "SELECT pg_sleep(0.1)")
		}
		ended <- err
	}()
	commit(t, conn, links{1: {2}})
	// On a machine that stalls, time is over for the statement or the pause as well.
	if err := <-ended; !fault.IsState(err, "25P04", "57014", "25P03") {
		t.Errorf("error %v, want that the transaction's time is over", err)
	}
	if stored := len(stored(t, conn)); stored == 3 {
		t.Error("the deletion was committed")
	}
}

func TestAClientThatNeverReadsTheAnswerHoldsNobody(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	client := sessionOn(t, target)
	hijacked, err := client.PgConn().Hijack()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hijacked.Conn.Close() })
	sendAll(t, hijacked.Conn, &pgproto3.Query{String: "SELECT relpack.sweep(1000, NULL)"})
	until(t, "the sweep has committed", func() bool {
		return get[int](t, conn, "SELECT count(*) FROM object_state") == 3
	})
	commit(t, conn, links{1: {2}})
}

func sendAll(t testing.TB, conn net.Conn, messages ...pgproto3.FrontendMessage) {
	t.Helper()
	var data []byte
	for _, m := range messages {
		var err error
		if data, err = m.Encode(data); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Write(data); err != nil {
		t.Fatal(err)
	}
}

func TestASweepRefusesWhatItCannotVouchFor(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	sweep := func(sql string) error {
		_, err := sessionOn(t, target).Exec(t.Context(), sql)
		return err
	}
	const call = "SELECT relpack.sweep(1000, NULL);"
	for _, level := range []string{"REPEATABLE READ", "SERIALIZABLE", "READ UNCOMMITTED"} {
		expectState(t, sweep("BEGIN ISOLATION LEVEL "+level+";"+call), fault.StateRefused)
	}
	expectState(t, sweep("BEGIN; UPDATE object_state SET tid = tid WHERE zoid = 1;"+call), fault.StateRefused)
	holder := sessionOn(t, target)
	run(t, holder, "SELECT relpack.try_pack_lock()")
	expectState(t, sweep(call), fault.StateLocked)
	expectState(t, sweep("SELECT relpack.doom(NULL)"), fault.StateLocked)
	expectState(t, sweep("SELECT relpack.reach()"), fault.StateLocked)
	run(t, holder, "SELECT relpack.release_pack_lock()")
	run(t, conn, "INSERT INTO relpack.suspect VALUES (2, 'climb')")
	expectState(t, sweep(call), fault.StateRefused)
	run(t, conn, "UPDATE relpack.suspect SET stage = 'flow'")
	expectState(t, sweep("SELECT relpack.apply()"), fault.StateRefused)
	spoil(t, conn, "DELETE FROM relpack.suspect; INSERT INTO relpack.pending VALUES (2)")
	expectState(t, sweep(call), fault.StateRefused)
	spoil(t, conn, "DELETE FROM relpack.pending; UPDATE relpack.storage SET applied_tid = applied_tid - 1")
	expectState(t, sweep(call), fault.StateRefused)
	expectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
}

func TestTwoPacksDoNotRunAtOnce(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	run(t, conn, "SELECT pg_advisory_lock(-2)")
	_, err := pack.Run(context.Background(), target, everything, testLog(t))
	if fault.ExitCode(err) != fault.ExitLocked {
		t.Errorf("error %v, want that another pack runs", err)
	}
	run(t, conn, "SELECT pg_advisory_unlock(-2)")
	packStorage(t, target, everything)
	packStorage(t, target, everything)
	expectStored(t, conn, 0, 1, 2)
}
