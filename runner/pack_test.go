package runner

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/internal/zodbtest"
)

// everything packs without grace: the sample data is young.
var everything = PackOptions{Days: -1, Version: "test", Migrations: migrations.Files}

func packStorage(t testing.TB, target Target, o PackOptions) *Report {
	t.Helper()
	report, err := Pack(t.Context(), target, o, testLog(t))
	if err != nil {
		t.Fatalf("pack: %s", Message(err))
	}
	return report
}

func zoids(t testing.TB, conn *pgx.Conn, sql string) []int64 {
	t.Helper()
	found, err := pgxRows(t.Context(), conn, pgx.RowTo[int64], sql)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found
}

func stored(t testing.TB, conn *pgx.Conn) []int64 {
	return zoids(t, conn, "SELECT zoid FROM object_state")
}

func garbage(t testing.TB, name string) []int64 {
	t.Helper()
	list, err := zodbtest.Garbage(name)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// without is what of all is not in gone; both are sorted.
func without(all, gone []int64) []int64 {
	return slices.DeleteFunc(slices.Clone(all), func(zoid int64) bool {
		_, found := slices.BinarySearch(gone, zoid)
		return found
	})
}

func expectZoids(t testing.TB, what string, got, want []int64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %d zoids, want %d; too many %v, missing %v", what, len(got), len(want),
			first(without(got, want)), first(without(want, got)))
	}
}

func first(list []int64) []int64 { return list[:min(len(list), 10)] }

func blobFileList(t testing.TB, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".blob" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestSampleIsPackedAsZodbpackWould(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	target.BlobDir = t.TempDir()
	loadSmall(t, conn, target.BlobDir)
	all := stored(t, conn)
	dry := everything
	dry.DryRun = true
	report := packStorage(t, target, dry)
	expectZoids(t, "unreachable after a dry run", zoids(t, conn, "SELECT zoid FROM relpack.unreachable_object"), garbage(t, zodbtest.Small))
	expectZoids(t, "stored after a dry run", stored(t, conn), all)
	report = packStorage(t, target, everything)
	t.Logf("%+v", report)
	expectZoids(t, "stored after a pack", stored(t, conn), without(all, garbage(t, zodbtest.Small)))
}
