package graph_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
)

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
			target, conn := packtest.NewVersion(t, version)
			tid := zodbtest.TimeTid(time.Now().Add(-time.Hour))
			l := maps.Clone(packtest.Garden)
			l[0], l[23] = []int64{1, 23}, nil
			if _, err := zodbtest.CommitAs(t.Context(), conn, version, tid, l.Records()); err != nil {
				t.Fatal(err)
			}
			var held []int64
			looked := 0
			watcher := packtest.Session(t, target)
			look := func() {
				looked++
				held = append(held, packtest.Zoids(t, watcher, sessionLocks)...)
			}
			write := func() {
				// The application's root, changed in the middle of the pack.
				if _, err := zodbtest.CommitAs(t.Context(), conn, version, 0, packtest.Links{1: {2}, 23: nil}.Records()); err != nil {
					t.Errorf("commit to objects 1 and 23: %v", err)
				}
			}
			o := packtest.Everything
			o.Progress = &packtest.Hooks{
				OnPhase: func(name string) {
					if look(); name != "apply" {
						write()
					}
				},
				OnAdd: func(string, int64) { look() },
			}
			packtest.Pack(t, target, o)
			slices.Sort(held)
			if got := slices.Compact(held); looked < 4 || !slices.Equal(got, want) {
				t.Errorf("locks held in %d looks: %v, want %v", looked, got, want)
			}
			packtest.DryRun(t, target)
			packtest.ExpectExact(t, conn)
			if left := packtest.Zoids(t, conn, "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND objsubid = 1"); len(left) != 0 {
				t.Errorf("locks are left: %v", left)
			}
		})
	}
}

func TestAnObjectsLockIsNoPackLock(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	// Somebody commits to objects 1 and 23 all the time.
	packtest.Run(t, conn, "SELECT pg_advisory_lock(1), pg_advisory_lock(23)")
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2)
}

func TestThePackLockOfAnOlderZodbpackIsRespected(t *testing.T) {
	t.Parallel()
	for _, version := range []zodbtest.Version{zodbtest.V15, zodbtest.V21, zodbtest.V30, zodbtest.V35, zodbtest.V42} {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewVersion(t, version)
			packtest.Run(t, conn, "SELECT pg_advisory_lock($1)", version.PackLock())
			if _, err := pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t)); fault.ExitCode(err) != fault.ExitLocked {
				t.Errorf("error %v, want that another pack runs", err)
			}
			sweeper := packtest.Session(t, target)
			_, err := sweeper.Exec(t.Context(), "SELECT relpack.sweep()")
			packtest.ExpectState(t, err, fault.StateLocked)
		})
	}
}

// relock makes the storage one whose stored procedure has this body.
func relock(t *testing.T, conn *pgx.Conn, body string) {
	t.Helper()
	packtest.Run(t, conn, `CREATE OR REPLACE FUNCTION lock_objects_and_detect_conflicts(read_zoids bigint[], read_tids bigint[])
		RETURNS TABLE (zoid bigint, tid bigint, prev_tid bigint, committed_state bytea) LANGUAGE plpgsql AS $$
		BEGIN `+body+` END $$`)
}

const heldLocks = `SELECT count(*) FROM pg_locks
	WHERE locktype = 'advisory' AND objsubid = 1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`

func TestLocksThatAreNotKnownAreNotGuessed(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*pgx.Conn){
		"another procedure": func(conn *pgx.Conn) { relock(t, conn, "PERFORM pg_lock_something_new(1);") },
		"no procedure":      func(conn *pgx.Conn) { packtest.Run(t, conn, "DROP FUNCTION lock_objects_and_detect_conflicts") },
		"both tables": func(conn *pgx.Conn) {
			packtest.Run(t, conn, "DROP FUNCTION lock_objects_and_detect_conflicts; CREATE TABLE commit_lock ()")
		},
		"neither of the two": func(conn *pgx.Conn) {
			packtest.Run(t, conn, "DROP FUNCTION lock_objects_and_detect_conflicts; DROP TABLE commit_row_lock")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewGarden(t)
			all := packtest.Stored(t, conn)
			change(conn)
			packtest.PackRefused(t, target, "how RelStorage locks in this database is not known", "lock_objects_and_detect_conflicts")
			session := packtest.Session(t, target)
			for _, call := range []string{"relpack.try_pack_lock()", "relpack.sweep(1000, NULL)", "relpack.reach()"} {
				_, err := session.Exec(t.Context(), "SELECT "+call)
				packtest.ExpectState(t, err, fault.StateRefused)
			}
			if n := packtest.Get[int](t, conn, heldLocks); n != 0 {
				t.Errorf("%d locks are held", n)
			}
			packtest.ExpectStored(t, conn, all...)
		})
	}
}

func TestWhatAnOlderRelStorageLeftDoesNotHideTheNewer(t *testing.T) {
	t.Parallel()
	_, conn := packtest.NewGarden(t)
	packtest.Run(t, conn, `CREATE FUNCTION lock_objects_and_detect_conflicts(read_zoids bigint[]) RETURNS void LANGUAGE plpgsql AS $$
		BEGIN PERFORM 1 FROM object_state FOR UPDATE; END $$`)
	if got := packtest.Get[string](t, conn, "SELECT relpack.lock_protocol()"); got != "advisory" {
		t.Errorf("the protocol is %s", got)
	}
}

func TestAnUpgradeOfRelStorageEndsThePackBeforeItsNextStep(t *testing.T) {
	t.Parallel()
	for _, version := range []zodbtest.Version{zodbtest.V15, zodbtest.V21, zodbtest.V30} {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewVersion(t, version)
			if _, err := zodbtest.CommitAs(t.Context(), conn, version, 0, packtest.Garden.Records()); err != nil {
				t.Fatal(err)
			}
			packtest.DryRun(t, target)
			all := packtest.Stored(t, conn)
			_, err := pack.Run(t.Context(), target, packtest.Before("delete", func() { relock(t, conn, "PERFORM pg_advisory_xact_lock(1);") }), packtest.Log(t))
			packtest.ExpectRefusal(t, err, "upgraded", "advisory instead of")
			packtest.ExpectStored(t, conn, all...)
			if n := packtest.Get[int](t, conn, heldLocks); n != 0 {
				t.Errorf("%d locks are held", n)
			}
			packtest.Pack(t, target, packtest.Everything)
			if left := packtest.Stored(t, conn); len(left) >= len(all) {
				t.Errorf("stored: %v", left)
			}
		})
	}
}

func TestWhatWasLockedIsReleasedThoughRelStorageWasUpgraded(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewVersion(t, zodbtest.V30)
	session := packtest.Session(t, target)
	packtest.Run(t, session, "SELECT relpack.try_pack_lock()")
	if n := packtest.Get[int](t, conn, heldLocks); n != 3 {
		t.Fatalf("%d locks are held", n)
	}
	relock(t, conn, "PERFORM pg_advisory_xact_lock(1);")
	packtest.Run(t, session, "SELECT relpack.release_pack_lock()")
	if n := packtest.Get[int](t, conn, heldLocks); n != 0 {
		t.Errorf("%d locks are left", n)
	}
	packtest.Run(t, session, "SELECT relpack.try_pack_lock()")
	if n := packtest.Get[int](t, conn, heldLocks); n != 1 {
		t.Errorf("%d locks are held", n)
	}
}

// A prepared transaction keeps the pack lock and has no session.
func TestAPackLockWithoutASessionIsToldOfWithoutOne(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Pack(t, target, packtest.Everything)
	if packtest.Get[string](t, conn, "SHOW max_prepared_transactions") == "0" {
		t.Skip("the server allows none")
	}
	name := "a packer of " + packtest.Get[string](t, conn, "SELECT current_database()")
	packtest.Run(t, conn, "BEGIN; SELECT pg_advisory_xact_lock(-2); PREPARE TRANSACTION '"+name+"'")
	defer packtest.Run(t, conn, "ROLLBACK PREPARED '"+name+"'")
	_, err := conn.Exec(t.Context(), "SELECT relpack.reach()")
	packtest.ExpectState(t, err, fault.StateLocked)
	if said := fault.Message(err); said != "another pack is running. Try again when it has ended." {
		t.Errorf("relpack.reach says %q", said)
	}
	_, err = pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
	if said := fault.Message(err); said != "another pack is running. Try again when it has ended" {
		t.Errorf("a pack says %q", said)
	}
}

func TestTheSessionThatHoldsThePackLockIsNamedInPsql(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Run(t, conn, "SELECT relpack.try_pack_lock()")
	_, err := packtest.Session(t, target).Exec(t.Context(), "SELECT relpack.reach()")
	packtest.ExpectState(t, err, fault.StateLocked)
	if said := fault.Message(err); !strings.HasPrefix(said, "another pack is running: pid ") || strings.Contains(said, "NULL") {
		t.Errorf("relpack.reach says %q", said)
	}
}
