package pack_test

import (
	"testing"

	"relpack/runner/internal/packtest"
)

// Of a deletion whose list is empty nothing is left to finish: what is chosen
// afterwards has its grace.
func TestADeletionWhoseListWasEmptiedIsOver(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Commit(t, conn, packtest.Links{2: nil, 50: nil})
	packtest.DryRun(t, target)
	packtest.Run(t, conn, "SELECT relpack.try_pack_lock()")
	if chosen := packtest.Get[int](t, conn, "SELECT relpack.doom(NULL)"); chosen == 0 {
		t.Fatal("nothing was chosen without grace")
	}
	packtest.Run(t, conn, "UPDATE relpack.storage SET begun_until = doomed_until") // as a batch does
	packtest.Run(t, conn, "DELETE FROM relpack.doomed")
	packtest.Run(t, conn, "SELECT relpack.doom(NULL)") // a look
	old := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.unreachable_object WHERE deletable_after < now()")
	if chosen := packtest.Get[int](t, conn, "SELECT relpack.doom(now() - interval '1 day')"); chosen != old {
		t.Errorf("%d objects were chosen, of which %d are beyond the grace", chosen, old)
	}
}

func TestADeletionIsOverWhenTheRestIsSetAside(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Commit(t, conn, packtest.Links{2: nil, 50: nil, 51: nil})
	packtest.Run(t, conn, "CREATE TABLE bookmark (zoid bigint REFERENCES object_state); INSERT INTO bookmark VALUES (50), (51)")
	packtest.DryRun(t, target)
	packtest.Run(t, conn, "SELECT relpack.try_pack_lock()")
	outcomes := map[string]int{}
	for outcomes["done"] == 0 && len(outcomes) < 3 {
		outcomes[packtest.Get[string](t, conn, "SELECT outcome FROM relpack.sweep(1, NULL)")]++
	}
	if begun := packtest.Get[int64](t, conn, "SELECT begun_until FROM relpack.storage"); begun != 0 || outcomes["swept"] == 0 {
		t.Errorf("%v: a deletion counts as begun until %d", outcomes, begun)
	}
	if held := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.set_aside"); held == 0 {
		t.Error("nothing was set aside")
	}
}
