package pack_test

import (
	"testing"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
)

// Where tids are ahead of the clock, nothing is trimmed beside an open transaction: the
// pack time goes back, and on again when nobody is there. Of a history that is trimmed
// either keeps the same, and nothing is read for it.
func TestAPackTimeThatGoesBackBehindTheLastOneHasNothingReadAgain(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	const objects = 50
	for _, days := range []float64{40, 30, 20, 2} {
		all := map[int64][]byte{0: page(1)}
		for zoid := int64(1); zoid < objects; zoid++ {
			all[zoid] = page((zoid + 1) % objects)
		}
		store(t, h, daysAgo(days), all)
	}
	store(t, h, daysAgo(19), map[int64][]byte{90: page(91), 91: page()})
	if r := packtest.Pack(t, file, trimDays(7)); r.Trimmed.Revisions != 2*objects || r.Deleted.Objects != 2 {
		t.Fatalf("%d revisions and %d objects went", r.Trimmed.Revisions, r.Deleted.Objects)
	}
	store(t, h, daysAgo(-2), map[int64][]byte{1: page(2)})
	reader := packtest.Session(t, file)
	for _, open := range []bool{true, false, true, false} {
		if open {
			packtest.Run(t, reader, "BEGIN")
			packtest.Run(t, reader, "SELECT count(*) FROM object_state")
		}
		report := packtest.Pack(t, file, trimDays(7))
		if open {
			packtest.Run(t, reader, "COMMIT")
		}
		if horizon := packtest.Get[int64](t, h.Conn, "SELECT horizon_tid FROM relpack.storage"); (horizon == 0) != open {
			t.Errorf("an open transaction: %v, and the graph is that of %d", open, horizon)
		}
		if report.Scanned.Objects > 5 {
			t.Errorf("an open transaction: %v, and %d of %d objects were read", open, report.Scanned.Objects, objects)
		}
		packtest.ExpectSound(t, file)
	}
	// What is restored may be superseded: then each pack time keeps something else.
	if err := h.Restore(t.Context(), daysAgo(35), true, map[int64][]byte{1: page(2, 92), 92: page()}, nil); err != nil {
		t.Fatal(err)
	}
	packtest.Run(t, h.Conn, forward, 1)
	packtest.Run(t, reader, "BEGIN")
	packtest.Run(t, reader, "SELECT count(*) FROM object_state")
	packtest.Pack(t, file, trimDays(7))
	packtest.Run(t, reader, "COMMIT")
	expectObjects(t, h, "beside an open transaction", append(append([]int64{0}, first(objects)...), 92)...)
	packtest.ExpectSound(t, file)
}

func first(n int64) (zoids []int64) {
	for zoid := int64(1); zoid < n; zoid++ {
		zoids = append(zoids, zoid)
	}
	return zoids
}
