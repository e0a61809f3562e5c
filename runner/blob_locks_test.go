package runner

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
)

// Whoever has object_state for himself and then writes to it waits for the
// writers' lock: nobody may have that and wait for the table.
func TestRemovingBlobFilesWaitsForTheTableBeforeTheWritersLock(t *testing.T) {
	t.Parallel()
	target, conn, tid := newAlbum(t, zodbtest.Bushy)
	dir := target.BlobDir
	target.BlobDir = ""
	packStorage(t, target, everything)
	target.BlobDir = dir
	owner := sessionOn(t, target)
	tx, err := owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run(t, owner, "LOCK TABLE object_state IN ACCESS EXCLUSIVE MODE")
	packer := sessionOn(t, target)
	run(t, packer, "SELECT relpack.try_pack_lock()")
	done := make(chan error, 1)
	go func() {
		_, err := packer.Exec(t.Context(), "SELECT * FROM relpack.blobs_next('{3}', ARRAY[$1::bigint])", tid)
		done <- err
	}()
	until(t, "relpack waits for the table", func() bool {
		return get[bool](t, conn, `SELECT EXISTS (SELECT FROM pg_locks
			WHERE relation = 'object_state'::regclass AND mode = 'AccessShareLock' AND NOT granted
			  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`)
	})
	if get[bool](t, conn, `SELECT EXISTS (SELECT FROM pg_locks
		WHERE classid = 1919249520 AND objid = 1 AND mode = 'ExclusiveLock'
		  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`) {
		t.Error("relpack has the writers' lock and waits for the table")
	}
	run(t, owner, "TRUNCATE object_state CASCADE")
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done: // got it then, or gave up before
	case <-time.After(10 * time.Second):
		t.Error("relpack waits on")
	}
	run(t, packer, "SELECT relpack.release_pack_lock()")
	packStorage(t, target, everything)
	expectBlob(t, target, zodbtest.Bushy, 3, tid, false)
}

func TestAGroupOfBlobFilesWaitsForTheTableForAMomentAndCommitsHere(t *testing.T) {
	t.Parallel()
	target, _, tid := newAlbum(t, zodbtest.Bushy)
	target.BlobDir = ""
	packStorage(t, target, everything)
	packer, owner := sessionOn(t, target), sessionOn(t, target)
	run(t, packer, "SELECT relpack.try_pack_lock()")
	group := func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "SELECT * FROM relpack.blobs_next('{3}', ARRAY[$1::bigint])", tid)
		return err
	}
	err := pgx.BeginFunc(t.Context(), packer, func(tx pgx.Tx) error {
		if err := group(tx); err != nil {
			return err
		}
		if commits := get[string](t, packer, "SHOW synchronous_commit"); commits != "local" {
			t.Errorf("synchronous_commit is %s while the writers' lock is held", commits)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	tx, err := owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	run(t, owner, "LOCK TABLE object_state IN ACCESS EXCLUSIVE MODE")
	expectState(t, pgx.BeginFunc(t.Context(), packer, group), "55P03")
}

// A standby that has gone away holds up no commit of relpack's but the one that
// comes before a file goes.
func TestBlobFilesStayUntilAStandbyHasConfirmedTheDeletion(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	s := newSampleOn(t, server, "")
	s.target.CommitLockTimeout = 2 * time.Second
	s.expectPacked(zodbtest.Small, func() {
		run(t, s.conn, "SET synchronous_commit = local")
		run(t, s.conn, "ALTER SYSTEM SET synchronous_standby_names = 'away'")
		run(t, s.conn, "SELECT pg_reload_conf()")
		until(t, "the server wants a standby", func() bool {
			return get[string](t, sessionOn(t, s.target), "SHOW synchronous_standby_names") == "away"
		})
		before := allFiles(t, s.target.BlobDir)
		report, err := pack.Run(t.Context(), s.target, everything, testLog(t))
		if err != nil {
			t.Fatal(err)
		}
		notes := strings.Join(report.Notes(), "\n")
		if report.BlobFiles.Waiting == 0 || report.BlobFiles.Files != 0 ||
			!strings.Contains(notes, "no standby confirmed") || !strings.Contains(notes, "'away'") {
			t.Errorf("%+v, notes %s", report.BlobFiles, notes)
		}
		if after := allFiles(t, s.target.BlobDir); strings.Join(after, "\n") != strings.Join(before, "\n") {
			t.Error("files have changed")
		}
		run(t, s.conn, "ALTER SYSTEM RESET synchronous_standby_names")
		run(t, s.conn, "SELECT pg_reload_conf()")
		until(t, "the server wants no standby", func() bool {
			return get[string](t, sessionOn(t, s.target), "SHOW synchronous_standby_names") == ""
		})
		s.pack()
	})
}
