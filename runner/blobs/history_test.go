package blobs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// eachHistory does a test with a storage whose garbage is collected, and one whose is not.
func eachHistory(t *testing.T, test func(t *testing.T, a packtest.Album)) {
	t.Helper()
	for _, gc := range []bool{true, false} {
		t.Run(fmt.Sprintf("pack-gc %t", gc), func(t *testing.T) {
			t.Parallel()
			test(t, packtest.NewHistoryAlbum(t, zodbtest.Bushy, gc))
		})
	}
}

// withoutFiles is the storage as somebody packs it who does not know the directory.
func withoutFiles(t target.Target) target.Target {
	t.BlobDir = ""
	return t
}

func waitingBlobs(t *testing.T, a packtest.Album, want ...string) {
	t.Helper()
	got := packtest.Lines(t, a.Conn, "SELECT format('%s %s', zoid, tid) FROM relpack.blob_removal ORDER BY zoid, tid")
	if strings.Join(got, ",") != strings.Join(want, ",") {
		t.Errorf("listed in relpack.blob_removal: %q, want %q", got, want)
	}
}

func key(zoid, tid int64) string { return fmt.Sprintf("%d %d", zoid, tid) }

// reader opens a transaction that has seen what is stored.
func reader(t *testing.T, a packtest.Album) (end func()) {
	t.Helper()
	tx, err := packtest.Session(t, a.Target).BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := tx.QueryRow(t.Context(), "SELECT count(*) FROM object_state").Scan(&rows); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestAPackOfAHistoryRemovesTheFilesOfExactlyTheRevisionsThatItDeleted(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{zodbtest.Bushy, zodbtest.Lawn} {
		for _, gc := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, pack-gc %t", layout, gc), func(t *testing.T) {
				t.Parallel()
				a := packtest.NewHistoryAlbum(t, layout, gc)
				packtest.WriteBlob(t, a.Target, layout, 2, a.First-1000) // nobody knows whose that is
				report := packtest.PackWithGrace(t, a.Target, 5)
				a.Expect(t, 2, a.First, false)
				a.Expect(t, 2, a.First-1000, true)
				a.Expect(t, 2, a.Second, true)
				a.Expect(t, 2, a.Now, true)
				a.Expect(t, 3, a.First, !gc)
				a.Expect(t, 4, a.First, true)
				files := int64(1)
				if gc {
					files = 2
				}
				if f := report.BlobFiles; f.Files != files || f.Bytes != 7*files || f.Waiting != 0 || f.Why != "" || f.Others != 0 {
					t.Errorf("%+v, want %d files", f, files)
				}
				if got := packtest.Get[int64](t, a.Conn, "SELECT blob_files FROM relpack.run"); got != files {
					t.Errorf("relpack.run has %d files", got)
				}
				var text strings.Builder
				if err := report.Write(&text); err != nil {
					t.Error(err)
				}
				packtest.ExpectWords(t, text.String(), fmt.Sprintf("%d removed, %d B", files, 7*files))
				waitingBlobs(t, a)
			})
		}
	}
}

func TestAFileOfAHistoryStaysAsLongAsATransactionIsOpenThatMayReadIt(t *testing.T) {
	t.Parallel()
	eachHistory(t, func(t *testing.T, a packtest.Album) {
		end := reader(t, a)
		packtest.ExpectWords(t, foretold(t, a.Target, 5), "A pack leaves the files of what it deletes: a transaction is open that began before", "pid")
		report := packtest.PackWithGrace(t, a.Target, 5)
		if report.Trimmed.Revisions == 0 {
			t.Fatal("nothing was trimmed")
		}
		a.Expect(t, 2, a.First, true)
		if f := report.BlobFiles; f.Files != 0 || f.Waiting == 0 {
			t.Errorf("%+v", f)
		}
		packtest.ExpectWords(t, strings.Join(report.Notes(), "\n"), "Files of", "remain", "transaction is open that began before", "pid")
		later := reader(t, a) // which sees that it is gone
		packtest.PackWithGrace(t, a.Target, 5)
		a.Expect(t, 2, a.First, true)
		end()
		packtest.PackWithGrace(t, a.Target, 5)
		a.Expect(t, 2, a.First, false)
		later()
		packtest.PackWithGrace(t, a.Target, 5)
		a.Expect(t, 2, a.Second, true)
		waitingBlobs(t, a)
	})
}

func TestARevisionThatIsDeletedAnewWaitsForThoseWhoSawItMeanwhile(t *testing.T) {
	t.Parallel()
	a := packtest.NewHistoryAlbum(t, zodbtest.Bushy, false)
	packtest.PackWithGrace(t, withoutFiles(a.Target), 5)
	waitingBlobs(t, a, key(2, a.First))
	putBack(t, a)
	end := reader(t, a)
	report := packtest.PackWithGrace(t, a.Target, 5)
	if report.Trimmed.Revisions != 1 {
		t.Fatalf("%+v", report.Trimmed)
	}
	a.Expect(t, 2, a.First, true)
	end()
	packtest.PackWithGrace(t, a.Target, 5)
	a.Expect(t, 2, a.First, false)
}

func TestARevisionRestoredWhileItsFileIsAboutToGoKeepsIt(t *testing.T) {
	t.Parallel()
	eachHistory(t, func(t *testing.T, a packtest.Album) {
		o := packtest.Before("remove blob files", func() { a.PutBack(t, 2, a.First) })
		o.Days = 5
		packtest.Pack(t, a.Target, o)
		a.Expect(t, 2, a.First, true)
		waitingBlobs(t, a)
	})
}

func TestFilesOfAHistoryWaitForARunThatKnowsTheirDirectory(t *testing.T) {
	t.Parallel()
	eachHistory(t, func(t *testing.T, a packtest.Album) {
		report := packtest.PackWithGrace(t, withoutFiles(a.Target), 5)
		if report.BlobFiles.Waiting == 0 {
			t.Errorf("%+v", report.BlobFiles)
		}
		packtest.ExpectWords(t, strings.Join(report.Notes(), "\n"), "run relpack with the blob directory")
		packtest.ExpectWords(t, packtest.Status(t, withoutFiles(a.Target)), fmt.Sprintf("those of %d revision", report.BlobFiles.Waiting), "to be removed")
		a.Expect(t, 2, a.First, true)
		later := reader(t, a)
		defer later()
		packtest.PackWithGrace(t, a.Target, 5)
		a.Expect(t, 2, a.First, false)
		waitingBlobs(t, a)
	})
}

func TestFilesOfAHistoryStayListedWhenAnotherDirectoryIsInItsPlace(t *testing.T) {
	t.Parallel()
	eachHistory(t, func(t *testing.T, a packtest.Album) {
		other := a.Target
		other.BlobDir = t.TempDir()
		if err := zodbtest.NewBlobDir(other.BlobDir, zodbtest.Bushy); err != nil {
			t.Fatal(err)
		}
		packtest.WriteBlob(t, other, zodbtest.Bushy, 2, a.First) // a copy's, left by somebody
		report, err := pack.Run(t.Context(), other, daysOf(5), packtest.Log(t))
		packtest.ExpectRefusal(t, err, "it holds the files of none of", "No file was removed")
		if report.Trimmed.Revisions == 0 {
			t.Error("nothing was trimmed")
		}
		packtest.ExpectBlob(t, other, zodbtest.Bushy, 2, a.First, true)
		packtest.PackWithGrace(t, a.Target, 5)
		a.Expect(t, 2, a.First, false)
		a.Expect(t, 2, a.Now, true)
	})
}

// foretold is what a dry run notes that finds files to remove.
func foretold(t *testing.T, target target.Target, days float64) string {
	t.Helper()
	o := daysOf(days)
	o.DryRun = true
	report := packtest.Pack(t, target, o)
	if report.WouldGo.Files == 0 {
		t.Errorf("%+v", report.WouldGo)
	}
	return strings.Join(report.Notes(), "\n")
}

func daysOf(days float64) pack.Options {
	o := packtest.Everything
	o.Days = days
	return o
}

func TestAnEmptyFolderIsNotTakenForADirectoryOfAHistoryWithoutBlobs(t *testing.T) {
	t.Parallel()
	a := packtest.NewHistoryAlbum(t, zodbtest.Bushy, false)
	packtest.PackWithGrace(t, withoutFiles(a.Target), 5)
	// No object on the list is stored: nothing is there to look for.
	packtest.Run(t, a.Conn, "DELETE FROM current_object WHERE zoid = 2; DELETE FROM object_state WHERE zoid = 2")
	if err := os.RemoveAll(a.BlobDir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Clean(a.BlobDir), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dry := range []bool{true, false} {
		o := daysOf(5)
		o.DryRun = dry
		_, err := pack.Run(t.Context(), a.Target, o, packtest.Log(t))
		packtest.ExpectRefusal(t, err, "it is empty: not mounted", a.BlobDir)
	}
	waitingBlobs(t, a, key(2, a.First))
}

func TestWhoHasWrittenCantSayThatAHistoryHasLostABlobForGood(t *testing.T) {
	t.Parallel()
	a := packtest.NewHistoryAlbum(t, zodbtest.Bushy, false)
	packer := packtest.Session(t, a.Target)
	packtest.Run(t, packer, "SELECT relpack.try_pack_lock()")
	err := pgx.BeginFunc(t.Context(), packer, func(tx pgx.Tx) error {
		packtest.Run(t, packer, "INSERT INTO relpack.blob_removal (zoid, tid) VALUES (2, 1)")
		_, err := tx.Exec(t.Context(), "SELECT relpack.blobs_stamp()")
		return err
	})
	packtest.ExpectState(t, err, fault.StateRefused)
	packtest.ExpectWords(t, err.Error(), "not committed yet")
	// Before that nobody may remove a file.
	packtest.Run(t, packer, "INSERT INTO relpack.blob_removal (zoid, tid) VALUES (2, $1)", a.First+1)
	next := "SELECT count(*) FROM relpack.blobs_next('{2}', ARRAY[$1::bigint])"
	if n := packtest.Get[int](t, packer, next, a.First+1); n != 0 {
		t.Error("a file may go before it is known when its row went")
	}
	packtest.Run(t, packer, "SELECT relpack.blobs_stamp()")
	if n := packtest.Get[int](t, packer, next, a.First+1); n != 1 {
		t.Error("a file may not go, though nobody reads it")
	}
}

// What the clock said then, it may say again.
func TestWhoBeganBeforeTheClockWasSetBackMayReadABlobStill(t *testing.T) {
	t.Parallel()
	a := packtest.NewHistoryAlbum(t, zodbtest.Bushy, false)
	end := reader(t, a)
	packtest.Run(t, a.Conn, "INSERT INTO relpack.blob_removal (zoid, tid) VALUES (2, $1)", a.First+1)
	packer := packtest.Session(t, a.Target)
	packtest.Run(t, packer, "SELECT relpack.try_pack_lock()")
	packtest.Run(t, a.Conn, `CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT pg_catalog.now() - interval ''1 hour'''`)
	body := packtest.Get[string](t, a.Conn, "SELECT pg_get_functiondef('relpack.blobs_stamp'::regproc)")
	packtest.Run(t, a.Conn, strings.ReplaceAll(body, "clock_timestamp()", "public.clock_timestamp()"))
	packtest.Run(t, packer, "SELECT relpack.blobs_stamp()")
	if n := packtest.Get[int](t, packer, "SELECT count(*) FROM relpack.blobs_next('{2}', ARRAY[$1::bigint])", a.First+1); n != 0 {
		t.Error("a file may go that a transaction reads")
	}
	end()
	if n := packtest.Get[int](t, packer, "SELECT count(*) FROM relpack.blobs_next('{2}', ARRAY[$1::bigint])", a.First+1); n != 1 {
		t.Error("a file may not go, though nobody reads it")
	}
}

func TestAHistoryWithBlobsInTheDatabaseHasNoFilesToRemove(t *testing.T) {
	t.Parallel()
	eachHistory(t, func(t *testing.T, a packtest.Album) {
		a.BlobDir, a.BlobsInDatabase = "", true
		if f := packtest.PackWithGrace(t, a.Target, 5).BlobFiles; f.Waiting != 0 || f.Why != "" {
			t.Errorf("%+v", f)
		}
		waitingBlobs(t, a)
	})
}

// What can't be decoded keeps garbage, not the history.
func TestFilesOfAHistoryGoThoughItsGarbageCantBeDeleted(t *testing.T) {
	t.Parallel()
	a := packtest.NewHistoryAlbum(t, zodbtest.Bushy, true)
	packtest.PackWithGrace(t, withoutFiles(a.Target), 30)
	a.Write(t, packtest.DaysAgo(0.5), map[int64][]byte{4: zodbtest.Encrypted(packtest.Document())})
	report, err := pack.Run(t.Context(), a.Target, daysOf(5), packtest.Log(t))
	packtest.ExpectRefusal(t, err, "can't be decoded")
	if report.BlobFiles.Files != 1 {
		t.Errorf("%+v", report.BlobFiles)
	}
	a.Expect(t, 2, a.First, false)
	a.Expect(t, 3, a.First, true)
	waitingBlobs(t, a)
}

func TestFilesOfAHistoryStayWhereOpenTransactionsCantBeSeen(t *testing.T) {
	t.Parallel()
	a := packtest.NewHistoryAlbum(t, zodbtest.Bushy, false)
	role := packtest.NewRole(t, a.Conn)
	for _, grant := range packtest.Lines(t, a.Conn, "SELECT DISTINCT remedy FROM relpack.missing_privilege('"+role+"')") {
		packtest.Run(t, a.Conn, grant)
	}
	end := reader(t, a) // of another role
	packtest.ExpectWords(t, foretold(t, packtest.As(a.Target, role), -1), "A pack leaves the files of what it deletes: role "+role+" may not see")
	report := packtest.PackWithGrace(t, packtest.As(a.Target, role), -1)
	if report.Trimmed.Revisions != 3 || report.BlobFiles.Waiting != 2 {
		t.Errorf("%+v, %+v", report.Trimmed, report.BlobFiles)
	}
	packtest.ExpectWords(t, strings.Join(report.Notes(), "\n"), "Files of 2 deleted revisions remain: role "+role+" may not see")
	a.Expect(t, 2, a.First, true)
	end()
	packtest.PackWithGrace(t, packtest.As(a.Target, role), -1)
	a.Expect(t, 2, a.First, false)
	a.Expect(t, 2, a.Second, false)
	a.Expect(t, 2, a.Now, true)
}
