package pack_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// A commit before RelStorage 3.0 locks transaction and current_object from its vote on.
var voteOfOld = []string{"BEGIN", "LOCK TABLE commit_lock IN EXCLUSIVE MODE", "LOCK TABLE transaction IN SHARE MODE", "LOCK TABLE current_object IN SHARE MODE"}

// newOldHistory has old revisions, a whiteout, garbage, and a transaction that nothing
// names, all up to a time. A session is ready to trim it.
func newOldHistory(t *testing.T) (file target.Target, h zodbtest.History, packer *pgx.Conn, until int64) {
	t.Helper()
	file, h = newHistory(t, zodbtest.V21)
	newDiary(t, h)
	store(t, h, daysAgo(5.5), map[int64][]byte{7: nil})
	until = daysAgo(5)
	empty := daysAgo(6.5)
	packtest.Run(t, h.Conn, "INSERT INTO transaction (tid, username, description, packed) VALUES ($1, '', 'emptied', true)", empty)
	packtest.Run(t, h.Conn, "INSERT INTO relpack.emptied VALUES ($1, now() - interval '8 days')", empty)
	dry := trimDays(5)
	dry.DryRun = true
	packtest.Pack(t, file, dry)
	packer = packtest.Session(t, file)
	packtest.Run(t, packer, "SELECT relpack.try_pack_lock()")
	packtest.Run(t, packer, "SELECT relpack.trim_settle()")
	return file, h, packer, until
}

// Each step that writes to what a commit has locked gives up at once, with nothing
// locked that the commit needs.
func TestAStepThatMeetsACommitOfAnOldReleaseGivesWay(t *testing.T) {
	t.Parallel()
	file, h, packer, until := newOldHistory(t)
	steps := []struct {
		call  string
		waits bool
	}{
		{"SELECT relpack.trim_mark($1, 0, 100)", true},
		{"SELECT relpack.trim_uncreated($1, '{7}')", true},
		{"SELECT relpack.trim_transactions(10, $1::bigint - $1)", true},
		// Old revisions go while commits have their locks.
		{"SELECT relpack.trim_batch($1, '{0}', ARRAY(SELECT min(tid) FROM object_state WHERE zoid = 0))", false},
	}
	app := packtest.Session(t, file)
	packtest.Run(t, app, packtest.Impatient)
	for _, step := range steps {
		for _, statement := range voteOfOld {
			packtest.Run(t, app, statement)
		}
		_, err := packer.Exec(t.Context(), step.call, until)
		if step.waits != fault.IsState(err, "55P03") || !step.waits && err != nil {
			t.Errorf("beside a commit, %s: %v", step.call, err)
		}
		packtest.Run(t, app, "ROLLBACK")
		// Who comes upon it waits for its end, and it for nobody.
		packtest.Run(t, packer, "BEGIN")
		if _, err := packer.Exec(t.Context(), step.call, until); err != nil {
			t.Errorf("%s: %v", step.call, err)
		}
		voted := make(chan error, 1)
		go func() {
			var err error
			for _, statement := range voteOfOld {
				_, failed := app.Exec(t.Context(), statement)
				err = errors.Join(err, failed)
			}
			voted <- err
		}()
		if step.waits {
			packtest.UntilWaiting(t, h.Conn, app.PgConn().PID())
		} else if err := <-voted; err != nil {
			t.Error(err)
		}
		packtest.Run(t, packer, "COMMIT")
		if step.waits {
			if err := <-voted; err != nil {
				t.Error(err)
			}
		}
		packtest.Run(t, app, "ROLLBACK")
	}
	// Where nothing is to be done, nobody is waited for.
	for _, statement := range voteOfOld {
		packtest.Run(t, app, statement)
	}
	for _, step := range []string{steps[0].call, steps[2].call} {
		if _, err := packer.Exec(t.Context(), step, until); err != nil {
			t.Errorf("with nothing to do beside a commit, %s: %v", step, err)
		}
	}
	packtest.Run(t, app, "ROLLBACK")
	for what, want := range map[string]int{
		fmt.Sprintf("transaction WHERE NOT packed AND tid BETWEEN 1 AND %d", until): 0,
		"object_state WHERE zoid = 7":               0,
		"transaction WHERE description = 'emptied'": 0,
		"object_state WHERE zoid = 0":               3,
	} {
		if got := packtest.Get[int](t, h.Conn, "SELECT count(*) FROM "+what); got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
}

// A commit waits while its tables are written to, and as long as a VACUUM of one takes.
func TestTransactionsAreMarkedAFewAtATimeAndNotVacuumedWhereCommitsLockThem(t *testing.T) {
	t.Parallel()
	for version, want := range map[zodbtest.Version]struct {
		atOnce  int
		vacuums bool
	}{zodbtest.V21: {500, false}, zodbtest.V30: {5000, true}} {
		file, h := newTrimmed(t, version)
		newDiary(t, h)
		packtest.Run(t, h.Conn, `INSERT INTO transaction (tid, username, description)
			SELECT $1::bigint + n, '', '' FROM generate_series(1, 5001) AS n`, daysAgo(20))
		packtest.Run(t, h.Conn, `ALTER TABLE transaction SET (autovacuum_enabled = false);
			CREATE TABLE written (rows bigint);
			CREATE FUNCTION count_written() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.written SELECT count(*) FROM changed; RETURN NULL; END';
			CREATE TRIGGER written AFTER UPDATE ON transaction REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_written()`)
		packtest.Pack(t, file, trimDays(5))
		if got := packtest.Get[int](t, h.Conn, "SELECT max(rows) FROM written"); got != want.atOnce {
			t.Errorf("%s: %d transactions were marked at once, want %d", version, got, want.atOnce)
		}
		packtest.Until(t, "statistics are there", func() bool {
			return packtest.Get[bool](t, h.Conn, "SELECT n_tup_upd > 5000 FROM pg_stat_user_tables WHERE relname = 'transaction'")
		})
		if got := packtest.Get[bool](t, h.Conn, "SELECT vacuum_count > 0 FROM pg_stat_user_tables WHERE relname = 'transaction'"); got != want.vacuums {
			t.Errorf("%s: transaction was vacuumed: %v", version, got)
		}
	}
}

// The site writes all the while, and waits for no pack in vain.
func TestASiteOfAnOldReleaseGoesOnWhileItsHistoryIsPacked(t *testing.T) {
	t.Parallel()
	for _, version := range []zodbtest.Version{zodbtest.V15, zodbtest.V21} {
		file, h := newHistory(t, version)
		objects := map[int64][]byte{}
		for zoid := range int64(300) {
			objects[zoid] = page()
			if zoid%3 == 2 {
				objects[zoid] = nil
			}
		}
		objects[0] = page(1)
		for age := 20.0; age > 10; age -= 2 {
			store(t, h, daysAgo(age), objects)
		}
		app := zodbtest.History{Conn: packtest.Session(t, file), Version: version}
		packtest.Run(t, app.Conn, packtest.Impatient)
		var over atomic.Bool
		ended := make(chan error, 1)
		commits := int64(0)
		go func() {
			var err error
			for ; err == nil && !over.Load(); commits++ {
				start := time.Now()
				_, err = app.Commit(t.Context(), 0, map[int64][]byte{0: page(1, 1000+commits), 1000 + commits: page()})
				time.Sleep(max(100*time.Millisecond, 9*time.Since(start))) // a site does that is not saturated
			}
			ended <- err
		}()
		_, err := pack.Run(t.Context(), file, trimDays(5), packtest.Log(t))
		over.Store(true)
		if wrote := <-ended; err != nil || wrote != nil {
			t.Fatalf("%s: the pack ended with %v, the site with %v after %d commits", version, err, wrote, commits)
		}
		collect(t, file, h, -1, daysAgo(0))
		if left := packtest.Get[int](t, h.Conn, "SELECT count(*) FROM object_state"); left != 3 {
			t.Errorf("%s: %d revisions are left, want those of 0, 1 and the last object", version, left)
		}
	}
}

// What is loaded next may have older tids than those that were noted.
func TestWhatWasCommittedIsForgottenWithTheRows(t *testing.T) {
	t.Parallel()
	file, h := newTrimmed(t, zodbtest.V21)
	store(t, h, daysAgo(3), map[int64][]byte{0: page()})
	packtest.Pack(t, file, trimDays(30))
	const noted = "SELECT count(*) FROM relpack.committed"
	if n := packtest.Get[int](t, h.Conn, noted); n == 0 {
		t.Fatal("nothing was noted")
	}
	packtest.Run(t, h.Conn, "TRUNCATE transaction, object_state, current_object, blob_chunk")
	if n := packtest.Get[int](t, h.Conn, noted); n > 0 {
		t.Errorf("%d transactions are noted of those that are gone", n)
	}
}

// Its clients choose tids by clocks of their own. One that is behind commits what an
// open transaction does not see, under a tid of before that began.
func TestATrimOfAnOldReleaseGoesByWhatWasCommittedAndNotByClocks(t *testing.T) {
	t.Parallel()
	file, h := newTrimmed(t, zodbtest.V21)
	write := func(age float64, ref int64) int64 { return store(t, h, daysAgo(age), map[int64][]byte{0: page(ref)}) }
	write(3, 1)
	write(2, 2)
	until := func(moment string) int64 {
		t.Helper()
		return packtest.Get[int64](t, h.Conn, "SELECT relpack.trim_until("+moment+")")
	}
	reader := packtest.Session(t, file)
	begin := func() {
		packtest.Run(t, reader, "BEGIN ISOLATION LEVEL REPEATABLE READ")
		packtest.Run(t, reader, "SELECT FROM object_state")
	}
	// Since relpack was installed nothing was noted: then there was nothing.
	begin()
	if got := until("now()"); got != 0 {
		t.Errorf("up to %d beside a reader", got)
	}
	packtest.Run(t, reader, "COMMIT")
	seen := write(1, 3)
	packtest.Pack(t, file, trimDays(30))
	begin()
	write(0.2, 4)
	unseen := write(0.1, 5)
	if got := until("now()"); got != seen {
		t.Errorf("up to %d, want %d", got, seen)
	}
	report, err := pack.Run(t.Context(), file, trimDays(0), packtest.Log(t))
	if err != nil || report.HeldBy == "" || report.Trimmed.UntilTid != seen {
		t.Errorf("held by %q, up to %d, want %d (%v)", report.HeldBy, report.Trimmed.UntilTid, seen, err)
	}
	if n := packtest.Get[int](t, h.Conn, "SELECT count(*) FROM object_state WHERE tid = $1", seen); n != 1 {
		t.Error("what the reader sees is gone")
	}
	if n := packtest.Get[int](t, h.Conn, "SELECT count(*) FROM relpack.committed"); n > 3 {
		t.Errorf("%d moments are noted", n)
	}
	packtest.Run(t, reader, "COMMIT")
	begin()
	if got := until("now()"); got != unseen {
		t.Errorf("up to %d beside a reader who has seen all, want %d", got, unseen)
	}
	// A storage that went back has committed nothing of what was noted.
	packtest.Run(t, h.Conn, "DELETE FROM current_object; DELETE FROM object_state; DELETE FROM transaction WHERE tid > 0")
	write(8, 1)
	if got := until("now()"); got != 0 {
		t.Errorf("up to %d in a storage that was loaded anew beside a reader", got)
	}
	packtest.Run(t, reader, "COMMIT")
	// A clock that is ahead keeps nobody from packing.
	store(t, h, zodbtest.TimeTid(time.Now().Add(time.Hour)), map[int64][]byte{0: page(6)})
	packtest.Run(t, h.Conn, "SELECT relpack.trim_committed()")
	begin()
	if got := until("now()"); got <= daysAgo(1) {
		t.Errorf("up to %d, with tids of the future", got)
	}
	if got, want := until("NULL"), packtest.Get[int64](t, h.Conn, "SELECT max(tid) FROM transaction"); got != want {
		t.Errorf("up to %d with a negative --days, want %d", got, want)
	}
}

// What vanished counts from then on by the server's clock. Where clients' clocks are
// ahead of it, what was noted before a transaction began is a later time than that.
func TestWhatVanishesBesideATransactionStaysThoughClocksOfClientsAreAhead(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V21)
	store(t, h, daysAgo(3), map[int64][]byte{0: page(), 1: page()})
	attached := store(t, h, daysAgo(2), map[int64][]byte{0: page(7), 7: page()})
	store(t, h, zodbtest.TimeTid(time.Now().Add(time.Hour)), map[int64][]byte{1: page()})
	dry := trimDays(0)
	dry.DryRun = true
	packtest.Pack(t, file, dry)
	reader := packtest.Session(t, file)
	packtest.Run(t, reader, "BEGIN ISOLATION LEVEL REPEATABLE READ")
	packtest.Run(t, reader, "SELECT FROM object_state")
	// Somebody takes a transaction back by hand, and leaves 7 for the garbage.
	packtest.Run(t, h.Conn, "UPDATE current_object SET tid = (SELECT min(tid) FROM object_state WHERE zoid = 0) WHERE zoid = 0")
	packtest.Run(t, h.Conn, "DELETE FROM object_state WHERE zoid = 0 AND tid = $1", attached)
	packtest.Pack(t, file, trimDays(0))
	if n := packtest.Get[int](t, h.Conn, "SELECT count(*) FROM object_state WHERE zoid = 7"); n != 1 {
		t.Error("what the reader sees attached is gone")
	}
	packtest.Run(t, reader, "COMMIT")
}
