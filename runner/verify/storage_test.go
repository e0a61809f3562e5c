package verify_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/pack"
	"relpack/runner/target"
	"relpack/runner/verify"
)

func TestAnUpdateOfAZoidLeavesNoNodeUnderTheOldOne(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Run(t, conn, "UPDATE object_state SET zoid = 77 WHERE zoid = 12")
	if got := packtest.Lines(t, conn, "SELECT format('%s %s', kind, zoid) FROM relpack.write_event ORDER BY 1"); strings.Join(got, ", ") != "deleted 12, written 77" {
		t.Errorf("events: %q", got)
	}
	packtest.ExpectSound(t, target)
	packtest.DryRun(t, target)
	packtest.ExpectExact(t, conn)
	packtest.ExpectSound(t, target)
	// Under a tid that the graph does not know yet, a commit tells of the new one only.
	packtest.Run(t, conn, "UPDATE object_state SET zoid = 78, tid = tid + 1000000000000 WHERE zoid = 77")
	packtest.DryRun(t, target)
	packtest.ExpectExact(t, conn)
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectSound(t, target)
}

func TestAPreparedTransactionInTheWayIsNamed(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	if packtest.Get[string](t, conn, "SHOW max_prepared_transactions") == "0" {
		t.Skip("the server allows none")
	}
	name := "left behind in " + packtest.Get[string](t, conn, "SELECT current_database()")
	packtest.Run(t, conn, "BEGIN; UPDATE object_state SET state_size = state_size WHERE zoid = 1; PREPARE TRANSACTION '"+name+"'")
	defer packtest.Run(t, conn, "ROLLBACK PREPARED '"+name+"'")
	target.CommitLockTimeout = 500 * time.Millisecond
	_, err := pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitFailure, "prepared transaction "+name, "ROLLBACK PREPARED")
	if got := packtest.Get[string](t, conn, "SELECT format('%s %s %s', pid IS NULL, state, application) FROM relpack.writer"); got != "t prepared prepared transaction "+name {
		t.Errorf("relpack.writer: %q", got)
	}
}

// reloading holds object_state as TRUNCATE does, with the same rows in it again.
func reloading(t *testing.T, target target.Target) (commit func()) {
	t.Helper()
	app := packtest.Session(t, target)
	packtest.Run(t, app, "CREATE TABLE saved AS TABLE object_state")
	packtest.Run(t, app, "BEGIN")
	packtest.Run(t, app, "TRUNCATE object_state CASCADE")
	packtest.Run(t, app, "INSERT INTO object_state TABLE saved")
	return func() { packtest.Run(t, app, "COMMIT") }
}

// waitsForStorage polls until a session waits for object_state.
func waitsForStorage(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	packtest.Until(t, "a session waits for object_state", func() bool {
		return packtest.Get[bool](t, conn, "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'object_state'::regclass AND NOT granted)")
	})
}

func TestATruncateAndReloadThatVerifyWaitsForIsNoFalseAlarm(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewOrchard(t)
	packtest.DryRun(t, target)
	ranges := int(packtest.Get[int64](t, conn, "SELECT pg_relation_size('object_state') / 8192 / 2"))
	done := make(chan struct{})
	report, err := verify.Run(t.Context(), target, duringVerify(ranges, func() {
		commit := reloading(t, target)
		go func() {
			defer close(done)
			waitsForStorage(t, conn)
			commit()
		}()
	}), packtest.Log(t))
	<-done
	if err != nil || len(report.Findings) > 0 {
		t.Errorf("found %v, %v", report.Findings, err)
	}
	packtest.DryRun(t, target)
	packtest.ExpectExact(t, conn)
}

func TestATruncateAndReloadThatVerifyInPsqlWaitsForIsNoFalseAlarm(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewOrchard(t)
	packtest.DryRun(t, target)
	commit := reloading(t, target)
	found := make(chan []string)
	psql := packtest.Session(t, target)
	go func() { found <- packtest.Findings(t, psql) }()
	waitsForStorage(t, conn)
	commit()
	if got := <-found; len(got) > 0 {
		t.Errorf("found %q", got)
	}
}

func TestALiveObjectWithoutAStateIsNamed(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]bool{"by a first build": true, "later": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewStorage(t)
			packtest.Commit(t, conn, packtest.Links{0: {1}, 1: nil})
			if !first {
				packtest.DryRun(t, target)
			}
			packtest.CommitRecords(t, conn, map[int64][]byte{1: nil, 2: {}, 3: {}, 0: packtest.Document(1, 2)})
			report := packtest.Pack(t, target, packtest.Everything)
			notes := strings.Join(report.Notes(), "\n")
			packtest.ExpectWords(t, notes, "zoid 1 is reachable and its state is NULL or empty", "zoid 2 is reachable")
			if strings.Contains(notes, "zoid 3") {
				t.Errorf("garbage is named:\n%s", notes)
			}
			verified, err := verify.Run(t.Context(), target, packtest.VerifyOptions(true), packtest.Log(t))
			packtest.ExpectError(t, err, fault.ExitRefused, "without a state", "zoid 1 2", "relpack check")
			if got := packtest.Kinds(verified.Findings); strings.Join(got, " ") != "empty" {
				t.Errorf("findings %q", got)
			}
			packtest.ExpectWords(t, packtest.Status(t, target), "zoid 1 (empty)")
			// With a state, and cut off, it is nothing to speak of any more.
			packtest.Commit(t, conn, packtest.Links{0: {1}, 1: nil})
			report = packtest.Pack(t, target, packtest.Everything)
			if len(report.Problems) > 0 {
				t.Errorf("still told: %v", report.Problems)
			}
			packtest.ExpectSound(t, target)
		})
	}
}
