package schema_test

import (
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/revision"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
)

// newOldHistory has revisions of ten days, an undo, a blob of two chunks and garbage, as
// this release writes them. relpack has never seen it.
func newOldHistory(t *testing.T, version zodbtest.Version) (target.Target, *pgx.Conn, zodbtest.History) {
	t.Helper()
	stored, conn := packtest.NewEmptyDatabase(t)
	if err := zodbtest.CreateHistory(t.Context(), conn, version); err != nil {
		t.Fatal(err)
	}
	h := zodbtest.History{Conn: conn, Version: version}
	blob := zodbtest.Record(zodbtest.Blob)
	chunks := map[int64][][]byte{13: {[]byte("a"), []byte("b")}, 23: {[]byte("c"), []byte("d")}}
	if _, err := h.CommitBlobs(t.Context(), packtest.DaysAgo(10), map[int64][]byte{0: packtest.Document(1, 23), 1: packtest.Document(2), 2: packtest.Document(),
		13: blob, 23: blob}, chunks); err != nil {
		t.Fatal(err)
	}
	second, err := h.CommitBlobs(t.Context(), packtest.DaysAgo(9), map[int64][]byte{1: packtest.Document(), 23: blob}, map[int64][][]byte{23: {[]byte("e")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Undo(t.Context(), second, packtest.DaysAgo(8)); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Commit(t.Context(), packtest.DaysAgo(2), map[int64][]byte{1: packtest.Document(2)}); err != nil {
		t.Fatal(err)
	}
	return stored, conn, h
}

func TestAHistoryOfEachReleaseIsPackedAndItsTablesAreLeftAsTheyWere(t *testing.T) {
	t.Parallel()
	for version, also := range map[zodbtest.Version][]bool{zodbtest.V15: {true, false}, zodbtest.V21: {true}, zodbtest.V42: {true}} {
		for _, gc := range also {
			stored, conn, h := newOldHistory(t, version)
			stored.KeepsGarbage = !gc
			stored.BlobsInDatabase = true
			before := schemaDump(t, stored)
			packtest.MigrateUp(t, stored)
			packtest.PackWithGrace(t, stored, 5)
			packtest.PackWithGrace(t, stored, 5)
			left, err := revision.Load(t.Context(), conn)
			if err != nil || len(left.Unlinked) > 0 {
				t.Fatalf("%s: %v are gone, %v", version, left.Unlinked, err)
			}
			want := []int64{0, 1, 2, 23}
			if !gc {
				want = []int64{0, 1, 2, 13, 23}
			}
			if !slices.Equal(left.Zoids(), want) || len(left.Keys()) != len(want)+1 {
				t.Errorf("%s, pack-gc %t: %v are left", version, gc, left.Keys())
			}
			if n := packtest.Get[int](t, conn, "SELECT count(*) FROM pg_largeobject_metadata"); n != 2*(len(want)-3) {
				t.Errorf("%s: %d large objects", version, n)
			}
			down(t, stored)
			if after := schemaDump(t, stored); after != before {
				t.Errorf("%s: pg_dump tells of\n%s\nbefore it was\n%s", version, after, before)
			}
			// What is later than the pack time can be undone.
			newest := packtest.Get[int64](t, conn, "SELECT max(tid) FROM transaction")
			if _, err := h.Undo(t.Context(), newest, 0); err != nil || newest < zodbtest.TimeTid(time.Now().AddDate(0, 0, -3)) {
				t.Errorf("%s: undo of %d: %v", version, newest, err)
			}
		}
	}
}
