package blobs_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// orphans counts large objects that no blob refers to.
const orphans = "SELECT count(*) FROM pg_largeobject_metadata WHERE oid NOT IN (SELECT chunk FROM blob_chunk)"

// expectNoOrphans asks vacuumlo as well, where the server's programs have it.
func expectNoOrphans(t *testing.T, conn *pgx.Conn, server *pgtest.Server) {
	t.Helper()
	if n := packtest.Get[int](t, conn, orphans); n != 0 {
		t.Errorf("%d large objects are orphaned", n)
	}
	program := filepath.Join(server.BinDir(), "vacuumlo")
	if _, err := os.Stat(program); errors.Is(err, os.ErrNotExist) {
		t.Logf("no %s: the query has to do", program)
		return
	}
	config := conn.Config()
	command := exec.CommandContext(t.Context(), program, "--dry-run", "--verbose", "--host", config.Host, "--username", config.User, config.Database)
	command.Env = append(os.Environ(), "PGPORT="+packtest.Get[string](t, conn, "SHOW port"))
	out, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Would remove 0 large objects") {
		t.Errorf("vacuumlo: %v\n%s", err, out)
	}
}

// Each large object that goes takes a lock until the transaction ends; the
// table of locks has 64 for each of 100 connections.
func TestTwentyThousandBlobsInTheDatabaseGoWithTheDefaultNumberOfLocks(t *testing.T) {
	t.Parallel()
	server := packtest.NewServer(t)
	target := target.Target{DSN: server.DSN("postgres"), BlobsInDatabase: true,
		CommitLockTimeout: target.DefaultLockTimeout, BatchTimeout: target.DefaultBatchTimeout}
	conn := packtest.Session(t, target)
	if err := zodbtest.CreateStorage(t.Context(), conn, zodbtest.V42); err != nil {
		t.Fatal(err)
	}
	packtest.MigrateUp(t, target)
	tid := packtest.CommitAt(t, conn, time.Hour, packtest.Links{0: {1, 2}, 1: nil, 2: nil})
	packtest.Run(t, conn, "INSERT INTO object_state SELECT zoid, $1, length($2::bytea), $2 FROM generate_series(1001, 21000) AS zoid",
		tid-1, zodbtest.Record(zodbtest.Blob))
	packtest.Run(t, conn, `INSERT INTO blob_chunk SELECT zoid, 0, tid, lo_from_bytea(0, 'content') FROM object_state WHERE zoid > 0`)
	locks := packtest.Get[int](t, conn, "SELECT current_setting('max_locks_per_transaction')::int * current_setting('max_connections')::int")
	if locks != 64*100 {
		t.Fatalf("%d locks are not the default", locks)
	}
	// What a pack that takes no care of it runs into.
	_, err := conn.Exec(t.Context(), "DELETE FROM object_state WHERE zoid > 1000")
	packtest.ExpectState(t, err, "53200") // out_of_memory: of shared memory

	// However large a batch a DBA asks for, and in the batches of a pack.
	packtest.DryRun(t, target)
	swept := packtest.Get[int64](t, conn, "SELECT objects FROM relpack.sweep(20000, NULL)")
	if swept < 1000 || swept > 64*100/4 {
		t.Errorf("a batch of 20,000 deleted %d objects", swept)
	}
	report := packtest.Pack(t, target, packtest.Everything)
	if report.Deleted.Objects != 20_000-swept || report.Blobs != 20_000-swept {
		t.Errorf("%d objects deleted, %d blobs", report.Deleted.Objects, report.Blobs)
	}
	packtest.ExpectStored(t, conn, 0, 1, 2)
	expectNoOrphans(t, conn, server)
	if n := packtest.Get[int](t, conn, "SELECT count(*) FROM pg_largeobject_metadata"); n != 2 {
		t.Errorf("%d large objects are left of the 2 live ones", n)
	}
}

// A large object belongs to the role that stored it, and only that role may
// unlink it: here the application's, which does not own the tables.
func TestLargeObjectsOfAnotherOwnerAreToldOfBeforeAnythingIsDeleted(t *testing.T) {
	t.Parallel()
	h := packtest.NewHouse(t)
	h.Target.BlobsInDatabase = true
	app := h.As(t, h.App)
	tid := packtest.CommitAt(t, app, 48*time.Hour, packtest.Garden)
	records := map[int64][]byte{13: zodbtest.Record(zodbtest.Blob), 2: zodbtest.Record(zodbtest.Blob)}
	if err := zodbtest.Commit(t.Context(), app, tid+1, records); err != nil {
		t.Fatal(err)
	}
	for zoid := range records {
		if err := zodbtest.StoreBlobChunks(t.Context(), app, zoid, tid+1, []byte("one"), []byte("two")); err != nil {
			t.Fatal(err)
		}
	}
	packer := h.NewPacker(t)
	untouched := func(err error) {
		t.Helper()
		packtest.ExpectRefusal(t, err, "2 large objects", "belong to "+h.App, "blob_chunk to "+h.Owner, "Blobs: 13", "GRANT "+h.App+" TO "+h.Owner)
		packtest.ExpectStored(t, h.Admin, 0, 1, 2, 10, 11, 12, 13)
		if n := packtest.Get[int](t, h.Admin, "SELECT count(*) FROM pg_largeobject_metadata"); n != 4 {
			t.Errorf("%d large objects, want 4", n)
		}
	}
	for _, role := range []string{h.Owner, packer} {
		for _, dry := range []bool{true, false} {
			o := packtest.Everything
			o.DryRun = dry
			_, err := pack.Run(t.Context(), packtest.As(h.Target, role), o, packtest.Log(t))
			untouched(err)
		}
		_, err := h.As(t, role).Exec(t.Context(), "SELECT relpack.sweep(1, NULL)")
		untouched(err)
	}

	// Those of live blobs are in nobody's way.
	packtest.Commit(t, app, packtest.Links{1: {2, 13}})
	packtest.Pack(t, packtest.As(h.Target, packer), packtest.Everything)
	packtest.ExpectStored(t, h.Admin, 0, 1, 2, 13)

	packtest.Commit(t, app, packtest.Links{1: {2}})
	packtest.Run(t, h.Admin, "GRANT "+h.App+" TO "+h.Owner)
	packtest.Pack(t, packtest.As(h.Target, packer), packtest.Everything)
	packtest.ExpectStored(t, h.Admin, 0, 1, 2)
	if n := packtest.Get[int](t, h.Admin, orphans); n != 0 {
		t.Errorf("%d large objects are orphaned", n)
	}
}
