package blobs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
)

func TestAnOutboxRowOfARestoredObjectKeepsTheFile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		shift int64 // of the restored tid
		stays bool
	}{
		"the same tid":   {0, true},
		"an older tid":   {-1000, true},
		"a newer tid":    {1000, true},
		"never restored": {},
	} {
		for _, layout := range []string{zodbtest.Bushy, zodbtest.Lawn} {
			t.Run(name+", "+layout, func(t *testing.T) {
				t.Parallel()
				target, conn, tid := packtest.NewAlbum(t, layout)
				packtest.DryRun(t, target)
				packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = 3")
				if name != "never restored" {
					packtest.Restore(t, conn, 3, tid+c.shift, zodbtest.Record(zodbtest.Blob))
					packtest.Restore(t, conn, 1, 5, zodbtest.Record(zodbtest.Document, 2, 3))
				}
				if c.shift > 0 {
					packtest.WriteBlob(t, target, layout, 3, tid+c.shift)
				}
				packtest.Commit(t, conn, packtest.Links{0: {1}})
				packtest.Pack(t, target, packtest.Everything)
				packtest.ExpectBlob(t, target, layout, 3, tid-1000, true)
				packtest.ExpectBlob(t, target, layout, 3, tid, c.stays)
				if c.shift > 0 {
					packtest.ExpectBlob(t, target, layout, 3, tid+c.shift, true)
				}
				packtest.ExpectBlob(t, target, layout, 2, tid, true)
				packtest.ExpectBlob(t, target, layout, 4, tid, false)
				_, err := os.Stat(zodbtest.ObjectDir(target.BlobDir, layout, 4))
				if !os.IsNotExist(err) {
					t.Errorf("the directory of blob 4 is there: %v", err)
				}
				if n := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.blob_removal"); n != 0 {
					t.Errorf("%d rows are left in the outbox", n)
				}
			})
		}
	}
}

func TestAnObjectRestoredWhileItsFileIsAboutToGoKeepsIt(t *testing.T) {
	t.Parallel()
	target, conn, tid := packtest.NewAlbum(t, zodbtest.Bushy)
	packtest.Pack(t, target, packtest.Before("remove blob files", func() {
		packtest.Restore(t, conn, 3, tid, zodbtest.Record(zodbtest.Blob))
	}))
	packtest.ExpectBlob(t, target, zodbtest.Bushy, 3, tid, true)
	packtest.ExpectBlob(t, target, zodbtest.Bushy, 4, tid, false)
}

func TestFilesAreNotTouchedWhileAWriteIsInFlight(t *testing.T) {
	t.Parallel()
	target, conn, tid := packtest.NewAlbum(t, zodbtest.Bushy)
	writer := packtest.Session(t, target)
	var tx pgx.Tx
	begun := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		_, err := pack.Run(t.Context(), target, packtest.Before("remove blob files", func() {
			defer close(begun)
			var err error
			if tx, err = writer.Begin(t.Context()); err == nil {
				_, err = tx.Exec(t.Context(), packtest.RestoreRow, 3, tid, zodbtest.Record(zodbtest.Blob))
			}
			if err != nil {
				t.Error(err)
			}
		}), packtest.Log(t))
		done <- err
	}()
	<-begun
	packtest.Until(t, "relpack tries to remove files", func() bool {
		return packtest.Get[bool](t, conn, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
			AND application_name = 'relpack pack' AND query LIKE '%blobs_next%')`)
	})
	packtest.ExpectBlob(t, target, zodbtest.Bushy, 3, tid, true)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	packtest.ExpectBlob(t, target, zodbtest.Bushy, 3, tid, true)
	packtest.ExpectBlob(t, target, zodbtest.Bushy, 4, tid, false)
}

// A server that no longer holds writers off, who put rows back, lets no file go: a disk
// was slow.
func TestFilesAreBackWhereTheSessionWasLost(t *testing.T) {
	t.Parallel()
	target, conn, _ := packtest.NewAlbum(t, zodbtest.Bushy)
	hasty := func(from, to string) func() {
		return func() {
			text := packtest.Get[string](t, conn, "SELECT pg_get_functiondef('relpack.blobs_next'::regproc)")
			packtest.Run(t, conn, strings.ReplaceAll(text, "'"+from+"'", "'"+to+"'"))
		}
	}
	var tid int64
	for tries, lost := 0, false; !lost; tries++ {
		if tries == 50 {
			t.Fatal("no session was lost")
		}
		records := map[int64][]byte{}
		tid = zodbtest.TimeTid(time.Now())
		for zoid := int64(100); zoid < 150; zoid++ {
			records[zoid] = zodbtest.Record(zodbtest.Blob)
			packtest.WriteBlob(t, target, zodbtest.Bushy, zoid, tid)
		}
		if err := zodbtest.Commit(t.Context(), conn, tid, records); err != nil {
			t.Fatal(err)
		}
		_, err := pack.Run(t.Context(), target, packtest.Before("remove blob files", hasty("2s", "1ms")), packtest.Log(t))
		lost = err != nil
		hasty("1ms", "2s")()
	}
	for zoid := int64(100); zoid < 150; zoid++ {
		packtest.ExpectBlob(t, target, zodbtest.Bushy, zoid, tid, true)
	}
	if report := packtest.Pack(t, target, packtest.Everything); report.BlobFiles.Files < 50 {
		t.Errorf("%+v", report.BlobFiles)
	}
}

func TestFilesWaitForARunThatKnowsTheirDirectory(t *testing.T) {
	t.Parallel()
	target, conn, tid := packtest.NewAlbum(t, zodbtest.Lawn)
	unknown := target
	unknown.BlobDir = ""
	report := packtest.Pack(t, unknown, packtest.Everything)
	if report.BlobFiles.Waiting != 2 || !strings.Contains(strings.Join(report.Notes(), "\n"), "blob directory") {
		t.Errorf("%d files wait, notes %q", report.BlobFiles.Waiting, report.Notes())
	}
	packtest.ExpectBlob(t, target, zodbtest.Lawn, 3, tid, true)
	report = packtest.Pack(t, target, packtest.Everything)
	if report.BlobFiles.Files != 2 || report.BlobFiles.Others != 1 || report.BlobFiles.Waiting != 0 {
		t.Errorf("%+v, want 2 files removed, 1 left beside them", report.BlobFiles)
	}
	packtest.ExpectBlob(t, target, zodbtest.Lawn, 3, tid, false)
	packtest.ExpectBlob(t, target, zodbtest.Lawn, 3, tid-1000, true)
	packtest.ExpectBlob(t, target, zodbtest.Lawn, 2, tid-1000, true)
	packtest.ExpectStored(t, conn, 0, 1, 2)
}

func TestADeleteTypedInPsqlHandsItsFilesToTheNextPack(t *testing.T) {
	t.Parallel()
	target, conn, tid := packtest.NewAlbum(t, zodbtest.Bushy)
	// Before the first build, and of a class that the graph does not know.
	packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = 4")
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectBlob(t, target, zodbtest.Bushy, 4, tid, false)
	packtest.ExpectBlob(t, target, zodbtest.Bushy, 3, tid, false)
	packtest.ExpectBlob(t, target, zodbtest.Bushy, 2, tid, true)
}

func TestATruncatedStorageKeepsAllFiles(t *testing.T) {
	t.Parallel()
	target, conn, tid := packtest.NewAlbum(t, zodbtest.Bushy)
	packtest.DryRun(t, target)
	packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = 3; TRUNCATE object_state CASCADE")
	packtest.Commit(t, conn, packtest.Links{0: nil})
	packtest.Pack(t, target, packtest.Everything)
	for _, zoid := range []int64{2, 3, 4} {
		packtest.ExpectBlob(t, target, zodbtest.Bushy, zoid, tid, true)
	}
}

func TestAnotherStoragesBlobDirectoryLosesNothing(t *testing.T) {
	t.Parallel()
	target, conn, tid := packtest.NewAlbum(t, zodbtest.Bushy)
	other := t.TempDir()
	if err := zodbtest.NewBlobDir(other, zodbtest.Bushy); err != nil {
		t.Fatal(err)
	}
	// The same oids, other tids.
	if err := zodbtest.WriteBlob(other, zodbtest.Bushy, 3, tid-7, []byte("another storage's")); err != nil {
		t.Fatal(err)
	}
	target.BlobDir = other
	_, err := pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, other)
	packtest.ExpectBlob(t, target, zodbtest.Bushy, 3, tid-7, true)
	packtest.ExpectStored(t, conn, 0, 1, 2, 3, 4)
	// Nor where there is no live blob to tell it by.
	packtest.Commit(t, conn, packtest.Links{1: nil})
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectBlob(t, target, zodbtest.Bushy, 3, tid-7, true)
	packtest.ExpectStored(t, conn, 0, 1)
}

func TestAWrongBlobDirectoryIsFoundOutBeforeAnythingIsDone(t *testing.T) {
	t.Parallel()
	target, conn, _ := packtest.NewAlbum(t, zodbtest.Bushy)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Join(target.BlobDir, "nowhere"), file} {
		wrong := target
		wrong.BlobDir = dir
		if _, err := pack.Run(t.Context(), wrong, packtest.Everything, packtest.Log(t)); fault.ExitCode(err) != fault.ExitFailure || !strings.Contains(err.Error(), dir) {
			t.Errorf("error %v, want one that names %s", err, dir)
		}
	}
	packtest.ExpectStored(t, conn, 0, 1, 2, 3, 4)
	if runs := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.run"); runs != 0 {
		t.Errorf("%d runs were begun", runs)
	}
}

func TestAFileThatCannotGoStaysListed(t *testing.T) {
	t.Parallel()
	target, conn, tid := packtest.NewAlbum(t, zodbtest.Bushy)
	// Not a file: what it is nobody knows.
	path := zodbtest.BlobPath(target.BlobDir, zodbtest.Bushy, 3, tid)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
	if fault.ExitCode(err) != fault.ExitFailure || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want one that names %s", err, path)
	}
	packtest.ExpectStored(t, conn, 0, 1, 2)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	packtest.WriteBlob(t, target, zodbtest.Bushy, 3, tid)
	packtest.Pack(t, target, packtest.Everything)
	for _, zoid := range []int64{3, 4} {
		packtest.ExpectBlob(t, target, zodbtest.Bushy, zoid, tid, false)
	}
}

func TestThousandsOfBlobsInTheDatabaseFitTheLockTable(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	target.BlobsInDatabase = true
	tid := zodbtest.TimeTid(time.Now().Add(-time.Hour))
	if err := zodbtest.Commit(t.Context(), conn, tid, packtest.Links{0: {1}, 1: nil}.Records()); err != nil {
		t.Fatal(err)
	}
	packtest.Run(t, conn, `INSERT INTO object_state SELECT zoid, $1, length($2::bytea), $2 FROM generate_series(1000, 3999) AS zoid`,
		tid-1, zodbtest.Record(zodbtest.Blob))
	const chunks = "INSERT INTO blob_chunk SELECT zoid, 0, tid, lo_from_bytea(0, 'x') FROM object_state WHERE zoid % 6 = $1 AND zoid > 999"
	for part := range 6 {
		packtest.Run(t, conn, chunks, part)
	}
	if err := zodbtest.StoreBlobChunks(t.Context(), conn, 1, tid, []byte("live")); err != nil {
		t.Fatal(err)
	}
	packtest.DryRun(t, target)
	if n := packtest.Get[int](t, conn, "SELECT count(*) FROM unnest(relpack.sweep_choose(100000)) AS chosen JOIN blob_chunk ON zoid = chosen"); n == 0 ||
		n > packtest.Get[int](t, conn, "SELECT current_setting('max_locks_per_transaction')::int * current_setting('max_connections')::int / 4") {
		t.Errorf("a batch unlinks %d large objects", n)
	}
	report := packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1)
	if report.Blobs != 3000 || report.BlobFiles.Waiting != 0 {
		t.Errorf("%d blobs deleted, %d files waiting", report.Blobs, report.BlobFiles.Waiting)
	}
	if n := packtest.Get[int](t, conn, "SELECT count(*) FROM pg_largeobject_metadata"); n != 1 {
		t.Errorf("%d large objects are left, want 1", n)
	}
	if n := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.blob_removal"); n != 0 {
		t.Errorf("%d rows in the outbox", n)
	}
}

func TestAStorageWithoutBlobChunksIsPacked(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.LoadSmall(t, conn, "")
	packtest.Run(t, conn, "DROP TABLE blob_chunk")
	all := packtest.Stored(t, conn)
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectZoids(t, "stored", packtest.Stored(t, conn), packtest.Without(all, packtest.Garbage(t, zodbtest.Small)))
}
