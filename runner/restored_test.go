package runner

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
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
			source, conn := newStorage(t)
			commit(t, conn, links{0: {1, 3}, 1: {2}, 2: {}, 3: {1}, 9: {}})
			dryRun(t, source)
			commit(t, conn, links{0: {3}})
			text, err := zodbtest.Mutated("reach_step", "PERFORM relpack.require_pack_lock();", "RAISE 'killed';")
			if err != nil {
				t.Fatal(err)
			}
			run(t, conn, "CREATE TABLE killing AS SELECT pg_get_functiondef('relpack.reach_step()'::regprocedure) AS text")
			o := before("apply", func() { run(t, conn, text) })
			o.DryRun = true
			if _, err := pack.Run(t.Context(), source, o, testLog(t)); err == nil {
				t.Fatal("it came to its end")
			}
			run(t, conn, get[string](t, conn, "SELECT text FROM killing"))
			if got := get[int](t, conn, "SELECT count(*) FROM relpack.suspect"); got != 1 {
				t.Fatalf("%d suspects", got)
			}
			target, copied := restored(t, source, "--exclude-table-data=relpack."+table)
			_, err = copied.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
			expectState(t, err, fault.StateRefused)
			packStorage(t, target, everything)
			expectStored(t, copied, 0, 1, 2, 3)
			expectExact(t, copied)
			expectSound(t, target)
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
		run(t, conn, "SET client_min_messages = warning; DROP SCHEMA relpack CASCADE; RESET client_min_messages")
		call("pg_restore", "--dbname", target.DSN, file)
		up(t, target)
	}
}

func TestAnOlderGraphThatIsRestoredIsNotBelieved(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	commit(t, conn, links{0: {1, 3}, 1: {}, 3: {}, 7: {8}, 8: {}})
	dryRun(t, target)
	again := restoredOver(t, target, conn)
	// Under its old tid: an event tells of it, and is worked off.
	tid := get[int64](t, conn, "SELECT tid FROM object_state WHERE zoid = 3")
	restore(t, conn, 3, tid, document(7))
	dryRun(t, target)
	again()
	_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
	expectState(t, err, fault.StateRefused)
	packStorage(t, target, everything)
	expectStored(t, conn, 0, 1, 3, 7, 8)
	expectExact(t, conn)
	if report := packStorage(t, target, everything); report.Compared {
		t.Error("compared again")
	}
	expectSound(t, target)
}

// What was garbage when the dump was made may have been alive since, and was cut
// off a moment ago.
func TestGarbageOfARestoredGraphHasItsGraceAgain(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	old := commitAt(t, conn, 100*24*time.Hour, links{0: {1}, 1: {}, 7: {8}, 8: {}})
	dryRun(t, target)
	again := restoredOver(t, target, conn)
	restore(t, conn, 1, old, document(7))
	dryRun(t, target)
	restore(t, conn, 1, old, document())
	again()
	o := everything
	o.Days = 1
	packStorage(t, target, o)
	expectStored(t, conn, 0, 1, 7, 8)
	packStorage(t, target, everything)
	expectStored(t, conn, 0, 1)
}

// A row that vanished is held, and what hung on it, although the restored list of
// suspects is empty.
func TestWhatHangsOnAMissingRowOfARestoredRunStays(t *testing.T) {
	t.Parallel()
	source, conn := newStorage(t)
	commit(t, conn, links{0: {1, 3}, 1: {2}, 2: {}, 3: {1}, 9: {}})
	dryRun(t, source)
	run(t, conn, "DELETE FROM object_state WHERE zoid = 1")
	dryRun(t, source)
	run(t, conn, "UPDATE relpack.object SET parent = NULL WHERE zoid IN (1, 2); INSERT INTO relpack.suspect VALUES (1, 'climb'), (2, 'climb')")
	target, copied := restored(t, source, "--exclude-table-data=relpack.suspect")
	packStorage(t, target, everything)
	expectStored(t, copied, 0, 2, 3)
}
