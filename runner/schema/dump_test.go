package schema_test

import (
	"testing"

	"relpack/runner/internal/packtest"
)

func TestADumpIsRestoredAndPacked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options []string
		anew    bool
	}{
		"complete":               {nil, false},
		"as the handbook says":   {[]string{"--exclude-table-data=relpack.object", "--exclude-table-data=relpack.object_inref"}, true},
		"without the references": {[]string{"--exclude-table-data=relpack.object_inref"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, conn := packtest.NewGarden(t)
			// Twice: the graph of the second dump was restored, not built.
			for range 2 {
				target, copied := packtest.Restored(t, source)
				if report := packtest.Pack(t, target, packtest.Everything); report.FirstBuild || !report.Compared {
					t.Errorf("complete: first build %v, compared %v", report.FirstBuild, report.Compared)
				}
				packtest.ExpectStored(t, copied, 0, 1, 2)
				target, copied = packtest.Restored(t, source, c.options...)
				if report := packtest.Pack(t, target, packtest.Everything); report.FirstBuild != c.anew {
					t.Errorf("first build %v: %s", report.FirstBuild, report.Doubt)
				}
				packtest.ExpectStored(t, copied, 0, 1, 2)
				packtest.ExpectExact(t, copied)
				source, _ = packtest.Restored(t, source)
			}
			packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
		})
	}
}

func TestADumpWithoutRelpacksTablesIsRestoredAndWritten(t *testing.T) {
	t.Parallel()
	source, _ := packtest.NewGarden(t)
	_, conn := packtest.Restored(t, source, "-T", "relpack.*")
	packtest.Commit(t, conn, packtest.Links{1: {2, 30}, 30: nil})
	packtest.Restore(t, conn, 2, 5, packtest.Document(10))
	packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = 13; DROP SCHEMA relpack CASCADE")
	if n := packtest.Get[int](t, conn, "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'relpack%'"); n != 0 {
		t.Errorf("%d triggers are left", n)
	}
}
