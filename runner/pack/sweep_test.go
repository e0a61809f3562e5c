package pack_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
)

func TestAWriterOfAGarbageRowThatCameFirstIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	writer, err := zodbtest.BeginCommit(t.Context(), packtest.Session(t, target), zodbtest.V42)
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Store(t.Context(), packtest.Links{10: {2}, 1: {2, 10}}.Records()); err != nil {
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
	if got := packtest.Outcome(t, conn); got != "busy" {
		t.Errorf("outcome %s, want busy", got)
	}
	if err := writer.Commit(t.Context()); err != nil {
		t.Errorf("the writer's commit was lost: %v", err)
	}
	if got := packtest.Outcome(t, conn); got != "stale" {
		t.Errorf("outcome %s, want stale", got)
	}
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2, 10)
	packtest.ExpectExact(t, conn)
}

func TestAWriterThatComesUponRowsBeingDeletedCommits(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.SlowSweep(t, conn)
	gate := packtest.Session(t, target)
	packtest.Run(t, gate, "SELECT pg_advisory_lock(4711, 4711)")
	sweeper, swept := packtest.Sweeping(t, target)
	packtest.UntilWaiting(t, conn, sweeper.PgConn().PID())
	writer := packtest.Session(t, target)
	written := make(chan error, 1)
	go func() {
		_, err := zodbtest.CommitNow(t.Context(), writer, packtest.Links{10: {2}, 1: {2, 10}}.Records())
		written <- err
	}()
	packtest.UntilWaiting(t, conn, writer.PgConn().PID())
	packtest.Run(t, gate, "SELECT pg_advisory_unlock(4711, 4711)")
	if err := <-written; err != nil {
		t.Errorf("the writer's commit was lost: %v", err)
	}
	if got := <-swept; got != "busy" && got != "stale" {
		t.Errorf("outcome %s, want busy", got)
	}
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2, 10)
	packtest.ExpectExact(t, conn)
}

func TestAReferenceCommittedWhileRowsAreBeingDeletedSavesThem(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.SlowSweep(t, conn)
	gate := packtest.Session(t, target)
	packtest.Run(t, gate, "SELECT pg_advisory_lock(4711, 4711)")
	sweeper, swept := packtest.Sweeping(t, target)
	packtest.UntilWaiting(t, conn, sweeper.PgConn().PID())
	// The site is not held up by it: this commits, and waits for nobody.
	packtest.Commit(t, conn, packtest.Links{2: {10}})
	packtest.Run(t, gate, "SELECT pg_advisory_unlock(4711, 4711)")
	if got := <-swept; got != "stale" {
		t.Errorf("outcome %s, want stale", got)
	}
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
}

// Whoever locks the table, for an index or before a commit of old, goes first.
func TestASweepDoesNotWaitForTheTable(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Run(t, conn, "BEGIN; LOCK TABLE object_state IN SHARE MODE")
	_, swept := packtest.Sweeping(t, target)
	select {
	case got := <-swept:
		if got != "busy" {
			t.Errorf("outcome %s, want busy", got)
		}
	case <-time.After(20 * time.Second):
		t.Error("it waits")
	}
	packtest.Run(t, conn, "ROLLBACK")
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
}

// A megabyte takes half a second to look at byte by byte.
func TestALargeStateIsNotLookedAtByteByByte(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	// Restored: it would be looked at with the writers' lock held.
	packtest.Restore(t, conn, 2, 5, zodbtest.PaddedRecord(zodbtest.Document, 200_000))
	if got := packtest.Outcome(t, conn); got != "stale" {
		t.Errorf("outcome %s, want stale", got)
	}
	packtest.DryRun(t, target)
	packtest.CommitRecords(t, conn, map[int64][]byte{1: zodbtest.PaddedRecord(zodbtest.Document, 1_200_000, 2)})
	if got := packtest.Outcome(t, conn); got != "stale" {
		t.Errorf("outcome %s, want stale", got)
	}
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2)
}

func TestAClientThatStopsInTheMiddleOfASweepHoldsNobodyForLong(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	stopped := packtest.Session(t, target)
	packtest.Run(t, stopped, "BEGIN")
	if got := packtest.Outcome(t, stopped); got != "swept" {
		t.Fatalf("outcome %s, want swept", got)
	}
	packtest.Commit(t, conn, packtest.Links{1: {2}})
	if err := stopped.Ping(t.Context()); err == nil {
		t.Error("the session of the stopped client goes on")
	}
	// Its deletion was not committed, and is done again.
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2)
}

func TestALongStatementAfterASweepHoldsNobodyForLong(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	busy := packtest.Session(t, target)
	packtest.Run(t, busy, "BEGIN")
	if got := packtest.Outcome(t, busy); got != "swept" {
		t.Fatalf("outcome %s, want swept", got)
	}
	slept := make(chan error, 1)
	go func() {
		_, err := busy.Exec(t.Context(), "SELECT pg_sleep(60)")
		slept <- err
	}()
	packtest.Commit(t, conn, packtest.Links{1: {2}})
	// From 17 on the transaction's time is over as well as the statement's.
	if err := <-slept; !fault.IsState(err, "57014", "25P04") {
		t.Errorf("error %v, want that the time is over", err)
	}
}

func TestABusyTransactionAfterASweepHoldsNobodyForLong(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	if packtest.Get[int](t, conn, "SELECT current_setting('server_version_num')::int") < 170000 {
		t.Skip("transaction_timeout came with PostgreSQL 17")
	}
	busy := packtest.Session(t, target)
	packtest.Run(t, busy, "BEGIN")
	if got := packtest.Outcome(t, busy); got != "swept" {
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
	packtest.Commit(t, conn, packtest.Links{1: {2}})
	// On a machine that stalls, time is over for the statement or the pause as well.
	if err := <-ended; !fault.IsState(err, "25P04", "57014", "25P03") {
		t.Errorf("error %v, want that the transaction's time is over", err)
	}
	if stored := len(packtest.Stored(t, conn)); stored == 3 {
		t.Error("the deletion was committed")
	}
}

func TestAClientThatNeverReadsTheAnswerHoldsNobody(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	client := packtest.Session(t, target)
	hijacked, err := client.PgConn().Hijack()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hijacked.Conn.Close() })
	sendAll(t, hijacked.Conn, &pgproto3.Query{String: "SELECT relpack.sweep(1000, NULL)"})
	packtest.Until(t, "the sweep has committed", func() bool {
		return packtest.Get[int](t, conn, "SELECT count(*) FROM object_state") == 3
	})
	packtest.Commit(t, conn, packtest.Links{1: {2}})
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
	target, conn := packtest.NewGarden(t)
	sweep := func(sql string) error {
		_, err := packtest.Session(t, target).Exec(t.Context(), sql)
		return err
	}
	const call = "SELECT relpack.sweep(1000, NULL);"
	for _, level := range []string{"REPEATABLE READ", "SERIALIZABLE", "READ UNCOMMITTED"} {
		packtest.ExpectState(t, sweep("BEGIN ISOLATION LEVEL "+level+";"+call), fault.StateRefused)
	}
	packtest.ExpectState(t, sweep("BEGIN; UPDATE object_state SET tid = tid WHERE zoid = 1;"+call), fault.StateRefused)
	holder := packtest.Session(t, target)
	packtest.Run(t, holder, "SELECT relpack.try_pack_lock()")
	packtest.ExpectState(t, sweep(call), fault.StateLocked)
	packtest.ExpectState(t, sweep("SELECT relpack.doom(NULL)"), fault.StateLocked)
	packtest.ExpectState(t, sweep("SELECT relpack.reach()"), fault.StateLocked)
	packtest.Run(t, holder, "SELECT relpack.release_pack_lock()")
	packtest.Run(t, conn, "INSERT INTO relpack.suspect VALUES (2, 'climb')")
	packtest.ExpectState(t, sweep(call), fault.StateRefused)
	packtest.Run(t, conn, "UPDATE relpack.suspect SET stage = 'flow'")
	packtest.ExpectState(t, sweep("SELECT relpack.apply()"), fault.StateRefused)
	packtest.Spoil(t, conn, "DELETE FROM relpack.suspect; INSERT INTO relpack.pending VALUES (2)")
	packtest.ExpectState(t, sweep(call), fault.StateRefused)
	packtest.Spoil(t, conn, "DELETE FROM relpack.pending; UPDATE relpack.storage SET applied_tid = applied_tid - 1")
	packtest.ExpectState(t, sweep(call), fault.StateRefused)
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
}

func TestTwoPacksDoNotRunAtOnce(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Run(t, conn, "SELECT pg_advisory_lock(-2)")
	_, err := pack.Run(context.Background(), target, packtest.Everything, packtest.Log(t))
	if fault.ExitCode(err) != fault.ExitLocked {
		t.Errorf("error %v, want that another pack runs", err)
	}
	packtest.Run(t, conn, "SELECT pg_advisory_unlock(-2)")
	packtest.Pack(t, target, packtest.Everything)
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2)
}
