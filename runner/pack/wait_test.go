package pack_test

import (
	"context"
	"testing"
	"time"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
)

// A committer that came upon such a row began to wait before relpack did: its
// deadlock timer is the first to end, and it would be the victim.
func TestACommitThatWaitsForARowIsNoDeadlocksVictim(t *testing.T) {
	t.Parallel()
	// When relpack would begin to wait depends on how long it tries before.
	for _, timeout := range []string{"100ms", "150ms", "300ms"} {
		t.Run(timeout, func(t *testing.T) {
			t.Parallel()
			waitForARow(t, timeout)
		})
	}
}

func waitForARow(t *testing.T, timeout string) {
	t.Helper()
	target, conn := packtest.NewGarden(t)
	packtest.SlowSweep(t, conn)
	gate := packtest.Session(t, target)
	packtest.Run(t, gate, "SELECT pg_advisory_lock(4711, 4711)")
	sweeper, swept := packtest.Sweeping(t, target)
	packtest.UntilWaiting(t, conn, sweeper.PgConn().PID())
	session := packtest.Session(t, target)
	packtest.Run(t, session, "SET deadlock_timeout = '"+timeout+"'")
	writer, err := zodbtest.BeginCommit(t.Context(), session, zodbtest.V42)
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
	moved := make(chan error, 1)
	go func() {
		_, err := writer.Move(t.Context(), 0)
		moved <- err
	}()
	packtest.UntilWaiting(t, conn, session.PgConn().PID())
	packtest.Run(t, gate, "SELECT pg_advisory_unlock(4711, 4711)")
	start := time.Now()
	if err := <-moved; err != nil {
		t.Errorf("the writer's commit was lost: %v", err)
	}
	t.Logf("it waited for %v", time.Since(start))
	if err := writer.Commit(t.Context()); err != nil {
		t.Errorf("the writer's commit was lost: %v", err)
	}
	if got := <-swept; got != "busy" {
		t.Errorf("outcome %s, want busy", got)
	}
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2, 10)
}

func TestASweepThatLinesUpForTheCommitLockHasNoRowsLocked(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	committer := packtest.Session(t, target)
	packtest.Run(t, committer, "BEGIN; SELECT pg_advisory_xact_lock(-1); UPDATE object_state SET state = state WHERE zoid = 2")
	const linedUp = `SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted AND locktype = 'advisory' AND objsubid = 1)`
	seen := 0
	packtest.Until(t, "it was seen ten times in line", func() bool {
		sweeper, swept := packtest.Sweeping(t, target)
		pid := sweeper.PgConn().PID()
		for len(swept) == 0 {
			if !packtest.Get[bool](t, conn, linedUp, pid) {
				continue
			}
			_, err := conn.Exec(t.Context(), "SELECT FROM object_state WHERE zoid >= 10 FOR UPDATE NOWAIT")
			if packtest.Get[bool](t, conn, linedUp, pid) {
				seen++
				if err != nil {
					t.Errorf("a row of the batch is locked: %v", err)
				}
			}
		}
		if got := <-swept; got != "busy" {
			t.Errorf("outcome %s, want busy", got)
		}
		return seen >= 10
	})
	packtest.Run(t, committer, "COMMIT")
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2)
}

// Commits come one after the other, without a gap.
func TestASweepGetsThroughOnASiteThatAlwaysCommits(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	for range 2 {
		writer := packtest.Session(t, target)
		go func() {
			var err error
			for err == nil && ctx.Err() == nil {
				_, err = zodbtest.CommitNow(t.Context(), writer, packtest.Links{2: {1}}.Records())
			}
			ended <- err
		}()
	}
	packtest.Pack(t, target, packtest.Everything)
	cancel()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	packtest.ExpectStored(t, conn, 0, 1, 2)
}

func TestWhoWaitsForASessionIsSeenByIt(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	holder := packtest.Session(t, target)
	const asked = "SELECT relpack.anyone_waits()"
	for name, c := range map[string]struct {
		first, wait string
		want        bool
	}{
		"for a row": {"BEGIN; DELETE FROM object_state WHERE zoid = 12", "DELETE FROM object_state WHERE zoid = 12", true},
		"for a savepoint's row": {"BEGIN; SAVEPOINT a; DELETE FROM object_state WHERE zoid = 12; SAVEPOINT b",
			"UPDATE object_state SET state = state WHERE zoid = 12", true},
		"for the table":   {"BEGIN; DELETE FROM object_state WHERE zoid = 12", "LOCK TABLE object_state IN SHARE MODE", true},
		"for the lock":    {"BEGIN; SELECT pg_advisory_xact_lock(1919249520, 1)", "UPDATE object_state SET state = state WHERE zoid = 1", true},
		"for another row": {"BEGIN; DELETE FROM object_state WHERE zoid = 12", "UPDATE object_state SET state = state WHERE zoid = 13", false},
		"for another's lock on the same table": {"BEGIN; DELETE FROM object_state WHERE zoid = 12",
			"LOCK TABLE object_state IN SHARE UPDATE EXCLUSIVE MODE", false},
	} {
		other, waiter := packtest.Session(t, target), packtest.Session(t, target)
		if !c.want {
			packtest.Run(t, other, "BEGIN; LOCK TABLE object_state IN SHARE UPDATE EXCLUSIVE MODE; SELECT FROM object_state WHERE zoid = 13 FOR UPDATE")
		}
		packtest.Run(t, holder, c.first)
		if packtest.Get[bool](t, holder, asked) {
			t.Errorf("%s: somebody waits before anybody came", name)
		}
		done := make(chan error, 1)
		go func() {
			_, err := waiter.Exec(t.Context(), "BEGIN; "+c.wait+"; ROLLBACK")
			done <- err
		}()
		packtest.UntilWaiting(t, conn, waiter.PgConn().PID())
		if got := packtest.Get[bool](t, holder, asked); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		packtest.Run(t, holder, "ROLLBACK")
		packtest.Run(t, other, "ROLLBACK")
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is deleted in one statement grows as long as that is quick, from small to
// large objects, and blobs come last.
func TestABatchIsDeletedInPieces(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	records := map[int64][]byte{}
	for zoid := int64(1000); zoid < 1400; zoid++ {
		records[zoid] = zodbtest.Record(zodbtest.Document)
	}
	for zoid := int64(2000); zoid < 2020; zoid++ {
		records[zoid] = zodbtest.PaddedRecord(zodbtest.Document, 300_000)
		records[zoid+100] = zodbtest.Record(zodbtest.Blob)
	}
	packtest.CommitRecords(t, conn, records)
	packtest.Commit(t, conn, packtest.Links{2: nil})
	packtest.DryRun(t, target)
	packtest.Run(t, conn, `
		CREATE TABLE piece (id serial, zoids bigint[]);
		CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO public.piece (zoids) SELECT array_agg(zoid ORDER BY zoid) FROM gone;
			RETURN NULL;
		END $$;
		CREATE TRIGGER note AFTER DELETE ON object_state REFERENCING OLD TABLE AS gone
		FOR EACH STATEMENT EXECUTE FUNCTION note()`)
	if got := packtest.Outcome(t, conn); got != "swept" {
		t.Fatalf("outcome %s", got)
	}
	sizes := packtest.Get[[]int](t, conn, "SELECT array_agg(cardinality(zoids) ORDER BY id) FROM piece")
	if sizes[0] > 20 || len(sizes) < 6 {
		t.Errorf("pieces: %v", sizes)
	}
	for what, sql := range map[string]string{
		"pieces with blobs and others": "SELECT count(*) FROM piece WHERE zoids[1] < 2100 AND zoids[cardinality(zoids)] >= 2100",
		"blobs in their first piece":   "SELECT coalesce((SELECT cardinality(zoids) FROM piece WHERE zoids[1] >= 2100 ORDER BY id LIMIT 1), 0) - 1",
		"large before small":           "SELECT count(*) FROM piece AS a JOIN piece AS b ON a.id < b.id WHERE a.zoids[1] >= 2000 AND b.zoids[1] < 2000",
	} {
		if n := packtest.Get[int](t, conn, sql); n != 0 {
			t.Errorf("%s: %d", what, n)
		}
	}
	packtest.ExpectStored(t, conn, 0, 1, 2)
}

// Applications that do without a synchronous standby go on when it is gone, and
// so does whatever relpack does with the writers' lock in its hand.
func TestAStandbyThatIsGoneDoesNotStopWhoHasTheWritersLock(t *testing.T) {
	t.Parallel()
	server := packtest.NewServer(t)
	target := target.Target{Name: "main", DSN: server.DSN("postgres"), CommitLockTimeout: target.DefaultLockTimeout, BatchTimeout: target.DefaultBatchTimeout}
	conn := packtest.Session(t, target)
	if err := zodbtest.CreateStorage(t.Context(), conn, zodbtest.V42); err != nil {
		t.Fatal(err)
	}
	if err := zodbtest.Install(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	packtest.CommitAt(t, conn, 48*time.Hour, packtest.Garden)
	packtest.DryRun(t, target)
	packtest.Run(t, conn, "ALTER SYSTEM SET synchronous_standby_names = 'gone'")
	packtest.Run(t, conn, "SELECT pg_reload_conf()")
	packer := packtest.Session(t, target)
	packtest.Until(t, "commits wait for the standby", func() bool {
		return packtest.Get[string](t, packer, "SELECT current_setting('synchronous_standby_names')") == "gone"
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, call := range []string{"relpack.capture_watermark()::text", "(relpack.sweep(1000, NULL)).outcome"} {
		var got string
		if err := packer.QueryRow(ctx, "SELECT "+call).Scan(&got); err != nil || got == "busy" {
			t.Fatalf("%s: %s, %v", call, got, err)
		}
	}
	packtest.Run(t, conn, "SET synchronous_commit = local")
	packtest.ExpectStored(t, conn, 0, 1, 2)
}
