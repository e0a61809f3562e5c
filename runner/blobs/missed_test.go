package blobs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// missed wants these blobs to be noted as not there.
func missed(t *testing.T, conn *pgx.Conn, want ...int64) {
	t.Helper()
	packtest.ExpectZoids(t, "missed in relpack.blob_removal", packtest.Zoids(t, conn, "SELECT zoid FROM relpack.blob_removal WHERE missed IS NOT NULL ORDER BY zoid"), want)
}

// newMissed is a storage of which a pack has deleted 3 and 4, and did not find the file of 3.
func newMissed(t *testing.T, layout string) (target.Target, *pgx.Conn, int64, *pack.Report) {
	t.Helper()
	target, conn, tid := packtest.NewAlbum(t, layout)
	if err := os.Remove(zodbtest.BlobPath(target.BlobDir, layout, 3, tid)); err != nil {
		t.Fatal(err)
	}
	report := packtest.Pack(t, target, packtest.Everything)
	missed(t, conn, 3)
	listed(t, conn, 3)
	return target, conn, tid, report
}

func TestAListedFileThatIsNotThereStaysOnTheListUntilItIs(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{zodbtest.Bushy, zodbtest.Lawn} {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			target, conn, tid, report := newMissed(t, layout)
			for range 3 {
				f := report.BlobFiles
				path := zodbtest.BlobPath(target.BlobDir, layout, 3, tid)
				if f.Missed != 1 || f.Waiting != 0 || f.Why != "" || f.StruckOff != 0 || f.MissedSince == nil || !slices.Equal(f.MissedFiles, []string{path}) {
					t.Errorf("%+v", f)
				}
				notes := strings.Join(report.Notes(), "\n")
				packtest.ExpectWords(t, notes, "Not in the blob directory, but still listed: 1 file, since "+f.MissedSince.Local().Format("2006-01-02 15:04"), path, "looks again, for 30 days")
				if strings.Contains(notes, "remain") {
					t.Error(notes)
				}
				text, err := json.Marshal(report)
				if err != nil {
					t.Fatal(err)
				}
				packtest.ExpectWords(t, string(text), `"missed":1`, `"missed_since":"20`, `"missed_files":[`)
				packtest.ExpectWords(t, packtest.Status(t, target), "not in the directory, but still listed: 1 file, since "+f.MissedSince.Local().Format("2006-01-02 15:04"))
				if strings.Contains(packtest.Status(t, target), "wait to be removed") {
					t.Error(packtest.Status(t, target))
				}
				dry := packtest.DryRun(t, target)
				if f = dry.BlobFiles; f.Missed != 1 || f.Waiting != 0 || !slices.Equal(f.MissedFiles, []string{path}) {
					t.Errorf("%+v", f)
				}
				packtest.ExpectWords(t, strings.Join(dry.Notes(), "\n"), "still listed: 1 file, since")
				report = packtest.Pack(t, target, packtest.Everything)
			}
			packtest.WriteBlob(t, target, layout, 3, tid)
			if got := expectForetold(t, conn, target, -1); got.Files != 1 {
				t.Errorf("%+v", got)
			}
			packtest.ExpectBlob(t, target, layout, 3, tid, false)
			packtest.ExpectBlob(t, target, layout, 2, tid, true)
			listed(t, conn)
		})
	}
}

// Who restores blobs puts the file there before the row.
func TestAFileThatCameBackStaysForTheGrace(t *testing.T) {
	t.Parallel()
	target, conn, tid, _ := newMissed(t, zodbtest.Bushy)
	packtest.WriteBlob(t, target, zodbtest.Bushy, 3, tid)
	old := time.Now().Add(-30 * 24 * time.Hour)
	if err := os.Chtimes(zodbtest.BlobPath(target.BlobDir, zodbtest.Bushy, 3, tid), old, old); err != nil { // as rsync -a
		t.Fatal(err)
	}
	if got := expectForetold(t, conn, target, 1); got.Files != 0 {
		t.Errorf("%+v", got)
	}
	report := packtest.PackWithGrace(t, target, 1)
	if f := report.BlobFiles; f.Waiting != 1 || f.Missed != 0 || f.MissedSince != nil {
		t.Errorf("%+v", f)
	}
	packtest.ExpectWords(t, strings.Join(report.Notes(), "\n"), "Files of 1 deleted blob remain: they were not there before, and came back within the grace")
	packtest.ExpectBlob(t, target, zodbtest.Bushy, 3, tid, true)
	missed(t, conn, 3)
	if got := expectForetold(t, conn, target, 0); got.Files != 1 {
		t.Errorf("%+v", got)
	}
	packtest.ExpectBlob(t, target, zodbtest.Bushy, 3, tid, false)
	listed(t, conn)
}

func TestWhatIsNotThereForThirtyDaysIsStruckOff(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ago   string
		stays bool
	}{{"29 days", true}, {"31 days", false}} {
		target, conn, _, _ := newMissed(t, zodbtest.Bushy)
		packtest.Run(t, conn, "UPDATE relpack.blob_removal SET missed = now() - $1::interval", c.ago)
		wrong := target
		wrong.BlobDir = t.TempDir()
		_, err := pack.Run(t.Context(), wrong, packtest.Everything, packtest.Log(t))
		packtest.ExpectError(t, err, fault.ExitRefused, wrong.BlobDir)
		packtest.Pack(t, withoutFiles(target), packtest.Everything)
		packtest.DryRun(t, target)
		listed(t, conn, 3)
		report := packtest.Pack(t, target, packtest.Everything)
		notes := strings.Join(report.Notes(), "\n")
		if c.stays {
			listed(t, conn, 3)
			continue
		}
		listed(t, conn)
		if f := report.BlobFiles; f.StruckOff != 1 || f.Missed != 0 || f.MissedSince != nil || len(f.MissedFiles) > 0 {
			t.Errorf("%+v", f)
		}
		packtest.ExpectWords(t, notes, "Off the list, after 30 days in which nothing was found in the blob directory: 1 file")
		if report = packtest.Pack(t, target, packtest.Everything); report.BlobFiles.StruckOff != 0 {
			t.Errorf("%+v", report.BlobFiles)
		}
	}
}

// It came back on the last day.
func TestWhatIsThereAgainAfterThirtyDaysIsRemoved(t *testing.T) {
	t.Parallel()
	target, conn, tid, _ := newMissed(t, zodbtest.Bushy)
	packtest.Run(t, conn, "UPDATE relpack.blob_removal SET missed = now() - interval '31 days'")
	packtest.WriteBlob(t, target, zodbtest.Bushy, 3, tid)
	if f := packtest.Pack(t, target, packtest.Everything).BlobFiles; f.Files != 1 || f.StruckOff != 0 {
		t.Errorf("%+v", f)
	}
	packtest.ExpectBlob(t, target, zodbtest.Bushy, 3, tid, false)
}

func TestAPackThatDoesNotKnowTheDirectoryTellsWhatWasMissed(t *testing.T) {
	t.Parallel()
	target, conn, _, _ := newMissed(t, zodbtest.Bushy)
	report := packtest.Pack(t, withoutFiles(target), packtest.Everything)
	if f := report.BlobFiles; f.Missed != 1 || f.Waiting != 0 || len(f.MissedFiles) > 0 {
		t.Errorf("%+v", f)
	}
	packtest.ExpectWords(t, strings.Join(report.Notes(), "\n"), "still listed: 1 file, since")
	missed(t, conn, 3)
}

func TestAMissedBlobThatIsRestoredKeepsItsFile(t *testing.T) {
	t.Parallel()
	for _, shift := range []int64{0, -1000, 1000} {
		for _, file := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d, file %t", shift, file), func(t *testing.T) {
				t.Parallel()
				target, conn, tid, _ := newMissed(t, zodbtest.Bushy)
				if file {
					packtest.WriteBlob(t, target, zodbtest.Bushy, 3, tid)
				}
				packtest.Restore(t, conn, 3, tid+shift, zodbtest.Record(zodbtest.Blob))
				packtest.Commit(t, conn, packtest.Links{1: {2, 3}})
				report := packtest.Pack(t, target, packtest.Everything)
				packtest.ExpectBlob(t, target, zodbtest.Bushy, 3, tid, file)
				if f := report.BlobFiles; f.Missed != 0 || f.Files != 0 || f.StruckOff != 0 {
					t.Errorf("%+v", f)
				}
				listed(t, conn)
			})
		}
	}
}

// Its row vanished, and is referred to again: it may be put back.
func TestTheFileOfAMissedBlobToWhichALiveObjectRefersStays(t *testing.T) {
	t.Parallel()
	target, conn, tid, _ := newMissed(t, zodbtest.Bushy)
	packtest.Restore(t, conn, 3, tid, zodbtest.Record(zodbtest.Blob))
	packtest.Commit(t, conn, packtest.Links{1: {2, 3}})
	packtest.DryRun(t, target)
	packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = 3")
	packtest.Run(t, conn, "UPDATE relpack.blob_removal SET missed = now() - interval '31 days'")
	packtest.WriteBlob(t, target, zodbtest.Bushy, 3, tid)
	for range 2 {
		if got := expectForetold(t, conn, target, -1); got.Files != 0 {
			t.Errorf("%+v", got)
		}
		if f := packtest.Pack(t, target, packtest.Everything).BlobFiles; f.Missed != 0 || f.Waiting != 0 {
			t.Errorf("%+v", f)
		}
		packtest.ExpectBlob(t, target, zodbtest.Bushy, 3, tid, true)
		listed(t, conn, 3)
	}
}

// The lock is taken in relpack.blobs_next(), the durable commit in relpack.commit_durably().
func TestLookingForMissedFilesAgainHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	target, conn, tid, _ := newMissed(t, zodbtest.Bushy)
	packtest.Run(t, conn, "INSERT INTO relpack.blob_removal (zoid, tid, missed) SELECT 100 + n, $1, now() FROM generate_series(1, 200) AS n", tid)
	for _, function := range []string{"blobs_next", "commit_durably"} {
		text := packtest.Get[string](t, conn, "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = $1", function)
		packtest.Run(t, conn, strings.Replace(text, "BEGIN", "BEGIN RAISE EXCEPTION 'called';", 1))
	}
	if f := packtest.Pack(t, target, packtest.Everything).BlobFiles; f.Missed != 201 || len(f.MissedFiles) != 10 {
		t.Errorf("%+v", f)
	}
	packtest.WriteBlob(t, target, zodbtest.Bushy, 3, tid)
	if _, err := pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t)); err == nil {
		t.Error("nothing asked whether a file may go")
	}
	packtest.ExpectBlob(t, target, zodbtest.Bushy, 3, tid, true)
}

func TestAListedFileOfAHistoryThatIsNotThereStaysOnTheListUntilItIs(t *testing.T) {
	t.Parallel()
	eachHistory(t, func(t *testing.T, a packtest.Album) {
		path := zodbtest.BlobPath(a.BlobDir, a.Layout, 2, a.First)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		var report *pack.Report
		for range 2 {
			report = packtest.PackWithGrace(t, a.Target, 5)
			if f := report.BlobFiles; f.Missed != 1 || f.Waiting != 0 || !slices.Equal(f.MissedFiles, []string{path}) {
				t.Errorf("%+v", f)
			}
		}
		if f := packtest.DryRun(t, a.Target).BlobFiles; f.Missed != 1 || f.Waiting != 0 {
			t.Errorf("%+v", f)
		}
		packtest.ExpectWords(t, packtest.Status(t, a.Target), "not in the directory, but still listed: 1 file, since")
		waitingBlobs(t, a, key(2, a.First))
		packtest.WriteBlob(t, a.Target, a.Layout, 2, a.First)
		expectForetold(t, a.Conn, a.Target, 0)
		a.Expect(t, 2, a.First, false)
		waitingBlobs(t, a)
	})
}

// Put back, and deleted again, it goes anew.
func TestAMissedRevisionThatIsPutBackKeepsItsFile(t *testing.T) {
	t.Parallel()
	eachHistory(t, func(t *testing.T, a packtest.Album) {
		path := zodbtest.BlobPath(a.BlobDir, a.Layout, 2, a.First)
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		packtest.PackWithGrace(t, a.Target, 5)
		if err := errors.Join(os.Rename(path+".away", path)); err != nil {
			t.Fatal(err)
		}
		putBack(t, a)
		packtest.PackWithGrace(t, a.Target, 25) // trims nothing more
		a.Expect(t, 2, a.First, true)
		waitingBlobs(t, a)
	})
}

func TestBlobsInTheDatabaseLeaveNothingMissed(t *testing.T) {
	t.Parallel()
	target, conn, tid, _ := newMissed(t, zodbtest.Bushy)
	target.BlobDir = ""
	if err := zodbtest.StoreBlobChunks(t.Context(), conn, 2, tid, []byte("content")); err != nil {
		t.Fatal(err)
	}
	if f := packtest.Pack(t, target, packtest.Everything).BlobFiles; f.Missed != 0 || f.Waiting != 0 {
		t.Errorf("%+v", f)
	}
	listed(t, conn)
}
