package runner

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// newVersion is a storage of an older RelStorage with relpack installed.
func newVersion(t *testing.T, version zodbtest.Version) (target.Target, *pgx.Conn) {
	t.Helper()
	db := pgtest.NewDatabase(t)
	conn := db.Connect(t)
	run(t, conn, "SET client_min_messages = warning; DROP SCHEMA relpack CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public")
	if err := zodbtest.CreateStorage(t.Context(), conn, version); err != nil {
		t.Fatal(err)
	}
	if err := zodbtest.Install(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	run(t, conn, impatient)
	return target.Target{Name: "main", DSN: db.DSN, CommitLockTimeout: target.DefaultLockTimeout, BatchTimeout: target.DefaultBatchTimeout}, conn
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
			watcher := sessionOn(t, target)
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
			if left := zoids(t, conn, "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND objsubid = 1"); len(left) != 0 {
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
			if _, err := pack.Run(t.Context(), target, everything, testLog(t)); fault.ExitCode(err) != fault.ExitLocked {
				t.Errorf("error %v, want that another pack runs", err)
			}
			sweeper := sessionOn(t, target)
			_, err := sweeper.Exec(t.Context(), "SELECT relpack.sweep()")
			expectState(t, err, fault.StateLocked)
		})
	}
}

// relock makes the storage one whose stored procedure has this body.
func relock(t *testing.T, conn *pgx.Conn, body string) {
	t.Helper()
	run(t, conn, `CREATE OR REPLACE FUNCTION lock_objects_and_detect_conflicts(read_zoids bigint[], read_tids bigint[])
		RETURNS TABLE (zoid bigint, tid bigint, prev_tid bigint, committed_state bytea) LANGUAGE plpgsql AS $$
		BEGIN `+body+` END $$`)
}

const heldLocks = `SELECT count(*) FROM pg_locks
	WHERE locktype = 'advisory' AND objsubid = 1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`

func TestLocksThatAreNotKnownAreNotGuessed(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*pgx.Conn){
		"another procedure": func(conn *pgx.Conn) { relock(t, conn, "PERFORM pg_lock_something_new(1);") },
		"no procedure":      func(conn *pgx.Conn) { run(t, conn, "DROP FUNCTION lock_objects_and_detect_conflicts") },
		"both tables": func(conn *pgx.Conn) {
			run(t, conn, "DROP FUNCTION lock_objects_and_detect_conflicts; CREATE TABLE commit_lock ()")
		},
		"neither of the two": func(conn *pgx.Conn) {
			run(t, conn, "DROP FUNCTION lock_objects_and_detect_conflicts; DROP TABLE commit_row_lock")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := newGarden(t)
			all := stored(t, conn)
			change(conn)
			packRefused(t, target, "how RelStorage locks in this database is not known", "lock_objects_and_detect_conflicts")
			session := sessionOn(t, target)
			for _, call := range []string{"relpack.try_pack_lock()", "relpack.sweep(1000, NULL)", "relpack.reach()"} {
				_, err := session.Exec(t.Context(), "SELECT "+call)
				expectState(t, err, fault.StateRefused)
			}
			if n := get[int](t, conn, heldLocks); n != 0 {
				t.Errorf("%d locks are held", n)
			}
			expectStored(t, conn, all...)
		})
	}
}

func TestWhatAnOlderRelStorageLeftDoesNotHideTheNewer(t *testing.T) {
	t.Parallel()
	_, conn := newGarden(t)
	run(t, conn, `CREATE FUNCTION lock_objects_and_detect_conflicts(read_zoids bigint[]) RETURNS void LANGUAGE plpgsql AS $$
		BEGIN PERFORM 1 FROM object_state FOR UPDATE; END $$`)
	if got := get[string](t, conn, "SELECT relpack.lock_protocol()"); got != "advisory" {
		t.Errorf("the protocol is %s", got)
	}
}

func TestAnUpgradeOfRelStorageEndsThePackBeforeItsNextStep(t *testing.T) {
	t.Parallel()
	for _, version := range []zodbtest.Version{zodbtest.V15, zodbtest.V21, zodbtest.V30} {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			target, conn := newVersion(t, version)
			if _, err := zodbtest.CommitAs(t.Context(), conn, version, 0, garden.records()); err != nil {
				t.Fatal(err)
			}
			dryRun(t, target)
			all := stored(t, conn)
			_, err := pack.Run(t.Context(), target, before("delete", func() { relock(t, conn, "PERFORM pg_advisory_xact_lock(1);") }), testLog(t))
			expectRefusal(t, err, "upgraded", "advisory instead of")
			expectStored(t, conn, all...)
			if n := get[int](t, conn, heldLocks); n != 0 {
				t.Errorf("%d locks are held", n)
			}
			packStorage(t, target, everything)
			if left := stored(t, conn); len(left) >= len(all) {
				t.Errorf("stored: %v", left)
			}
		})
	}
}

func TestWhatWasLockedIsReleasedThoughRelStorageWasUpgraded(t *testing.T) {
	t.Parallel()
	target, conn := newVersion(t, zodbtest.V30)
	session := sessionOn(t, target)
	run(t, session, "SELECT relpack.try_pack_lock()")
	if n := get[int](t, conn, heldLocks); n != 3 {
		t.Fatalf("%d locks are held", n)
	}
	relock(t, conn, "PERFORM pg_advisory_xact_lock(1);")
	run(t, session, "SELECT relpack.release_pack_lock()")
	if n := get[int](t, conn, heldLocks); n != 0 {
		t.Errorf("%d locks are left", n)
	}
	run(t, session, "SELECT relpack.try_pack_lock()")
	if n := get[int](t, conn, heldLocks); n != 1 {
		t.Errorf("%d locks are held", n)
	}
}

// A prepared transaction keeps the pack lock and has no session.
func TestAPackLockWithoutASessionIsToldOfWithoutOne(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	packStorage(t, target, everything)
	if get[string](t, conn, "SHOW max_prepared_transactions") == "0" {
		t.Skip("the server allows none")
	}
	name := "a packer of " + get[string](t, conn, "SELECT current_database()")
	run(t, conn, "BEGIN; SELECT pg_advisory_xact_lock(-2); PREPARE TRANSACTION '"+name+"'")
	defer run(t, conn, "ROLLBACK PREPARED '"+name+"'")
	_, err := conn.Exec(t.Context(), "SELECT relpack.reach()")
	expectState(t, err, fault.StateLocked)
	if said := fault.Message(err); said != "another pack is running. Try again when it has ended." {
		t.Errorf("relpack.reach says %q", said)
	}
	_, err = pack.Run(t.Context(), target, everything, testLog(t))
	if said := fault.Message(err); said != "another pack is running. Try again when it has ended" {
		t.Errorf("a pack says %q", said)
	}
}

func TestTheSessionThatHoldsThePackLockIsNamedInPsql(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	run(t, conn, "SELECT relpack.try_pack_lock()")
	_, err := sessionOn(t, target).Exec(t.Context(), "SELECT relpack.reach()")
	expectState(t, err, fault.StateLocked)
	if said := fault.Message(err); !strings.HasPrefix(said, "another pack is running: pid ") || strings.Contains(said, "NULL") {
		t.Errorf("relpack.reach says %q", said)
	}
}
