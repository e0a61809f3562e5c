package pack_test

import (
	"testing"
	"time"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
)

// Folders that were cut off: what is in one refers to it, so that it goes in one
// batch, or one of them is begun. Their zoids alternate, as those of folders do
// that are filled at the same time.
func TestABatchIsFilledWithWholeComponents(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	const folders, size, batch = 20, 100, 450
	objects := packtest.Links{0: nil}
	for zoid := int64(1); zoid <= folders*size; zoid++ {
		if folder := (zoid-1)%folders + 1; folder != zoid {
			objects[zoid] = []int64{folder}
			objects[folder] = append(objects[folder], zoid)
		}
	}
	if err := zodbtest.Commit(t.Context(), conn, zodbtest.TimeTid(time.Now().Add(-time.Hour)), objects.Records()); err != nil {
		t.Fatal(err)
	}
	packtest.DryRun(t, target)
	const members = `SELECT array_agg(count ORDER BY folder)
		FROM (SELECT (zoid - 1) % 20 AS folder, count(*) FROM unnest(relpack.sweep_choose($1)) AS zoid GROUP BY 1) AS whole`
	for _, got := range packtest.Get[[]int64](t, conn, members, batch) {
		if got != size {
			t.Errorf("%d of %d objects of a component are in the batch", got, size)
		}
	}
	if got := packtest.Get[int](t, conn, "SELECT cardinality(relpack.sweep_choose($1))", batch); got < batch/2 {
		t.Errorf("%d objects are in a batch of %d", got, batch)
	}
	if got := packtest.Get[int](t, conn, "SELECT cardinality(relpack.sweep_choose($1))", folders*size); got != folders*size {
		t.Errorf("%d objects are in a batch that all %d fit", got, folders*size)
	}
	if got := packtest.Get[int](t, conn, "SELECT cardinality(relpack.sweep_choose($1))", size/2); got != size/2 {
		t.Errorf("%d objects of a component that is too large are in a batch of %d", got, size/2)
	}
}

// What is left is told with each batch. Counted each time, garbage would be read as
// often as there are batches.
func TestASweepTellsWhatIsLeftWithoutCountingIt(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	const garbage, batches = 10_000, 20
	objects := packtest.Links{0: {}}
	for zoid := int64(1); zoid <= garbage; zoid++ {
		objects[zoid] = []int64{}
	}
	packtest.Load(t, conn, objects)
	packtest.DryRun(t, target)
	const read = `SELECT (SELECT seq_tup_read FROM pg_stat_user_tables WHERE relid = 'relpack.doomed'::regclass)
		+ (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relid = 'relpack.doomed'::regclass)`
	if rows := packtest.RowsRead(t, target, read, func() {
		for n := int64(1); n <= batches; n++ {
			if left := packtest.Get[int64](t, conn, "SELECT remaining FROM relpack.sweep(100, NULL)"); left != garbage-100*n {
				t.Errorf("%d are left after %d batches", left, n)
			}
		}
		packtest.Run(t, conn, "SELECT pg_stat_force_next_flush()")
	}); rows > 4*garbage {
		t.Errorf("%d rows of relpack.doomed were read in %d batches", rows, batches)
	}
	// What somebody takes from the list is chosen again when it is empty.
	packtest.Run(t, conn, "DELETE FROM relpack.doomed WHERE zoid % 2 = 0; SELECT relpack.sweep(10000, NULL)")
	if left := packtest.Get[int64](t, conn, "SELECT remaining FROM relpack.sweep(10000, NULL)"); left != 0 {
		t.Errorf("%d are left", left)
	}
	packtest.ExpectStored(t, conn, 0)
}
