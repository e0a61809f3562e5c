package packtest

import (
	"testing"
	"time"

	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
)

// An Album is a history-preserving storage with blobs in a directory, and the tids of its
// commits, 20, 10 and 1 days ago. Blob 2 was written in each, 3 and 4 in the first; 3 was
// cut off by the second.
type Album struct {
	target.Target
	zodbtest.History
	Layout             string
	First, Second, Now int64
}

// NewHistoryAlbum makes one. Its file says pack-gc gc.
func NewHistoryAlbum(t *testing.T, layout string, gc bool) Album {
	t.Helper()
	stored, conn := NewEmptyDatabase(t)
	a := Album{Target: stored, History: zodbtest.History{Conn: conn, Version: zodbtest.V42}, Layout: layout}
	a.KeepsGarbage = !gc
	a.BlobDir = t.TempDir()
	if err := zodbtest.NewBlobDir(a.BlobDir, layout); err != nil {
		t.Fatal(err)
	}
	if err := zodbtest.CreateHistory(t.Context(), conn, a.Version); err != nil {
		t.Fatal(err)
	}
	MigrateUp(t, a.Target)
	Run(t, conn, Impatient)
	blob := zodbtest.Record(zodbtest.Blob)
	a.First = a.Write(t, DaysAgo(20), map[int64][]byte{0: Document(1), 1: Document(2, 3, 4), 2: blob, 3: blob, 4: blob})
	a.Second = a.Write(t, DaysAgo(10), map[int64][]byte{1: Document(2, 4), 2: blob})
	a.Now = a.Write(t, DaysAgo(1), map[int64][]byte{2: blob})
	return a
}

// DaysAgo is the tid of that moment.
func DaysAgo(days float64) int64 {
	return zodbtest.TimeTid(time.Now().Add(-time.Duration(days * 24 * float64(time.Hour))))
}

// Write commits, with a file for each blob.
func (a Album) Write(t *testing.T, tid int64, objects map[int64][]byte) int64 {
	t.Helper()
	tid, err := a.Commit(t.Context(), tid, objects)
	if err != nil {
		t.Fatal(err)
	}
	for zoid, state := range objects {
		if string(state) == string(zodbtest.Record(zodbtest.Blob)) {
			WriteBlob(t, a.Target, a.Layout, zoid, tid)
		}
	}
	return tid
}

// PutBack restores a revision of a blob, whose file was not removed.
func (a Album) PutBack(t *testing.T, zoid, tid int64) {
	t.Helper()
	if err := a.Restore(t.Context(), tid, true, map[int64][]byte{zoid: zodbtest.Record(zodbtest.Blob)}, nil); err != nil {
		t.Fatal(err)
	}
}

// Expect looks whether the file of a revision is there.
func (a Album) Expect(t *testing.T, zoid, tid int64, want bool) {
	t.Helper()
	ExpectBlob(t, a.Target, a.Layout, zoid, tid, want)
}
