package runner

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/blobs"
	"relpack/runner/fault"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/session"
	"relpack/runner/target"
)

// everything packs without grace: the sample data is young.
var everything = pack.Options{Days: -1, Version: "test", Migrations: migrations.Files}

func packStorage(t testing.TB, target target.Target, o pack.Options) *pack.Report {
	t.Helper()
	report, err := pack.Run(t.Context(), target, o, testLog(t))
	if err != nil {
		t.Fatalf("pack: %s", fault.Message(err))
	}
	return report
}

func zoids(t testing.TB, conn *pgx.Conn, sql string) []int64 {
	t.Helper()
	found, err := session.Rows(t.Context(), conn, pgx.RowTo[int64], sql)
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

// A sample is the sample storage with its blob directory.
type sample struct {
	t      *testing.T
	target target.Target
	conn   *pgx.Conn
}

func newSample(t *testing.T) *sample {
	t.Helper()
	target, conn := newStorage(t)
	target.BlobDir = t.TempDir()
	loadSmall(t, conn, target.BlobDir)
	return &sample{t, target, conn}
}

// change brings the sample to its next stage.
func (s *sample) change(name string) {
	s.t.Helper()
	if err := zodbtest.ApplyChanges(s.t.Context(), s.conn, name); err != nil {
		s.t.Fatal(err)
	}
	if name == zodbtest.MoreChanges {
		if err := zodbtest.ExtractMoreBlobs(s.target.BlobDir); err != nil {
			s.t.Fatal(err)
		}
	}
}

// survivors are the files in the blob directory but those of objects in gone as
// they are stored; older revisions of these stay.
func (s *sample) survivors(gone []int64) []string {
	s.t.Helper()
	rows, err := session.Rows(s.t.Context(), s.conn, pgx.RowToStructByPos[blobs.Blob],
		"SELECT zoid, tid, 0::bigint FROM object_state WHERE zoid = ANY($1)", gone)
	if err != nil {
		s.t.Fatal(err)
	}
	files := onlyFiles(allFiles(s.t, s.target.BlobDir))
	for _, r := range rows {
		dir := zodbtest.ObjectDir(s.target.BlobDir, zodbtest.Bushy, r.Zoid)
		blob := zodbtest.BlobPath(s.target.BlobDir, zodbtest.Bushy, r.Zoid, r.Tid)
		older := slices.ContainsFunc(files, func(path string) bool {
			return filepath.Dir(path) == dir && path != blob && filepath.Ext(path) == ".blob"
		})
		files = slices.DeleteFunc(files, func(path string) bool {
			return path == blob || (!older && filepath.Dir(path) == dir)
		})
	}
	return files
}

// expectPacked checks a pack at a stage: what went, and that the rest is there
// with all of its files.
func (s *sample) expectPacked(stage string, pack func()) {
	s.t.Helper()
	all, gone := stored(s.t, s.conn), garbage(s.t, stage)
	files := s.survivors(gone)
	pack()
	expectZoids(s.t, "stored after "+stage, stored(s.t, s.conn), without(all, gone))
	// Directories above an object's own may go or stay.
	if left := onlyFiles(allFiles(s.t, s.target.BlobDir)); !slices.Equal(left, files) {
		s.t.Errorf("%d blob files after %s, want %d", len(left), stage, len(files))
	}
	for _, zoid := range gone {
		entries, err := os.ReadDir(zodbtest.ObjectDir(s.target.BlobDir, zodbtest.Bushy, zoid))
		if err == nil && len(entries) == 0 {
			s.t.Errorf("the empty blob directory of %d is there after %s", zoid, stage)
		}
	}
	expectNothingDangles(s.t, s.conn)
	expectExact(s.t, s.conn)
}

// allFiles lists files and directories.
func allFiles(t testing.TB, dir string) []string {
	t.Helper()
	var paths []string
	if err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return paths
}

func onlyFiles(paths []string) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(path string) bool {
		info, err := os.Stat(path)
		return err != nil || info.IsDir()
	})
}

func (s *sample) pack() *pack.Report {
	s.t.Helper()
	return packStorage(s.t, s.target, everything)
}

func TestSampleIsPackedAsZodbpackWould(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	all, files := stored(t, s.conn), allFiles(t, s.target.BlobDir)
	report := dryRun(t, s.target)
	expectZoids(t, "unreachable after a dry run", zoids(t, s.conn, "SELECT zoid FROM relpack.unreachable_object"), garbage(t, zodbtest.Small))
	expectZoids(t, "stored after a dry run", stored(t, s.conn), all)
	if !slices.Equal(allFiles(t, s.target.BlobDir), files) {
		t.Error("a dry run changed the blob directory")
	}
	if report.Chosen.Objects != int64(len(garbage(t, zodbtest.Small))) {
		t.Errorf("%d objects would be deleted", report.Chosen.Objects)
	}
	s.expectPacked(zodbtest.Small, func() { s.pack() })
	s.change(zodbtest.Changes)
	s.expectPacked(zodbtest.Changes, func() {
		if report := s.pack(); report.Deleted.Objects != 208 {
			t.Errorf("%d objects deleted after the changes, want 208", report.Deleted.Objects)
		}
	})
	s.change(zodbtest.MoreChanges)
	s.expectPacked(zodbtest.MoreChanges, func() {
		report := s.pack()
		if report.Deleted.Objects != 11 || report.Blobs == 0 || report.BlobFiles.Files < report.Blobs {
			t.Errorf("deleted %d objects, %d blobs, %d files after more changes, want 11 with their files",
				report.Deleted.Objects, report.Blobs, report.BlobFiles.Files)
		}
	})
}

func TestSampleIsPackedAllTheSameWhenItChangedBefore(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	s.change(zodbtest.Changes)
	s.expectPacked(zodbtest.Changes, func() { s.pack() })
	s.change(zodbtest.MoreChanges)
	s.expectPacked(zodbtest.MoreChanges, func() { s.pack() })

	s = newSample(t)
	s.change(zodbtest.Changes)
	s.change(zodbtest.MoreChanges)
	s.expectPacked(zodbtest.MoreChanges, func() { s.pack() })
}

// The server itself says whether a state is read: they are all stored out of
// line here, where it counts the blocks.
func TestAPackWithNothingNewReadsNoState(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	target.BlobDir = t.TempDir()
	run(t, conn, "ALTER TABLE object_state ALTER state SET STORAGE EXTERNAL, SET (toast_tuple_target = 128, autovacuum_enabled = off)")
	loadSmall(t, conn, target.BlobDir)
	s := &sample{t, target, conn}
	blocks := func() int64 {
		// Sessions hand in their counts when they end.
		relpackGone(t, conn)
		run(t, conn, "SELECT pg_stat_force_next_flush()")
		return get[int64](t, conn, "SELECT toast_blks_read + toast_blks_hit FROM pg_statio_user_tables WHERE relid = 'object_state'::regclass")
	}
	loaded := blocks()
	s.pack()
	packed, all := blocks(), stored(t, conn)
	if packed <= loaded {
		t.Fatalf("the first pack has read no state: %d blocks, %d before", packed, loaded)
	}
	report := s.pack()
	if report.Scanned.Objects != 0 || report.Deleted.Objects != 0 {
		t.Errorf("scanned %d, deleted %d", report.Scanned.Objects, report.Deleted.Objects)
	}
	expectZoids(t, "stored", stored(t, conn), all)
	again := blocks()
	if again != packed {
		t.Errorf("%d blocks with states were read", again-packed)
	}
	s.change(zodbtest.Changes)
	changed := blocks()
	if report := s.pack(); report.Scanned.Objects == 0 || blocks() <= changed {
		t.Error("no state was read after changes")
	}
}

// killedOnTheSample kills packs of each stage and goes on.
func killedOnTheSample(t *testing.T, program string) {
	s := newSample(t)
	for i, stage := range []string{zodbtest.Small, zodbtest.Changes, zodbtest.MoreChanges} {
		if i > 0 {
			s.change(stage)
		}
		s.expectPacked(stage, func() {
			for _, place := range []string{"relpack.scan_range", "relpack.object", "relpack.suspect", "object_state", "relpack.blob_removal"} {
				killAt(t, program, s.target, s.conn, place)
			}
			s.pack()
		})
	}
}
