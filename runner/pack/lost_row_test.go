package pack_test

import (
	"testing"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"

	"github.com/jackc/pgx/v5"
)

// A dump that is restored without the data of a table leaves it empty.
func TestAPackBeginsAgainWhereRelpackHasLostItsOwnRow(t *testing.T) {
	t.Parallel()
	for kind, begin := range map[string]func() (target.Target, *pgx.Conn){
		"history-free": func() (target.Target, *pgx.Conn) { return packtest.NewGarden(t) },
		"history-preserving": func() (target.Target, *pgx.Conn) {
			file, h := newHistory(t, zodbtest.V42)
			store(t, h, daysAgo(30), map[int64][]byte{0: page(1, 10), 1: page(2), 2: page(), 10: page(11), 11: page()})
			store(t, h, daysAgo(20), map[int64][]byte{0: page(1)})
			dryRun(t, file, 5)
			return file, h.Conn
		},
	} {
		file, conn := begin()
		packtest.Run(t, conn, "DELETE FROM relpack.storage")
		for _, call := range []string{"sweep(10, NULL)", "doom(NULL)", "reach()", "verify()", "verify_graph()", "capture_list()",
			"horizon_move(NULL)", "lock_storage()", "build_reset()", "trim_find(0, -1, 0, 10, 10)"} {
			_, err := conn.Exec(t.Context(), "SELECT relpack."+call)
			packtest.ExpectState(t, err, fault.StateRefused)
			packtest.ExpectWords(t, err.Error(), "relpack.storage has lost its row")
		}
		if doubt := packtest.Get[string](t, conn, "SELECT relpack.doubt()"); doubt != "relpack.storage has lost its row" {
			t.Errorf("%s: doubt: %s", kind, doubt)
		}
		packtest.ExpectWords(t, packtest.Status(t, file), "lost its row", `"relpack pack"`)
		packtest.Pack(t, file, trimDays(-1))
		packtest.ExpectZoids(t, kind, packtest.Zoids(t, conn, "SELECT DISTINCT zoid FROM object_state ORDER BY zoid"), []int64{0, 1, 2})
		packtest.ExpectSound(t, file)
	}
}

// What another storage referred to until it was forgotten has its grace.
func TestTheGraceOfWhatAnotherStorageReferredToOutlivesRelpacksRow(t *testing.T) {
	t.Parallel()
	file, conn := packtest.NewGarden(t)
	packtest.Run(t, conn, "SELECT relpack.try_pack_lock()")
	packtest.Run(t, conn, "SELECT relpack.note_referrer('other', 'elsewhere', 0, 0, '0 s')")
	packtest.Run(t, conn, "SELECT relpack.release_pack_lock()")
	packtest.Run(t, conn, "DELETE FROM relpack.storage")
	if r := packtest.PackWithGrace(t, file, 1); r.Deleted.Objects > 0 {
		t.Errorf("%d objects were deleted", r.Deleted.Objects)
	}
}

func TestAPackNumbersClassesAnewWhereTheirNamesAreLost(t *testing.T) {
	t.Parallel()
	file, conn, _ := packtest.NewAlbum(t, zodbtest.Bushy)
	packtest.DryRun(t, file)
	packtest.Run(t, conn, "DELETE FROM relpack.class")
	report := packtest.Pack(t, file, packtest.Everything)
	if report.BlobFiles.Files != 2 || report.Chosen.Objects != 2 {
		t.Errorf("%d files and %d objects went", report.BlobFiles.Files, report.Chosen.Objects)
	}
	packtest.ExpectStored(t, conn, 0, 1, 2)
	packtest.ExpectSound(t, file)
}
