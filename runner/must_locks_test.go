package runner

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
)

// newVersion is a storage of an older RelStorage with relpack installed.
func newVersion(t *testing.T, version zodbtest.Version) (Target, *pgx.Conn) {
	t.Helper()
	db := pgtest.NewDatabase(t)
	conn := db.Connect(t)
	run(t, conn, "SET client_min_messages = warning; DROP SCHEMA relpack CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public")
	if err := zodbtest.CreateStorage(t.Context(), conn, version); err != nil {
		t.Fatal(err)
	}
	if err := install(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	run(t, conn, impatient)
	return Target{Name: "main", DSN: db.DSN, CommitLockTimeout: defaultLockTimeout, BatchTimeout: defaultBatchTimeout}, conn
}

const sessionLocks = `SELECT DISTINCT (classid::bigint << 32) | objid::bigint FROM pg_locks
	JOIN pg_stat_activity USING (pid)
	WHERE locktype = 'advisory' AND objsubid = 1 AND application_name LIKE 'relpack %' AND datname = current_database()`

func TestThePackLocksAreThoseOfTheStoragesVersion(t *testing.T) {
	t.Parallel()
	for version, want := range map[zodbtest.Version][]int64{
		zodbtest.V15: {-2, 1, 23}, zodbtest.V21: {-2, 1, 23}, zodbtest.V30: {-2, 1, 23},
		zodbtest.V35: {-2}, zodbtest.V42: {-2},
	} {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			target, conn := newVersion(t, version)
			tid := zodbtest.TimeTid(time.Now().Add(-time.Hour))
			l := maps.Clone(garden)
			l[0], l[23] = []int64{1, 23}, nil
			if _, err := zodbtest.CommitAs(t.Context(), conn, version, tid, l.records()); err != nil {
				t.Fatal(err)
			}
			var held []int64
			looked := 0
			watcher := session(t, target)
			look := func() {
				looked++
				held = append(held, zoids(t, watcher, sessionLocks)...)
			}
			write := func() {
				// The application's root, changed in the middle of the pack.
				if _, err := zodbtest.CommitAs(t.Context(), conn, version, 0, links{1: {2}, 23: nil}.records()); err != nil {
					t.Errorf("commit to objects 1 and 23: %v", err)
				}
			}
			o := everything
			o.Progress = &hooks{
				phase: func(name string) {
					if look(); name != "apply" {
						write()
					}
				},
				add: func(string, int64) { look() },
			}
			packStorage(t, target, o)
			slices.Sort(held)
			if got := slices.Compact(held); looked < 4 || !slices.Equal(got, want) {
				t.Errorf("locks held in %d looks: %v, want %v", looked, got, want)
			}
			dryRun(t, target)
			expectExact(t, conn)
			if left := zoids(t, conn, "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"); len(left) != 0 {
				t.Errorf("locks are left: %v", left)
			}
		})
	}
}

func TestAnObjectsLockIsNoPackLock(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	// Somebody commits to objects 1 and 23 all the time.
	run(t, conn, "SELECT pg_advisory_lock(1), pg_advisory_lock(23)")
	packStorage(t, target, everything)
	expectStored(t, conn, 0, 1, 2)
}

func TestThePackLockOfAnOlderZodbpackIsRespected(t *testing.T) {
	t.Parallel()
	for _, version := range []zodbtest.Version{zodbtest.V15, zodbtest.V21, zodbtest.V30, zodbtest.V35, zodbtest.V42} {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			target, conn := newVersion(t, version)
			run(t, conn, "SELECT pg_advisory_lock($1)", version.PackLock())
			if _, err := Pack(t.Context(), target, everything, testLog(t)); ExitCode(err) != ExitLocked {
				t.Errorf("error %v, want that another pack runs", err)
			}
			sweeper := session(t, target)
			_, err := sweeper.Exec(t.Context(), "SELECT relpack.sweep()")
			expectState(t, err, stateLocked)
		})
	}
}
