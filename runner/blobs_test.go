package runner

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// newAlbum is a storage with blobs 2 to 4, of which 3 and 4 are unreachable. 2
// and 3 have a superseded revision beside the current one.
func newAlbum(t *testing.T, layout string) (target target.Target, conn *pgx.Conn, tid int64) {
	t.Helper()
	target, conn = newStorage(t)
	target.BlobDir = t.TempDir()
	if err := zodbtest.NewBlobDir(target.BlobDir, layout); err != nil {
		t.Fatal(err)
	}
	tid = zodbtest.TimeTid(time.Now().Add(-time.Hour))
	records := links{0: {1}, 1: {2}}.records()
	for _, zoid := range []int64{2, 3, 4} {
		records[zoid] = zodbtest.Record(zodbtest.Blob)
		if zoid < 4 {
			writeBlob(t, target, layout, zoid, tid-1000)
		}
		writeBlob(t, target, layout, zoid, tid)
	}
	if err := zodbtest.Commit(t.Context(), conn, tid, records); err != nil {
		t.Fatal(err)
	}
	return target, conn, tid
}

func writeBlob(t *testing.T, target target.Target, layout string, zoid, tid int64) {
	t.Helper()
	if err := zodbtest.WriteBlob(target.BlobDir, layout, zoid, tid, []byte("content")); err != nil {
		t.Fatal(err)
	}
}

func expectBlob(t *testing.T, target target.Target, layout string, zoid, tid int64, want bool) {
	t.Helper()
	_, err := os.Stat(zodbtest.BlobPath(target.BlobDir, layout, zoid, tid))
	if got := err == nil; got != want {
		t.Errorf("file of blob %d, tid %d: there %v, want %v", zoid, tid, got, want)
	}
}

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
				target, conn, tid := newAlbum(t, layout)
				dryRun(t, target)
				run(t, conn, "DELETE FROM object_state WHERE zoid = 3")
				if name != "never restored" {
					restore(t, conn, 3, tid+c.shift, zodbtest.Record(zodbtest.Blob))
					restore(t, conn, 1, 5, zodbtest.Record(zodbtest.Document, 2, 3))
				}
				if c.shift > 0 {
					writeBlob(t, target, layout, 3, tid+c.shift)
				}
				commit(t, conn, links{0: {1}})
				packStorage(t, target, everything)
				expectBlob(t, target, layout, 3, tid-1000, true)
				expectBlob(t, target, layout, 3, tid, c.stays)
				if c.shift > 0 {
					expectBlob(t, target, layout, 3, tid+c.shift, true)
				}
				expectBlob(t, target, layout, 2, tid, true)
				expectBlob(t, target, layout, 4, tid, false)
				_, err := os.Stat(zodbtest.ObjectDir(target.BlobDir, layout, 4))
				if !os.IsNotExist(err) {
					t.Errorf("the directory of blob 4 is there: %v", err)
				}
				if n := get[int](t, conn, "SELECT count(*) FROM relpack.blob_removal"); n != 0 {
					t.Errorf("%d rows are left in the outbox", n)
				}
			})
		}
	}
}

func TestAnObjectRestoredWhileItsFileIsAboutToGoKeepsIt(t *testing.T) {
	t.Parallel()
	target, conn, tid := newAlbum(t, zodbtest.Bushy)
	packStorage(t, target, before("remove blob files", func() {
		restore(t, conn, 3, tid, zodbtest.Record(zodbtest.Blob))
	}))
	expectBlob(t, target, zodbtest.Bushy, 3, tid, true)
	expectBlob(t, target, zodbtest.Bushy, 4, tid, false)
}

func TestFilesAreNotTouchedWhileAWriteIsInFlight(t *testing.T) {
	t.Parallel()
	target, conn, tid := newAlbum(t, zodbtest.Bushy)
	writer := sessionOn(t, target)
	var tx pgx.Tx
	begun := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		_, err := pack.Run(t.Context(), target, before("remove blob files", func() {
			defer close(begun)
			var err error
			if tx, err = writer.Begin(t.Context()); err == nil {
				_, err = tx.Exec(t.Context(), restoreRow, 3, tid, zodbtest.Record(zodbtest.Blob))
			}
			if err != nil {
				t.Error(err)
			}
		}), testLog(t))
		done <- err
	}()
	<-begun
	until(t, "relpack tries to remove files", func() bool {
		return get[bool](t, conn, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
			AND application_name = 'relpack pack' AND query LIKE '%blobs_next%')`)
	})
	expectBlob(t, target, zodbtest.Bushy, 3, tid, true)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	expectBlob(t, target, zodbtest.Bushy, 3, tid, true)
	expectBlob(t, target, zodbtest.Bushy, 4, tid, false)
}

func TestFilesWaitForARunThatKnowsTheirDirectory(t *testing.T) {
	t.Parallel()
	target, conn, tid := newAlbum(t, zodbtest.Lawn)
	unknown := target
	unknown.BlobDir = ""
	report := packStorage(t, unknown, everything)
	if report.BlobFiles.Waiting != 2 || !strings.Contains(strings.Join(report.Notes(), "\n"), "blob directory") {
		t.Errorf("%d files wait, notes %q", report.BlobFiles.Waiting, report.Notes())
	}
	expectBlob(t, target, zodbtest.Lawn, 3, tid, true)
	report = packStorage(t, target, everything)
	if report.BlobFiles.Files != 2 || report.BlobFiles.Others != 1 || report.BlobFiles.Waiting != 0 {
		t.Errorf("%+v, want 2 files removed, 1 left beside them", report.BlobFiles)
	}
	expectBlob(t, target, zodbtest.Lawn, 3, tid, false)
	expectBlob(t, target, zodbtest.Lawn, 3, tid-1000, true)
	expectBlob(t, target, zodbtest.Lawn, 2, tid-1000, true)
	expectStored(t, conn, 0, 1, 2)
}

func TestADeleteTypedInPsqlHandsItsFilesToTheNextPack(t *testing.T) {
	t.Parallel()
	target, conn, tid := newAlbum(t, zodbtest.Bushy)
	// Before the first build, and of a class that the graph does not know.
	run(t, conn, "DELETE FROM object_state WHERE zoid = 4")
	packStorage(t, target, everything)
	expectBlob(t, target, zodbtest.Bushy, 4, tid, false)
	expectBlob(t, target, zodbtest.Bushy, 3, tid, false)
	expectBlob(t, target, zodbtest.Bushy, 2, tid, true)
}

func TestATruncatedStorageKeepsAllFiles(t *testing.T) {
	t.Parallel()
	target, conn, tid := newAlbum(t, zodbtest.Bushy)
	dryRun(t, target)
	run(t, conn, "DELETE FROM object_state WHERE zoid = 3; TRUNCATE object_state CASCADE")
	commit(t, conn, links{0: nil})
	packStorage(t, target, everything)
	for _, zoid := range []int64{2, 3, 4} {
		expectBlob(t, target, zodbtest.Bushy, zoid, tid, true)
	}
}

func TestAnotherStoragesBlobDirectoryLosesNothing(t *testing.T) {
	t.Parallel()
	target, conn, tid := newAlbum(t, zodbtest.Bushy)
	other := t.TempDir()
	if err := zodbtest.NewBlobDir(other, zodbtest.Bushy); err != nil {
		t.Fatal(err)
	}
	// The same oids, other tids.
	if err := zodbtest.WriteBlob(other, zodbtest.Bushy, 3, tid-7, []byte("another storage's")); err != nil {
		t.Fatal(err)
	}
	target.BlobDir = other
	_, err := pack.Run(t.Context(), target, everything, testLog(t))
	expectError(t, err, fault.ExitRefused, other)
	expectBlob(t, target, zodbtest.Bushy, 3, tid-7, true)
	expectStored(t, conn, 0, 1, 2, 3, 4)
	// Nor where there is no live blob to tell it by.
	commit(t, conn, links{1: nil})
	packStorage(t, target, everything)
	expectBlob(t, target, zodbtest.Bushy, 3, tid-7, true)
	expectStored(t, conn, 0, 1)
}

func TestAWrongBlobDirectoryIsFoundOutBeforeAnythingIsDone(t *testing.T) {
	t.Parallel()
	target, conn, _ := newAlbum(t, zodbtest.Bushy)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Join(target.BlobDir, "nowhere"), file} {
		wrong := target
		wrong.BlobDir = dir
		if _, err := pack.Run(t.Context(), wrong, everything, testLog(t)); fault.ExitCode(err) != fault.ExitFailure || !strings.Contains(err.Error(), dir) {
			t.Errorf("error %v, want one that names %s", err, dir)
		}
	}
	expectStored(t, conn, 0, 1, 2, 3, 4)
	if runs := get[int](t, conn, "SELECT count(*) FROM relpack.run"); runs != 0 {
		t.Errorf("%d runs were begun", runs)
	}
}

func TestAFileThatCannotGoStaysListed(t *testing.T) {
	t.Parallel()
	target, conn, tid := newAlbum(t, zodbtest.Bushy)
	// Not a file: what it is nobody knows.
	path := zodbtest.BlobPath(target.BlobDir, zodbtest.Bushy, 3, tid)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := pack.Run(t.Context(), target, everything, testLog(t))
	if fault.ExitCode(err) != fault.ExitFailure || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want one that names %s", err, path)
	}
	expectStored(t, conn, 0, 1, 2)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	writeBlob(t, target, zodbtest.Bushy, 3, tid)
	packStorage(t, target, everything)
	for _, zoid := range []int64{3, 4} {
		expectBlob(t, target, zodbtest.Bushy, zoid, tid, false)
	}
}

func TestThousandsOfBlobsInTheDatabaseFitTheLockTable(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	target.BlobsInDatabase = true
	tid := zodbtest.TimeTid(time.Now().Add(-time.Hour))
	if err := zodbtest.Commit(t.Context(), conn, tid, links{0: {1}, 1: nil}.records()); err != nil {
		t.Fatal(err)
	}
	run(t, conn, `INSERT INTO object_state SELECT zoid, $1, length($2::bytea), $2 FROM generate_series(1000, 3999) AS zoid`,
		tid-1, zodbtest.Record(zodbtest.Blob))
	const chunks = "INSERT INTO blob_chunk SELECT zoid, 0, tid, lo_from_bytea(0, 'x') FROM object_state WHERE zoid % 6 = $1 AND zoid > 999"
	for part := range 6 {
		run(t, conn, chunks, part)
	}
	if err := zodbtest.StoreBlobChunks(t.Context(), conn, 1, tid, []byte("live")); err != nil {
		t.Fatal(err)
	}
	dryRun(t, target)
	if n := get[int](t, conn, "SELECT count(*) FROM unnest(relpack.sweep_choose(100000)) AS chosen JOIN blob_chunk ON zoid = chosen"); n == 0 ||
		n > get[int](t, conn, "SELECT current_setting('max_locks_per_transaction')::int * current_setting('max_connections')::int / 4") {
		t.Errorf("a batch unlinks %d large objects", n)
	}
	report := packStorage(t, target, everything)
	expectStored(t, conn, 0, 1)
	if report.Blobs != 3000 || report.BlobFiles.Waiting != 0 {
		t.Errorf("%d blobs deleted, %d files waiting", report.Blobs, report.BlobFiles.Waiting)
	}
	if n := get[int](t, conn, "SELECT count(*) FROM pg_largeobject_metadata"); n != 1 {
		t.Errorf("%d large objects are left, want 1", n)
	}
	if n := get[int](t, conn, "SELECT count(*) FROM relpack.blob_removal"); n != 0 {
		t.Errorf("%d rows in the outbox", n)
	}
}

func TestAStorageWithoutBlobChunksIsPacked(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	loadSmall(t, conn, "")
	run(t, conn, "DROP TABLE blob_chunk")
	all := stored(t, conn)
	packStorage(t, target, everything)
	expectZoids(t, "stored", stored(t, conn), without(all, garbage(t, zodbtest.Small)))
}
