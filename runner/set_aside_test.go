package runner

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// newBrokenBlobs is a storage with unreachable blobs 10 to 13 in the database:
// of 11 a large object is gone.
func newBrokenBlobs(t *testing.T) (target.Target, *pgx.Conn, string) {
	t.Helper()
	target, conn := newStorage(t)
	target.BlobsInDatabase = true
	tid := commit(t, conn, links{0: {1}, 1: nil, 9: {10, 11, 12, 13}})
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
	commit(t, conn, links{1: nil}) // the last transaction stays
	gone := get[string](t, conn, "SELECT chunk::text FROM blob_chunk WHERE zoid = 11 AND chunk_num = 1")
	run(t, conn, "SELECT lo_unlink("+gone+")")
	return target, conn, gone
}

func TestABlobWhoseLargeObjectIsGoneIsSetAsideAndTheRestGoes(t *testing.T) {
	t.Parallel()
	target, conn, gone := newBrokenBlobs(t)
	o := everything
	o.DryRun = true
	_, err := pack.Run(t.Context(), target, o, testLog(t))
	expectError(t, err, fault.ExitRefused, "zoid 11", gone)
	for range 2 { // and again: it is named as long as it is there
		report, err := pack.Run(t.Context(), target, everything, testLog(t))
		expectError(t, err, fault.ExitRefused, "1 unreachable object set aside", "zoid 11", "large object "+gone, "lo_create("+gone+")")
		if report.HeldBack.Objects != 1 || !strings.Contains(strings.Join(report.Notes(), "\n"), gone) {
			t.Errorf("%d set aside, notes %q", report.HeldBack.Objects, report.Notes())
		}
		expectStored(t, conn, 0, 1, 11)
		expectExact(t, conn)
	}
	if text := statusText(t, target); !strings.Contains(text, "zoid 11 can't be deleted: large object "+gone) {
		t.Errorf("status:\n%s", text)
	}
	run(t, conn, "SELECT lo_create("+gone+")")
	packStorage(t, target, everything)
	expectStored(t, conn, 0, 1)
	if text := statusText(t, target); strings.Contains(text, "can't be deleted") {
		t.Errorf("status:\n%s", text)
	}
}

func TestWhatASetAsideObjectRefersToStays(t *testing.T) {
	t.Parallel()
	target, conn, _ := newBrokenBlobs(t)
	// No blob of ZODB refers to anything; a row of blob_chunk may belong to what does.
	commit(t, conn, links{11: {12, 14}, 14: {15}, 15: {14}, 16: {15}})
	commit(t, conn, links{1: nil})
	_, err := pack.Run(t.Context(), target, everything, testLog(t))
	expectError(t, err, fault.ExitRefused, "zoid 11")
	expectStored(t, conn, 0, 1, 11, 12, 14, 15)
	expectExact(t, conn)
}

func TestASetAsideObjectThatIsAttachedAgainIsInNobodysWay(t *testing.T) {
	t.Parallel()
	target, conn, _ := newBrokenBlobs(t)
	_, err := pack.Run(t.Context(), target, everything, testLog(t))
	expectError(t, err, fault.ExitRefused, "zoid 11")
	commit(t, conn, links{1: {11}})
	if report := packStorage(t, target, everything); report.HeldBack.Objects != 0 {
		t.Errorf("%d set aside", report.HeldBack.Objects)
	}
	expectStored(t, conn, 0, 1, 11)
}
