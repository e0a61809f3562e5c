package graph_test

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// A dump of a run that was killed when it had applied its changes: 1 hangs on
// nothing, is suspected, and 3 refers to it.
func TestARestoredRunThatLostWhatItSuspectedLosesNothing(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"suspect", "pending", "write_event", "doomed", "problem", "class"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			source, conn := packtest.NewStorage(t)
			packtest.Commit(t, conn, packtest.Links{0: {1, 3}, 1: {2}, 2: {}, 3: {1}, 9: {}})
			packtest.DryRun(t, source)
			packtest.Commit(t, conn, packtest.Links{0: {3}})
			text, err := zodbtest.Mutated("reach_step", "PERFORM relpack.require_pack_lock();", "RAISE 'killed';")
			if err != nil {
				t.Fatal(err)
			}
			packtest.Run(t, conn, "CREATE TABLE killing AS SELECT pg_get_functiondef('relpack.reach_step()'::regprocedure) AS text")
			o := packtest.Before("apply", func() { packtest.Run(t, conn, text) })
			o.DryRun = true
			if _, err := pack.Run(t.Context(), source, o, packtest.Log(t)); err == nil {
				t.Fatal("it came to its end")
			}
			packtest.Run(t, conn, packtest.Get[string](t, conn, "SELECT text FROM killing"))
			if got := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.suspect"); got != 1 {
				t.Fatalf("%d suspects", got)
			}
			target, copied := packtest.Restored(t, source, "--exclude-table-data=relpack."+table)
			_, err = copied.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
			packtest.ExpectState(t, err, fault.StateRefused)
			packtest.Pack(t, target, packtest.Everything)
			packtest.ExpectStored(t, copied, 0, 1, 2, 3)
			packtest.ExpectExact(t, copied)
			packtest.ExpectSound(t, target)
		})
	}
}

// restoredOver puts relpack's own schema back as it was when it was called first,
// while the site goes on.
func restoredOver(t *testing.T, target target.Target, conn *pgx.Conn) (again func()) {
	t.Helper()
	programs, err := pgtest.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "relpack.dump")
	call := func(program string, args ...string) {
		t.Helper()
		path := filepath.Join(programs.Dir, program)
		if _, err := exec.LookPath(path); err != nil {
			t.Skipf("these server programs come without it: %v", err)
		}
		cmd := exec.CommandContext(t.Context(), path, args...)
		cmd.Env = pgtest.Environ()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %q: %v\n%s", program, args, err, out)
		}
	}
	call("pg_dump", "-Fc", "--schema=relpack", "--file", file, "--dbname", target.DSN)
	return func() {
		t.Helper()
		packtest.Run(t, conn, "SET client_min_messages = warning; DROP SCHEMA relpack CASCADE; RESET client_min_messages")
		call("pg_restore", "--dbname", target.DSN, file)
		packtest.MigrateUp(t, target)
	}
}

func TestAnOlderGraphThatIsRestoredIsNotBelieved(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.Commit(t, conn, packtest.Links{0: {1, 3}, 1: {}, 3: {}, 7: {8}, 8: {}})
	packtest.DryRun(t, target)
	again := restoredOver(t, target, conn)
	// Under its old tid: an event tells of it, and is worked off.
	tid := packtest.Get[int64](t, conn, "SELECT tid FROM object_state WHERE zoid = 3")
	packtest.Restore(t, conn, 3, tid, packtest.Document(7))
	packtest.DryRun(t, target)
	again()
	_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
	packtest.ExpectState(t, err, fault.StateRefused)
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 3, 7, 8)
	packtest.ExpectExact(t, conn)
	if report := packtest.Pack(t, target, packtest.Everything); report.Compared {
		t.Error("compared again")
	}
	packtest.ExpectSound(t, target)
}

// What was garbage when the dump was made may have been alive since, and was cut
// off a moment ago.
func TestGarbageOfARestoredGraphHasItsGraceAgain(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	old := packtest.CommitAt(t, conn, 100*24*time.Hour, packtest.Links{0: {1}, 1: {}, 7: {8}, 8: {}})
	packtest.DryRun(t, target)
	again := restoredOver(t, target, conn)
	packtest.Restore(t, conn, 1, old, packtest.Document(7))
	packtest.DryRun(t, target)
	packtest.Restore(t, conn, 1, old, packtest.Document())
	again()
	o := packtest.Everything
	o.Days = 1
	packtest.Pack(t, target, o)
	packtest.ExpectStored(t, conn, 0, 1, 7, 8)
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1)
}

// A row that vanished is held, and what hung on it, although the restored list of
// suspects is empty.
func TestWhatHangsOnAMissingRowOfARestoredRunStays(t *testing.T) {
	t.Parallel()
	source, conn := packtest.NewStorage(t)
	packtest.Commit(t, conn, packtest.Links{0: {1, 3}, 1: {2}, 2: {}, 3: {1}, 9: {}})
	packtest.DryRun(t, source)
	packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = 1")
	packtest.DryRun(t, source)
	packtest.Run(t, conn, "UPDATE relpack.object SET parent = NULL WHERE zoid IN (1, 2); INSERT INTO relpack.suspect VALUES (1, 'climb'), (2, 'climb')")
	target, copied := packtest.Restored(t, source, "--exclude-table-data=relpack.suspect")
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, copied, 0, 2, 3)
}
