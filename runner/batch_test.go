package runner

import (
	"testing"
	"time"

	"relpack/runner/internal/zodbtest"
)

// Folders that were cut off: what is in one refers to it, so that it goes in one
// batch, or one of them is begun. Their zoids alternate, as those of folders do
// that are filled at the same time.
func TestABatchIsFilledWithWholeComponents(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	const folders, size, batch = 20, 100, 450
	objects := links{0: nil}
	for zoid := int64(1); zoid <= folders*size; zoid++ {
		if folder := (zoid-1)%folders + 1; folder != zoid {
			objects[zoid] = []int64{folder}
			objects[folder] = append(objects[folder], zoid)
		}
	}
	if err := zodbtest.Commit(t.Context(), conn, zodbtest.TimeTid(time.Now().Add(-time.Hour)), objects.records()); err != nil {
		t.Fatal(err)
	}
	dryRun(t, target)
	const members = `SELECT array_agg(count ORDER BY folder)
		FROM (SELECT (zoid - 1) % 20 AS folder, count(*) FROM unnest(relpack.sweep_choose($1)) AS zoid GROUP BY 1) AS whole`
	for _, got := range get[[]int64](t, conn, members, batch) {
		if got != size {
			t.Errorf("%d of %d objects of a component are in the batch", got, size)
		}
	}
	if got := get[int](t, conn, "SELECT cardinality(relpack.sweep_choose($1))", batch); got < batch/2 {
		t.Errorf("%d objects are in a batch of %d", got, batch)
	}
	if got := get[int](t, conn, "SELECT cardinality(relpack.sweep_choose($1))", folders*size); got != folders*size {
		t.Errorf("%d objects are in a batch that all %d fit", got, folders*size)
	}
	if got := get[int](t, conn, "SELECT cardinality(relpack.sweep_choose($1))", size/2); got != size/2 {
		t.Errorf("%d objects of a component that is too large are in a batch of %d", got, size/2)
	}
}
