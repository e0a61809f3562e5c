package packtest

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
)

// NewAlbum is a storage with blobs 2 to 4, of which 3 and 4 are unreachable. 2
// and 3 have a superseded revision beside the current one.
func NewAlbum(t *testing.T, layout string) (target target.Target, conn *pgx.Conn, tid int64) {
	t.Helper()
	target, conn = NewStorage(t)
	target.BlobDir = t.TempDir()
	if err := zodbtest.NewBlobDir(target.BlobDir, layout); err != nil {
		t.Fatal(err)
	}
	tid = zodbtest.TimeTid(time.Now().Add(-time.Hour))
	records := Links{0: {1}, 1: {2}}.Records()
	for _, zoid := range []int64{2, 3, 4} {
		records[zoid] = zodbtest.Record(zodbtest.Blob)
		if zoid < 4 {
			WriteBlob(t, target, layout, zoid, tid-1000)
		}
		WriteBlob(t, target, layout, zoid, tid)
	}
	if err := zodbtest.Commit(t.Context(), conn, tid, records); err != nil {
		t.Fatal(err)
	}
	return target, conn, tid
}

// WriteBlob writes a blob's file where RelStorage would.
func WriteBlob(t *testing.T, target target.Target, layout string, zoid, tid int64) {
	t.Helper()
	if err := zodbtest.WriteBlob(target.BlobDir, layout, zoid, tid, []byte("content")); err != nil {
		t.Fatal(err)
	}
}

// ExpectBlob looks whether a blob's file is there.
func ExpectBlob(t *testing.T, target target.Target, layout string, zoid, tid int64, want bool) {
	t.Helper()
	_, err := os.Stat(zodbtest.BlobPath(target.BlobDir, layout, zoid, tid))
	if got := err == nil; got != want {
		t.Errorf("file of blob %d, tid %d: there %v, want %v", zoid, tid, got, want)
	}
}

// NewBrokenBlobs is a storage with unreachable blobs 10 to 13 in the database:
// of 11 a large object is gone.
func NewBrokenBlobs(t *testing.T) (target.Target, *pgx.Conn, string) {
	t.Helper()
	target, conn := NewStorage(t)
	target.BlobsInDatabase = true
	tid := Commit(t, conn, Links{0: {1}, 1: nil, 9: {10, 11, 12, 13}})
	records := map[int64][]byte{}
	for zoid := range int64(4) {
		records[10+zoid] = zodbtest.Record(zodbtest.Blob)
	}
	if err := zodbtest.Commit(t.Context(), conn, tid+1, records); err != nil {
		t.Fatal(err)
	}
	for zoid := range records {
		if err := zodbtest.StoreBlobChunks(t.Context(), conn, zoid, tid+1, []byte("one"), []byte("two")); err != nil {
			t.Fatal(err)
		}
	}
	Commit(t, conn, Links{1: nil}) // the last transaction stays
	gone := Get[string](t, conn, "SELECT chunk::text FROM blob_chunk WHERE zoid = 11 AND chunk_num = 1")
	Run(t, conn, "SELECT lo_unlink("+gone+")")
	return target, conn, gone
}

// Files lists files and directories.
func Files(t testing.TB, dir string) []string {
	t.Helper()
	var paths []string
	if err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return paths
}

// onlyFiles is without directories.
func onlyFiles(paths []string) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(path string) bool {
		info, err := os.Stat(path)
		return err != nil || info.IsDir()
	})
}
