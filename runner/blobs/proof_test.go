package blobs_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

func listed(t *testing.T, conn *pgx.Conn, want ...int64) {
	t.Helper()
	packtest.ExpectZoids(t, "listed in relpack.blob_removal", packtest.Zoids(t, conn, "SELECT zoid FROM relpack.blob_removal ORDER BY zoid"), want)
}

func markLayout(t *testing.T, dir, layout string) {
	t.Helper()
	marker := filepath.Join(dir, ".layout")
	if err := os.Remove(marker); err != nil {
		t.Fatal(err)
	}
	if layout == "" {
		return
	}
	if err := os.WriteFile(marker, []byte(layout), 0o644); err != nil {
		t.Fatal(err)
	}
}

// move lays a blob out otherwise.
func move(t *testing.T, target target.Target, zoid int64, from, to string) {
	t.Helper()
	old, new := zodbtest.ObjectDir(target.BlobDir, from, zoid), zodbtest.ObjectDir(target.BlobDir, to, zoid)
	if err := os.MkdirAll(filepath.Dir(new), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(old, new); err != nil {
		t.Fatal(err)
	}
}

func TestBlobFilesGoWhateverTheMarkerOfTheLayoutSays(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{zodbtest.Bushy, zodbtest.Lawn} {
		for _, marker := range []string{zodbtest.Bushy, zodbtest.Lawn, ""} {
			t.Run(layout+" marked "+marker, func(t *testing.T) {
				t.Parallel()
				target, conn, tid := packtest.NewAlbum(t, layout)
				markLayout(t, target.BlobDir, marker)
				report := packtest.Pack(t, target, packtest.Everything)
				if report.BlobFiles.Files != 2 {
					t.Errorf("%d files removed, want 2", report.BlobFiles.Files)
				}
				packtest.ExpectBlob(t, target, layout, 2, tid, true)
				packtest.ExpectBlob(t, target, layout, 3, tid, false)
				packtest.ExpectBlob(t, target, layout, 4, tid, false)
				listed(t, conn)
			})
		}
	}
}

func TestBlobFilesGoFromADirectoryWithBothLayouts(t *testing.T) {
	t.Parallel()
	target, conn, tid := packtest.NewAlbum(t, zodbtest.Bushy)
	move(t, target, 3, zodbtest.Bushy, zodbtest.Lawn)
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectBlob(t, target, zodbtest.Lawn, 3, tid, false)
	packtest.ExpectBlob(t, target, zodbtest.Bushy, 4, tid, false)
	packtest.ExpectBlob(t, target, zodbtest.Bushy, 2, tid, true)
	listed(t, conn)
}

func TestABlobDirectoryWithoutALiveBlobIsRefusedBeforeAnythingIsDeleted(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, dir string){
		"empty: not mounted": func(t *testing.T, dir string) {},
		"another storage's": func(t *testing.T, dir string) {
			if err := zodbtest.NewBlobDir(dir, zodbtest.Bushy); err != nil {
				t.Fatal(err)
			}
			if err := zodbtest.WriteBlob(dir, zodbtest.Bushy, 2, 7, []byte("another storage's")); err != nil {
				t.Fatal(err)
			}
		},
		"a link": func(t *testing.T, dir string) {
			if err := os.Symlink("elsewhere", filepath.Join(dir, "0x00")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn, tid := packtest.NewAlbum(t, zodbtest.Bushy)
			wrong := target
			wrong.BlobDir = t.TempDir()
			spoil(t, wrong.BlobDir)
			dry := packtest.Everything
			dry.DryRun = true
			for _, o := range []pack.Options{packtest.Everything, dry} {
				_, err := pack.Run(t.Context(), wrong, o, packtest.Log(t))
				packtest.ExpectError(t, err, fault.ExitRefused, wrong.BlobDir, "none of 1 live blob ")
			}
			packtest.ExpectStored(t, conn, 0, 1, 2, 3, 4)
			// What a run without the directory has listed stays listed.
			wrong.BlobDir, spoil = "", nil
			packtest.Pack(t, wrong, packtest.Everything)
			wrong.BlobDir = t.TempDir()
			_, err := pack.Run(t.Context(), wrong, packtest.Everything, packtest.Log(t))
			packtest.ExpectError(t, err, fault.ExitRefused, wrong.BlobDir)
			listed(t, conn, 3, 4)
			packtest.Pack(t, target, packtest.Everything)
			packtest.ExpectBlob(t, target, zodbtest.Bushy, 3, tid, false)
			listed(t, conn)
		})
	}
}

func TestWithoutALiveBlobTheMarkerHasToDo(t *testing.T) {
	t.Parallel()
	target, conn, _ := packtest.NewAlbum(t, zodbtest.Bushy)
	packtest.Commit(t, conn, packtest.Links{1: nil})
	markLayout(t, target.BlobDir, "")
	if err := os.RemoveAll(zodbtest.ObjectDir(target.BlobDir, zodbtest.Bushy, 3)); err != nil {
		t.Fatal(err)
	}
	report := packtest.Pack(t, target, packtest.Everything)
	notes := strings.Join(report.Notes(), "\n")
	if report.BlobFiles.Waiting != 1 || !strings.Contains(notes, target.BlobDir) || strings.Contains(notes, "run relpack with the blob directory") {
		t.Errorf("%+v, notes %s", report.BlobFiles, notes)
	}
	listed(t, conn, 3)
	if err := zodbtest.NewBlobDir(target.BlobDir, zodbtest.Bushy); err != nil {
		t.Fatal(err)
	}
	if f := packtest.Pack(t, target, packtest.Everything).BlobFiles; f.Missed != 1 || f.Waiting != 0 {
		t.Errorf("%+v", f)
	}
	listed(t, conn, 3)
}

// The server has the last word, whatever the directory seemed to be.
func TestWhatWasNotFoundIsMissedOnlyByTheWordOfALiveBlob(t *testing.T) {
	t.Parallel()
	target, conn, tid := packtest.NewAlbum(t, zodbtest.Bushy)
	target.BlobDir = ""
	packtest.Pack(t, target, packtest.Everything)
	packtest.Run(t, conn, "SELECT relpack.try_pack_lock()")
	const notFound = "SELECT relpack.blobs_not_found('{3}', ARRAY[$1::bigint], $2::bigint[], $3::bigint[])"
	for _, proof := range []struct{ zoids, tids []int64 }{
		{[]int64{}, []int64{}}, {[]int64{2}, []int64{tid - 1}}, {[]int64{1}, []int64{tid}}, {[]int64{3}, []int64{tid}},
	} {
		if n := packtest.Get[int64](t, conn, notFound, tid, proof.zoids, proof.tids); n != 0 {
			t.Errorf("proof %v: %d rows struck off", proof, n)
		}
	}
	missed(t, conn)
	for _, c := range []struct {
		ago    string
		struck int64
	}{{"0", 0}, {"29 days 23 hours", 0}, {"30 days 1 hour", 1}} {
		packtest.Run(t, conn, "UPDATE relpack.blob_removal SET missed = missed - $1::interval WHERE zoid = 3", c.ago)
		if n := packtest.Get[int64](t, conn, notFound, tid, []int64{}, []int64{}); n != 0 {
			t.Errorf("%s, not proved: %d rows struck off", c.ago, n)
		}
		if n := packtest.Get[int64](t, conn, notFound, tid, []int64{9, 2}, []int64{9, tid}); n != c.struck {
			t.Errorf("%s: %d rows struck off", c.ago, n)
		}
		packtest.Run(t, conn, "UPDATE relpack.blob_removal SET missed = now() WHERE missed < now()")
	}
	missed(t, conn)
	listed(t, conn, 4)
}

func TestABlobBehindALinkIsSkippedAndNamedAndTheOthersGo(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{zodbtest.Bushy, zodbtest.Lawn} {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			target, conn, tid := packtest.NewAlbum(t, layout)
			place, outside := zodbtest.ObjectDir(target.BlobDir, layout, 3), filepath.Join(t.TempDir(), "moved")
			if err := os.Rename(place, outside); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(outside, place); err != nil {
				t.Fatal(err)
			}
			report := packtest.Pack(t, target, packtest.Everything)
			if notes := report.Notes(); !slices.ContainsFunc(notes, func(note string) bool {
				return strings.Contains(note, "blob 3") && strings.Contains(note, place+" is a symbolic link")
			}) {
				t.Errorf("notes %q", notes)
			}
			packtest.ExpectBlob(t, target, layout, 3, tid, true)
			packtest.ExpectBlob(t, target, layout, 4, tid, false)
			listed(t, conn, 3)
		})
	}
}

// Of the live blobs that are known, some may have lost their rows.
func TestALiveBlobWhoseRowVanishedHidesNoOther(t *testing.T) {
	t.Parallel()
	target, conn, tid := packtest.NewAlbum(t, zodbtest.Bushy)
	target.BlobDir = ""
	packtest.CommitRecords(t, conn, map[int64][]byte{0: packtest.Document(1, 9), 9: zodbtest.Record(zodbtest.Blob)})
	packtest.DryRun(t, target)
	packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = 2")
	packtest.DryRun(t, target)
	if live := packtest.Zoids(t, conn, "SELECT zoid FROM relpack.live_blobs(1)"); !slices.Equal(live, []int64{9}) {
		t.Errorf("live blobs: %v", live)
	}
	packtest.Run(t, conn, "INSERT INTO relpack.blob_removal VALUES (3, $1)", tid)
	packtest.Run(t, conn, "SELECT relpack.blobs_not_found('{3}', ARRAY[$1::bigint], '{}', '{}')", tid)
	missed(t, conn)
}

func TestBlobsAreInTheDatabaseWhereTheirChunksAre(t *testing.T) {
	t.Parallel()
	target, conn, tid := packtest.NewAlbum(t, zodbtest.Bushy)
	target.BlobDir = ""
	for _, zoid := range []int64{2, 3, 4} {
		if err := zodbtest.StoreBlobChunks(t.Context(), conn, zoid, tid, []byte("content")); err != nil {
			t.Fatal(err)
		}
	}
	packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = 4") // the triggers list it
	report := packtest.Pack(t, target, packtest.Everything)
	if notes := strings.Join(report.Notes(), "\n"); report.BlobFiles.Waiting != 0 || strings.Contains(notes, "blob directory") {
		t.Errorf("%+v, notes %s", report.BlobFiles, notes)
	}
	packtest.ExpectStored(t, conn, 0, 1, 2)
	listed(t, conn)
}

func TestOldChunksOfAStorageWithFilesProveNothing(t *testing.T) {
	t.Parallel()
	target, conn, tid := packtest.NewAlbum(t, zodbtest.Bushy)
	dir := target.BlobDir
	target.BlobDir = ""
	// Blob 2 was in the database once, in another revision; blob 3 still is.
	for zoid, revision := range map[int64]int64{2: tid - 1000, 3: tid} {
		if err := zodbtest.StoreBlobChunks(t.Context(), conn, zoid, revision, []byte("content")); err != nil {
			t.Fatal(err)
		}
	}
	packtest.Pack(t, target, packtest.Everything)
	listed(t, conn, 3, 4)
	target.BlobDir = dir
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectBlob(t, target, zodbtest.Bushy, 3, tid, false)
	listed(t, conn)
}
