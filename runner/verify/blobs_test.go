package verify_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"relpack/runner/fault"
	"relpack/runner/graph"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
	"relpack/runner/verify"
)

// expectDamage wants one kind of damage, told by exit code 4.
func expectDamage(t *testing.T, target target.Target, kind string, zoid int64) {
	t.Helper()
	report, err := verify.Run(t.Context(), target, packtest.VerifyOptions(true), packtest.Log(t))
	if fault.ExitCode(err) != fault.ExitRefused {
		t.Errorf("verify: %v", err)
	}
	if i := slices.IndexFunc(report.Findings, func(f graph.Finding) bool { return f.Kind == kind }); i < 0 ||
		report.Findings[i].Severity != "damage" || report.Findings[i].Objects != 1 || !slices.Equal(report.Findings[i].Zoids, []int64{zoid}) {
		t.Errorf("found %v, want %s of zoid %d", report.Findings, kind, zoid)
	}
}

func TestVerifyFindsALiveBlobWithoutItsFile(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{zodbtest.Bushy, zodbtest.Lawn} {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			target, conn, tid := packtest.NewAlbum(t, layout)
			packtest.Commit(t, conn, packtest.Links{1: {2, 3}})
			packtest.DryRun(t, target)
			packtest.ExpectSound(t, target)
			// What is unreachable needs no file; an older one is none.
			for _, zoid := range []int64{2, 4} {
				if err := os.Remove(zodbtest.BlobPath(target.BlobDir, layout, zoid, tid)); err != nil {
					t.Fatal(err)
				}
			}
			expectDamage(t, target, "blob_without_file", 2)
			unknown := target
			unknown.BlobDir = ""
			packtest.ExpectSound(t, unknown)
			report, err := verify.Run(t.Context(), unknown, packtest.VerifyOptions(false), packtest.Log(t))
			var text strings.Builder
			if err != nil || !report.BlobsUnchecked || report.Write(&text) != nil {
				t.Errorf("unchecked: %t, %v", report.BlobsUnchecked, err)
			}
			packtest.ExpectWords(t, text.String(), "blob files", "not checked: no blob directory is named")
			packtest.WriteBlob(t, target, layout, 2, tid)
			packtest.ExpectSound(t, target)
		})
	}
}

func TestVerifyFindsABlobOfWhichRevisionsLackTheirFiles(t *testing.T) {
	t.Parallel()
	a := packtest.NewHistoryAlbum(t, zodbtest.Bushy, true)
	packtest.PackWithGrace(t, a.Target, 5)
	packtest.ExpectSound(t, a.Target)
	for _, tid := range []int64{a.Second, a.Now} {
		if err := os.Remove(zodbtest.BlobPath(a.BlobDir, a.Layout, 2, tid)); err != nil {
			t.Fatal(err)
		}
	}
	expectDamage(t, a.Target, "blob_without_file", 2)
}

func TestABlobStoredWhileVerifyLooksIsNoFinding(t *testing.T) {
	t.Parallel()
	target, conn, tid := packtest.NewAlbum(t, zodbtest.Bushy)
	packtest.DryRun(t, target)
	if err := os.Remove(zodbtest.BlobPath(target.BlobDir, zodbtest.Bushy, 2, tid)); err != nil {
		t.Fatal(err)
	}
	fresh := packtest.CommitRecords(t, conn, map[int64][]byte{2: zodbtest.Record(zodbtest.Blob)})
	packtest.WriteBlob(t, target, zodbtest.Bushy, 2, fresh)
	packtest.ExpectSound(t, target)
}

func TestVerifyFindsALiveBlobWithoutItsLargeObject(t *testing.T) {
	t.Parallel()
	target, conn, gone := packtest.NewBrokenBlobs(t)
	packtest.Commit(t, conn, packtest.Links{1: {11, 12}})
	packtest.DryRun(t, target)
	expectDamage(t, target, "blob_without_large_object", 11)
	if report, _ := verify.Run(t.Context(), target, packtest.VerifyOptions(false), packtest.Log(t)); report.BlobsUnchecked {
		t.Error("blobs in the database were called unchecked")
	}
	if found := strings.Join(packtest.Lines(t, conn, "SELECT severity || ': ' || finding || ' ' || zoids::text FROM relpack.verify()"), "\n"); !strings.Contains(found, "large objects are gone {11}") {
		t.Errorf("relpack.verify(): %s", found)
	}
	packtest.Run(t, conn, "SELECT lo_create("+gone+")")
	packtest.ExpectSound(t, target)
}

func TestABlobDirectoryWithoutAnyLiveBlobIsTakenForTheWrongOne(t *testing.T) {
	t.Parallel()
	target, conn, _ := packtest.NewAlbum(t, zodbtest.Bushy)
	packtest.Commit(t, conn, packtest.Links{1: {2, 3}})
	packtest.DryRun(t, target)
	target.BlobDir = t.TempDir()
	_, err := verify.Run(t.Context(), target, packtest.VerifyOptions(false), packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "Mount "+target.BlobDir+", or name the right blob directory")
	target.BlobDir += "/gone"
	_, err = verify.Run(t.Context(), target, packtest.VerifyOptions(false), packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitFailure, target.BlobDir+" does not exist. Mount it or correct blob-dir")
}
