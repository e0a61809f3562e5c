package blobs_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
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

// inAlbum makes a storage with a blob 2 that lives and a blob 3 that doesn't,
// whose files lie in a directory that others may use as well.
func inAlbum(t *testing.T, dir string, tid int64, three ...int64) (target.Target, *pgx.Conn) {
	t.Helper()
	target, conn := packtest.NewStorage(t)
	target.BlobDir = dir
	records := packtest.Links{0: {1}, 1: append([]int64{2}, three...)}.Records()
	for _, zoid := range []int64{2, 3} {
		records[zoid] = zodbtest.Record(zodbtest.Blob)
		packtest.WriteBlob(t, target, zodbtest.Bushy, zoid, tid)
	}
	if err := zodbtest.Commit(t.Context(), conn, tid, records); err != nil {
		t.Fatal(err)
	}
	return target, conn
}

func newBlobDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := zodbtest.NewBlobDir(dir, zodbtest.Bushy); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Both have blobs of the same oids, which only tids tell apart.
func TestALiveFileOfAnotherStorageInTheSameDirectoryStays(t *testing.T) {
	t.Parallel()
	tid := zodbtest.TimeTid(time.Now().Add(-time.Hour))
	for _, other := range []int64{tid - 1000, tid + 1000} {
		dir := newBlobDir(t)
		inAlbum(t, dir, other, 3)
		target, conn := inAlbum(t, dir, tid)
		report := packtest.Pack(t, target, packtest.Everything)
		packtest.ExpectBlob(t, target, zodbtest.Bushy, 2, other, true)
		packtest.ExpectBlob(t, target, zodbtest.Bushy, 3, other, true)
		packtest.ExpectBlob(t, target, zodbtest.Bushy, 2, tid, true)
		packtest.ExpectBlob(t, target, zodbtest.Bushy, 3, tid, false)
		listed(t, conn)
		if report.BlobFiles.Files != 1 || report.BlobFiles.Others != 1 {
			t.Errorf("%+v, want 1 file removed and 1 beside it", report.BlobFiles)
		}
		packtest.ExpectWords(t, strings.Join(report.Notes(), "\n"),
			"1 file of other revisions", "another storage", zodbtest.BlobPath(dir, zodbtest.Bushy, 3, other))
	}
}

// sharing is the section of a storage with a shared blob directory.
func sharing(name, adapter, dir string) string {
	return fmt.Sprintf("<zodb %s>\n<relstorage>\nshared-blob-dir true\nblob-dir %s\n%s\n</relstorage>\n</zodb>\n", name, dir, adapter)
}

func postgresql(dsn string) string { return "<postgresql>\ndsn " + dsn + "\n</postgresql>" }

// expectShared packs a file of which the second storage has garbage, and
// expects that everything is as it was.
func expectShared(t *testing.T, text string, target target.Target, conn *pgx.Conn, tid int64, words ...string) map[string]error {
	t.Helper()
	dry := packtest.Everything
	dry.DryRun = true
	var failed map[string]error
	for _, o := range []pack.Options{dry, packtest.Everything, packtest.Everything} {
		failed, _ = packtest.PackFile(t, text, o)
		packtest.ExpectError(t, failed["b"], fault.ExitRefused, append(words, "blob-dir of its own")...)
		packtest.ExpectBlob(t, target, zodbtest.Bushy, 3, tid, true)
		packtest.ExpectStored(t, conn, 0, 1, 2, 3)
	}
	return failed
}

func TestStoragesOfAFileThatShareABlobDirectoryAreRefused(t *testing.T) {
	t.Parallel()
	tid := zodbtest.TimeTid(time.Now().Add(-time.Hour))
	for name, again := range map[string]func(t *testing.T, dir string) string{
		"the same path": func(_ *testing.T, dir string) string { return dir },
		"another spelling": func(_ *testing.T, dir string) string {
			return filepath.Dir(dir) + "/./" + filepath.Base(dir) + "/"
		},
		"a link": func(t *testing.T, dir string) string {
			link := filepath.Join(t.TempDir(), "link")
			if err := os.Symlink(dir, link); err != nil {
				t.Fatal(err)
			}
			return link
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newBlobDir(t)
			first, _ := inAlbum(t, dir, tid-1000, 3)
			target, conn := inAlbum(t, dir, tid)
			third, _ := packtest.NewKin(t, "c")
			other := again(t, dir)
			text := sharing("a", postgresql(first.DSN), other) + sharing("b", postgresql(target.DSN), dir) +
				packtest.Section("c", third[0].Target.DSN)
			failed := expectShared(t, text, target, conn, tid, dir, "a uses it, too")
			packtest.ExpectError(t, failed["a"], fault.ExitRefused, other, "b uses it, too")
			// The others are packed: what the two refer to is known.
			packtest.ExpectFine(t, failed, "c")
			packtest.ExpectStored(t, third[0].Conn, 0, 1)
			if open := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.run WHERE outcome IS DISTINCT FROM 'refused'"); open != 0 {
				t.Errorf("%d runs did not end as refused", open)
			}
			if known := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.referred_by WHERE looked IS NULL"); known != 0 {
				t.Errorf("%d storages are known that were never read", known)
			}
		})
	}
}

func TestABlobDirectoryOfAStorageOutOfReachIsNotTakenForItsOwn(t *testing.T) {
	t.Parallel()
	tid := zodbtest.TimeTid(time.Now().Add(-time.Hour))
	for _, other := range []string{"<mysql>\n</mysql>", postgresql("host=/nonexistent dbname=main")} {
		dir := newBlobDir(t)
		target, conn := inAlbum(t, dir, tid)
		text := sharing("b", postgresql(target.DSN), dir) + sharing("a", other, dir)
		expectShared(t, text, target, conn, tid, dir, "a uses it, too")
	}
}

func TestSectionsOfOneDatabaseShareItsBlobDirectory(t *testing.T) {
	t.Parallel()
	tid := zodbtest.TimeTid(time.Now().Add(-time.Hour))
	dir := newBlobDir(t)
	target, conn := inAlbum(t, dir, tid)
	text := sharing("a", postgresql(target.DSN), dir) + sharing("b", postgresql(target.DSN+" application_name=again"), dir)
	failed, _ := packtest.PackFile(t, text, packtest.Everything)
	packtest.ExpectFine(t, failed, "a")
	packtest.ExpectError(t, failed["b"], fault.ExitRefused, "b is the same database as a")
	packtest.ExpectBlob(t, target, zodbtest.Bushy, 3, tid, false)
	packtest.ExpectStored(t, conn, 0, 1, 2)
}

// Where the file names no directory, its files stay: a run that prints no report says so.
func TestAFileThatNamesNoBlobDirectoryIsTold(t *testing.T) {
	t.Parallel()
	const says = `site.conf names no blob directory, and blobs of this storage are not in the database: files of deleted blobs stay listed. Add "shared-blob-dir true" and blob-dir.`
	album, conn, _ := packtest.NewAlbum(t, zodbtest.Bushy)
	text := packtest.Section("a", album.DSN)
	for _, o := range []struct{ dry, printed bool }{{true, false}, {true, true}, {false, false}} {
		said, options := new(bytes.Buffer), packtest.Everything
		options.DryRun, options.Printed = o.dry, o.printed
		failed, reports := packtest.PackFileLog(t, text, options, slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelError})))
		packtest.ExpectFine(t, failed, "a")
		if logged := strings.Contains(strings.ReplaceAll(said.String(), `\"`, `"`), says); logged == o.printed {
			t.Errorf("%+v: said %q", o, said)
		}
		if o.dry {
			packtest.ExpectWords(t, strings.Join(reports["a"].Notes(), "\n"), says)
		}
	}
	if packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.blob_removal") == 0 {
		t.Error("no file waits")
	}
	file := filepath.Join(t.TempDir(), "site.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	named, err := target.Targets(file, "", "")
	if err != nil {
		t.Fatal(err)
	}
	packtest.ExpectWords(t, packtest.Status(t, named[0]), "blobs wait to be removed: ", says)
}
