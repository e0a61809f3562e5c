package blobs_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/blobs"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// large is how many large objects there are, and how long they are.
func large(t *testing.T, conn *pgx.Conn) blobs.Going {
	t.Helper()
	return blobs.Going{
		LargeObjects:     packtest.Get[int64](t, conn, "SELECT count(*) FROM pg_largeobject_metadata"),
		LargeObjectBytes: packtest.Get[int64](t, conn, "SELECT coalesce(sum(length(data)), 0)::bigint FROM pg_largeobject"),
	}
}

// expectForetold wants a dry run to count what the pack after it removes.
func expectForetold(t *testing.T, conn *pgx.Conn, target target.Target, days float64) blobs.Going {
	t.Helper()
	o := daysOf(days)
	o.DryRun = true
	foretold := packtest.Pack(t, target, o)
	before := large(t, conn)
	report := packtest.PackWithGrace(t, target, days)
	after := large(t, conn)
	got := blobs.Going{
		Files: report.BlobFiles.Files, Bytes: report.BlobFiles.Bytes,
		LargeObjects: before.LargeObjects - after.LargeObjects, LargeObjectBytes: before.LargeObjectBytes - after.LargeObjectBytes,
	}
	if foretold.WouldGo == nil || *foretold.WouldGo != got || report.WouldGo != nil {
		t.Errorf("--days %v: foretold %+v, it was %+v", days, foretold.WouldGo, got)
	}
	if want := (blobs.LargeObjects{Removed: got.LargeObjects, Bytes: got.LargeObjectBytes}); report.LargeObjects != want {
		t.Errorf("--days %v: %+v are reported, it was %+v", days, report.LargeObjects, want)
	}
	const noted = "SELECT large_objects || ' ' || large_object_bytes FROM relpack.run ORDER BY id DESC LIMIT 1"
	if is, want := packtest.Get[string](t, conn, noted), fmt.Sprint(got.LargeObjects, got.LargeObjectBytes); is != want {
		t.Errorf("--days %v: relpack.run has %s large objects and bytes, it was %s", days, is, want)
	}
	var told strings.Builder
	if err := report.Write(&told); err != nil {
		t.Error(err)
	}
	if n := got.LargeObjects; n > 0 && !strings.Contains(told.String(), fmt.Sprintf("%d removed, ", n)) ||
		n > 0 && !strings.Contains(told.String(), "can be used again after VACUUM of pg_largeobject") ||
		target.BlobsInDatabase && strings.Contains(told.String(), "blob files") {
		t.Errorf("--days %v: %+v, in\n%s", days, got, &told)
	}
	if foretold.BlobFiles.Files != 0 || packtest.Get[int64](t, conn, "SELECT blob_files FROM relpack.run ORDER BY id DESC OFFSET 1 LIMIT 1") != 0 {
		t.Error("a dry run is said to have removed files")
	}
	var text strings.Builder
	if err := foretold.Write(&text); err != nil {
		t.Error(err)
	}
	for name, n := range map[string]int64{"blob files": got.Files, "large objects": got.LargeObjects} {
		if line := fmt.Sprintf("%d would be removed, ", n); n > 0 && !strings.Contains(text.String(), line) || n == 0 && strings.Contains(text.String(), name) {
			t.Errorf("%s: %d, in\n%s", name, n, &text)
		}
	}
	return got
}

func TestADryRunCountsTheFilesThatThePackThenRemoves(t *testing.T) {
	t.Parallel()
	target, conn, tid := packtest.NewAlbum(t, zodbtest.Bushy)
	// What was deleted before goes, too, unless it was put back.
	packtest.Run(t, conn, "CREATE TABLE dump AS SELECT * FROM object_state WHERE zoid IN (3, 4)")
	packtest.Pack(t, withoutFiles(target), packtest.Everything)
	packtest.Run(t, conn, "INSERT INTO object_state SELECT * FROM dump WHERE zoid = 4")
	packtest.Run(t, conn, "INSERT INTO relpack.blob_removal VALUES (2, $1), (9, $1)", tid)
	packtest.Commit(t, conn, packtest.Links{1: {2}})
	if got := expectForetold(t, conn, target, -1); got.Files != 2 {
		t.Errorf("%+v", got)
	}
	if got := expectForetold(t, conn, target, -1); got.Files != 0 {
		t.Errorf("%+v", got)
	}
}

func TestADryRunCountsTheFilesOfAHistoryThatThePackThenRemoves(t *testing.T) {
	t.Parallel()
	eachHistory(t, func(t *testing.T, a packtest.Album) {
		for _, c := range []struct {
			days  float64
			files int64
		}{{15, 0}, {5, 2}, {0.5, 1}, {0.5, 0}} {
			if a.KeepsGarbage && c.days == 5 {
				c.files = 1
			}
			if got := expectForetold(t, a.Conn, a.Target, c.days); got.Files != c.files {
				t.Errorf("--days %v: %+v, want %d files", c.days, got, c.files)
			}
		}
		a.Expect(t, 2, a.Now, true)
	})
}

func TestADryRunCountsWhatWasTrimmedBefore(t *testing.T) {
	t.Parallel()
	eachHistory(t, func(t *testing.T, a packtest.Album) {
		packtest.PackWithGrace(t, withoutFiles(a.Target), 5)
		packtest.Run(t, a.Conn, "INSERT INTO relpack.blob_removal VALUES (2, $1), (2, 77)", a.Now) // put back; not there
		if got := expectForetold(t, a.Conn, a.Target, 0.5); got.Files < 2 {
			t.Errorf("%+v", got)
		}
	})
}

func TestADryRunCountsNoFileOfAnotherDirectory(t *testing.T) {
	t.Parallel()
	a := packtest.NewHistoryAlbum(t, zodbtest.Bushy, true)
	for _, tid := range []int64{a.First, a.Second, a.Now} {
		if tid == a.First {
			continue
		}
		if err := os.Remove(zodbtest.BlobPath(a.BlobDir, a.Layout, 2, tid)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(zodbtest.BlobPath(a.BlobDir, a.Layout, 4, a.First)); err != nil {
		t.Fatal(err)
	}
	o := daysOf(5)
	o.DryRun = true
	report, err := pack.Run(t.Context(), a.Target, o, packtest.Log(t))
	packtest.ExpectRefusal(t, err, "it holds the files of none of")
	if report.WouldGo.Files != 0 || report.Trimmed.Revisions == 0 {
		t.Errorf("%+v, %+v", report.WouldGo, report.Trimmed)
	}
}

// Two revisions name one large object after an undo.
func TestADryRunCountsTheLargeObjectsThatThePackThenRemoves(t *testing.T) {
	t.Parallel()
	for name, packs := range map[string][]float64{"piece by piece": {0.95, 0.75, 0.65, 0.55, 0.45, 0.35, 0.2}, "all at once": {0.2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachHistory(t, func(t *testing.T, a packtest.Album) { foretellLargeObjects(t, a, packs) })
		})
	}
}

func foretellLargeObjects(t *testing.T, a packtest.Album, packs []float64) {
	t.Helper()
	a.BlobDir, a.BlobsInDatabase = "", true
	packtest.Run(t, a.Conn, "DELETE FROM current_object WHERE zoid BETWEEN 2 AND 4; DELETE FROM object_state WHERE zoid BETWEEN 2 AND 4")
	blob := zodbtest.Record(zodbtest.Blob)
	write := func(days float64, objects map[int64][]byte, chunks map[int64][][]byte) int64 {
		t.Helper()
		tid, err := a.CommitBlobs(t.Context(), packtest.DaysAgo(days), objects, chunks)
		if err != nil {
			t.Fatal(err)
		}
		return tid
	}
	undo := func(undone int64, days float64) int64 {
		t.Helper()
		tid, err := a.Undo(t.Context(), undone, packtest.DaysAgo(days))
		if err != nil {
			t.Fatal(err)
		}
		return tid
	}
	first := write(0.9, map[int64][]byte{1: packtest.Document(2, 3), 2: blob, 3: blob},
		map[int64][][]byte{2: {[]byte("one"), []byte("two")}, 3: {[]byte("three of the third")}})
	second := write(0.8, map[int64][]byte{2: blob}, map[int64][][]byte{2: {[]byte("the second")}})
	undone := undo(second, 0.7)
	write(0.6, map[int64][]byte{1: packtest.Document(2), 2: blob}, map[int64][][]byte{2: {[]byte("fourth")}})
	named := write(0.5, map[int64][]byte{2: blob}, map[int64][][]byte{2: {[]byte("fifth....")}})
	write(0.4, map[int64][]byte{2: blob}, map[int64][][]byte{2: {[]byte("sixth")}})
	write(0.3, map[int64][]byte{0: packtest.Document(1)}, nil)
	packtest.Run(t, a.Conn, "UPDATE object_state SET prev_tid = $1 WHERE zoid = 2 AND tid = $2", first, named)
	total := blobs.Going{}
	for _, days := range packs {
		total.Add(expectForetold(t, a.Conn, a.Target, days))
	}
	want := int64(6)
	if a.KeepsGarbage {
		want = 5
	}
	if total.LargeObjects != want || total.NotRead != 0 {
		t.Errorf("%+v, want %d large objects (%d)", total, want, undone)
	}
	// All of an object with an old revision.
	write(0.1, map[int64][]byte{1: packtest.Document()}, nil)
	expectForetold(t, a.Conn, a.Target, 0)
}

func TestADryRunOfAHistoryFreeStorageCountsLargeObjects(t *testing.T) {
	t.Parallel()
	target, conn, gone := packtest.NewBrokenBlobs(t)
	packtest.Run(t, conn, "SELECT lo_create("+gone+")")
	if got := expectForetold(t, conn, target, -1); got.LargeObjects != 8 || got.LargeObjectBytes != 21 {
		t.Errorf("%+v", got)
	}
}

// The bound is some rows for each revision; to look through all of them for each was 500.
func TestADryRunReadsTheChunksOfALongHistoryOnce(t *testing.T) {
	t.Parallel()
	a := packtest.NewHistoryAlbum(t, zodbtest.Bushy, true)
	a.BlobDir, a.BlobsInDatabase = "", true
	const revisions = 500
	packtest.Run(t, a.Conn, "INSERT INTO transaction (tid, packed, username, description) SELECT $1::bigint + n, false, '', '' FROM generate_series(1, $2::bigint) AS n", a.First, revisions)
	packtest.Run(t, a.Conn, `INSERT INTO object_state (zoid, tid, prev_tid, md5, state_size, state)
		SELECT 2, $1::bigint + n, $1::bigint + n - 1, '', 10, $3 FROM generate_series(1, $2::bigint) AS n`, a.First, revisions, zodbtest.Record(zodbtest.Blob))
	packtest.Run(t, a.Conn, `INSERT INTO blob_chunk (zoid, tid, chunk_num, chunk)
		SELECT 2, $1::bigint + n, 0, 100000 + n / 2 FROM generate_series(1, $2::bigint) AS n`, a.First, revisions)
	const read = "SELECT (seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_user_tables WHERE relid = 'public.blob_chunk'::regclass"
	var r *pack.Report
	if rows := packtest.RowsRead(t, a.Target, read, func() { r = packtest.DryRun(t, a.Target) }); rows > 20*revisions {
		t.Errorf("%d rows of blob_chunk were read for %d revisions", rows, r.Trimmed.Revisions)
	}
}

// Where nothing is beyond the grace, too.
func TestADryRunTellsHowLongTheLargeObjectsOfYoungGarbageAre(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.Commit(t, conn, packtest.Links{0: {1}, 1: {}})
	tid := packtest.CommitRecords(t, conn, map[int64][]byte{2: zodbtest.Record(zodbtest.Blob)})
	if err := zodbtest.StoreBlobChunks(t.Context(), conn, 2, tid, make([]byte, 1234)); err != nil {
		t.Fatal(err)
	}
	o := packtest.Everything
	o.DryRun, o.Days = true, 1
	r := packtest.Pack(t, target, o)
	if h := r.CutOff; h == nil || len(h.Largest) != 1 || h.Largest[0].BlobBytes == nil || *h.Largest[0].BlobBytes != 1234 {
		t.Errorf("%+v", h)
	}
}

// What older revisions have goes with these: a dry run counts it there.
func TestADryRunOfAHistoryCountsTheSameRevisionOfABlobAsCutOffAndAsChosen(t *testing.T) {
	t.Parallel()
	a := packtest.NewHistoryAlbum(t, zodbtest.Bushy, true)
	a.BlobDir, a.BlobsInDatabase = "", true
	blob := zodbtest.Record(zodbtest.Blob)
	for i, content := range []string{"an old one that is long", "another", "last"} {
		if _, err := a.CommitBlobs(t.Context(), packtest.DaysAgo(0.9-float64(i)/10), map[int64][]byte{1: packtest.Document(5), 5: blob},
			map[int64][][]byte{5: {[]byte(content)}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.CommitBlobs(t.Context(), packtest.DaysAgo(0.5), map[int64][]byte{1: packtest.Document()}, nil); err != nil {
		t.Fatal(err)
	}
	packtest.Run(t, a.Conn, "DELETE FROM current_object WHERE zoid BETWEEN 2 AND 4; DELETE FROM object_state WHERE zoid BETWEEN 2 AND 4")
	o := daysOf(0)
	o.DryRun = true
	r := packtest.Pack(t, a.Target, o)
	if h := r.CutOff; h == nil || len(h.Largest) != 1 || h.Largest[0].BlobBytes == nil || *h.Largest[0].BlobBytes != 4 || r.ChosenBlobs.Bytes != 4 {
		t.Errorf("%+v, %+v", h, r.ChosenBlobs)
	}
	if g := r.WouldGo; g.LargeObjects != 3 || g.LargeObjectBytes != 34 {
		t.Errorf("%+v", g)
	}
}
