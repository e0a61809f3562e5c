package blobs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
)

// Whoever has object_state for himself and then writes to it waits for the
// writers' lock: nobody may have that and wait for the table.
func TestRemovingBlobFilesWaitsForTheTableBeforeTheWritersLock(t *testing.T) {
	t.Parallel()
	target, conn, tid := packtest.NewAlbum(t, zodbtest.Bushy)
	dir := target.BlobDir
	target.BlobDir = ""
	packtest.Pack(t, target, packtest.Everything)
	target.BlobDir = dir
	owner := packtest.Session(t, target)
	tx, err := owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	packtest.Run(t, owner, "LOCK TABLE object_state IN ACCESS EXCLUSIVE MODE")
	packer := packtest.Session(t, target)
	packtest.Run(t, packer, "SELECT relpack.try_pack_lock()")
	done := make(chan error, 1)
	go func() {
		_, err := packer.Exec(t.Context(), "SELECT * FROM relpack.blobs_next('{3}', ARRAY[$1::bigint])", tid)
		done <- err
	}()
	packtest.Until(t, "relpack waits for the table", func() bool {
		return packtest.Get[bool](t, conn, `SELECT EXISTS (SELECT FROM pg_locks
			WHERE relation = 'object_state'::regclass AND mode = 'AccessShareLock' AND NOT granted
			  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`)
	})
	if packtest.Get[bool](t, conn, `SELECT EXISTS (SELECT FROM pg_locks
		WHERE classid = 1919249520 AND objid = 1 AND mode = 'ExclusiveLock'
		  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`) {
		t.Error("relpack has the writers' lock and waits for the table")
	}
	packtest.Run(t, owner, "TRUNCATE object_state CASCADE")
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done: // got it then, or gave up before
	case <-time.After(10 * time.Second):
		t.Error("relpack waits on")
	}
	packtest.Run(t, packer, "SELECT relpack.release_pack_lock()")
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectBlob(t, target, zodbtest.Bushy, 3, tid, false)
}

func TestAGroupOfBlobFilesWaitsForTheTableForAMomentAndCommitsHere(t *testing.T) {
	t.Parallel()
	target, _, tid := packtest.NewAlbum(t, zodbtest.Bushy)
	target.BlobDir = ""
	packtest.Pack(t, target, packtest.Everything)
	packer, owner := packtest.Session(t, target), packtest.Session(t, target)
	packtest.Run(t, packer, "SELECT relpack.try_pack_lock()")
	group := func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "SELECT * FROM relpack.blobs_next('{3}', ARRAY[$1::bigint])", tid)
		return err
	}
	err := pgx.BeginFunc(t.Context(), packer, func(tx pgx.Tx) error {
		if err := group(tx); err != nil {
			return err
		}
		if commits := packtest.Get[string](t, packer, "SHOW synchronous_commit"); commits != "local" {
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
	packtest.Run(t, owner, "LOCK TABLE object_state IN ACCESS EXCLUSIVE MODE")
	packtest.ExpectState(t, pgx.BeginFunc(t.Context(), packer, group), "55P03")
}

// A standby that has gone away holds up no commit of relpack's but the one that
// comes before a file goes.
func TestBlobFilesStayUntilAStandbyHasConfirmedTheDeletion(t *testing.T) {
	t.Parallel()
	server := packtest.NewServer(t)
	s := packtest.NewSampleOn(t, server, "")
	s.Target.CommitLockTimeout = 2 * time.Second
	s.ExpectPacked(zodbtest.Small, func() {
		packtest.Run(t, s.Conn, "SET synchronous_commit = local")
		packtest.Run(t, s.Conn, "ALTER SYSTEM SET synchronous_standby_names = 'away'")
		packtest.Run(t, s.Conn, "SELECT pg_reload_conf()")
		packtest.Until(t, "the server wants a standby", func() bool {
			return packtest.Get[string](t, packtest.Session(t, s.Target), "SHOW synchronous_standby_names") == "away"
		})
		before := packtest.Files(t, s.Target.BlobDir)
		report, err := pack.Run(t.Context(), s.Target, packtest.Everything, packtest.Log(t))
		if err != nil {
			t.Fatal(err)
		}
		notes := strings.Join(report.Notes(), "\n")
		if report.BlobFiles.Waiting == 0 || report.BlobFiles.Files != 0 ||
			!strings.Contains(notes, "no standby confirmed") || !strings.Contains(notes, "'away'") {
			t.Errorf("%+v, notes %s", report.BlobFiles, notes)
		}
		if after := packtest.Files(t, s.Target.BlobDir); strings.Join(after, "\n") != strings.Join(before, "\n") {
			t.Error("files have changed")
		}
		packtest.Run(t, s.Conn, "ALTER SYSTEM RESET synchronous_standby_names")
		packtest.Run(t, s.Conn, "SELECT pg_reload_conf()")
		packtest.Until(t, "the server wants no standby", func() bool {
			return packtest.Get[string](t, packtest.Session(t, s.Target), "SHOW synchronous_standby_names") == ""
		})
		s.Pack()
	})
}
