package check_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"relpack/migrations"
	"relpack/runner/check"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/program"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
)

// withBlobs has live blobs 2 and 3, and a dead one, 10, with their files.
func withBlobs(t *testing.T) (s storage, tid int64) {
	t.Helper()
	blob := zodbtest.Record(zodbtest.Blob)
	s = newStorage(t, map[int64][]byte{0: record(1), 1: record(2, 3), 2: blob, 3: blob, 10: blob})
	if err := s.conn.QueryRow(t.Context(), "SELECT max(tid) FROM object_state").Scan(&tid); err != nil {
		t.Fatal(err)
	}
	s.BlobDir = t.TempDir()
	if err := zodbtest.NewBlobDir(s.BlobDir, zodbtest.Bushy); err != nil {
		t.Fatal(err)
	}
	for _, zoid := range []int64{2, 3} {
		s.write(t, zoid, tid)
	}
	return s, tid
}

func (s storage) write(t *testing.T, zoid, tid int64) {
	t.Helper()
	if err := zodbtest.WriteBlob(s.BlobDir, zodbtest.Bushy, zoid, tid, []byte("content")); err != nil {
		t.Fatal(err)
	}
}

func TestALiveBlobWithoutItsFileIsToldAndADeadOneIsNot(t *testing.T) {
	t.Parallel()
	s, tid := withBlobs(t)
	if r := s.check(t, fault.ExitDone); !r.Blobs.Files || r.Blobs.Found != 2 {
		t.Errorf("%+v", r.Blobs)
	}
	if err := os.Remove(zodbtest.BlobPath(s.BlobDir, zodbtest.Bushy, 3, tid)); err != nil {
		t.Fatal(err)
	}
	r := s.check(t, fault.ExitRefused)
	if r.Blobs.Missing != 1 || len(r.Blobs.First) != 1 || r.Blobs.First[0].Name != "root.ref0.ref1" || !strings.Contains(r.Error, "1 live blob has no file") {
		t.Errorf("%+v: %s", r.Blobs, r.Error)
	}
	if text := s.broken(t, 3); !strings.Contains(text, "its file "+r.Blobs.First[0].Files[0].Path+" is not in the blob directory") || s.broken(t, 2) != "" {
		t.Errorf("why: %q", text)
	}
}

func TestABlobThatWasWrittenSinceTheLastPackIsLookedFor(t *testing.T) {
	t.Parallel()
	s, _ := withBlobs(t)
	blob := zodbtest.Record(zodbtest.Blob)
	// 3 has a new revision, 4 is new, 5 is new and garbage.
	tid, err := zodbtest.CommitNow(t.Context(), s.conn, map[int64][]byte{1: record(2, 3, 4), 3: blob, 4: blob, 5: blob})
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, 3, tid)
	r := s.check(t, fault.ExitRefused)
	if r.Blobs.Missing != 1 || r.Blobs.Found != 2 || r.Blobs.First[0].Zoid != 4 {
		t.Errorf("%+v", r.Blobs)
	}
	// What was cut off needs no file any more.
	packtest.CommitRecords(t, s.conn, map[int64][]byte{1: record(2, 3)})
	s.check(t, fault.ExitDone)
	if err := os.Remove(zodbtest.BlobPath(s.BlobDir, zodbtest.Bushy, 3, tid)); err != nil {
		t.Fatal(err)
	}
	s.check(t, fault.ExitRefused)
	packtest.CommitRecords(t, s.conn, map[int64][]byte{1: record(2)})
	s.check(t, fault.ExitDone)
}

func TestAnotherDirectoryIsNotTakenForLostFiles(t *testing.T) {
	t.Parallel()
	s, _ := withBlobs(t)
	s.BlobDir = t.TempDir()
	r := s.check(t, fault.ExitRefused)
	var text strings.Builder
	if err := r.Write(&text); err != nil || !strings.Contains(text.String(), "mount it") || r.Blobs.Found != 0 {
		t.Errorf("%v: %s", err, text.String())
	}
	s.BlobDir += "/nowhere"
	s.check(t, fault.ExitFailure)
}

func TestALiveBlobWithoutItsLargeObjectIsTold(t *testing.T) {
	t.Parallel()
	s, tid := withBlobs(t)
	s.BlobDir = ""
	for _, zoid := range []int64{2, 3, 10} {
		if err := zodbtest.StoreBlobChunks(t.Context(), s.conn, zoid, tid, []byte("a")); err != nil {
			t.Fatal(err)
		}
	}
	program.Pack(t, s.DSN)
	if r := s.check(t, fault.ExitDone); !r.Blobs.InDatabase || r.Blobs.LargeObjects != 0 {
		t.Errorf("%+v", r.Blobs)
	}
	packtest.Run(t, s.conn, "SELECT lo_unlink(chunk) FROM blob_chunk WHERE zoid IN (3, 10)")
	r := s.check(t, fault.ExitRefused)
	if r.Blobs.LargeObjects != 1 || r.Blobs.FirstLarge[0].Name != "root.ref0.ref1" {
		t.Errorf("%+v", r.Blobs)
	}
	if text := s.broken(t, 3); !strings.Contains(text, "its large object is gone") || s.broken(t, 2) != "" {
		t.Errorf("why: %q", text)
	}
}

func TestALiveBlobWithoutARowIsToldWhereBlobsAreInTheDatabase(t *testing.T) {
	t.Parallel()
	objects, refs := map[int64][]byte{0: record(1), 90: zodbtest.Record(zodbtest.Blob)}, []int64{}
	for zoid := int64(2); zoid < 22; zoid++ {
		objects[zoid], refs = zodbtest.Record(zodbtest.Blob), append(refs, zoid)
	}
	objects[1] = record(refs...)
	s := newStorage(t, objects)
	tid := packtest.Get[int64](t, s.conn, "SELECT max(tid) FROM object_state")
	for _, zoid := range refs {
		if err := zodbtest.StoreBlobChunks(t.Context(), s.conn, zoid, tid, []byte("a")); err != nil {
			t.Fatal(err)
		}
	}
	s.check(t, fault.ExitDone)
	packtest.Run(t, s.conn, "DELETE FROM blob_chunk WHERE zoid = 3")
	if r := s.check(t, fault.ExitRefused); r.Blobs.LargeObjects != 1 || r.Blobs.FirstLarge[0].Name != "root.ref0.ref1" {
		t.Errorf("%+v", r.Blobs)
	}
	packtest.Run(t, s.conn, "DELETE FROM blob_chunk WHERE zoid < 15")
	if r := s.check(t, fault.ExitDone); !r.Blobs.Needed {
		t.Errorf("%+v", r.Blobs)
	}
	s.BlobsInDatabase = true
	if r := s.check(t, fault.ExitRefused); r.Blobs.LargeObjects != 13 || len(r.Blobs.FirstLarge) != 5 {
		t.Errorf("%+v", r.Blobs)
	}
	if text := s.broken(t, 3); !strings.Contains(text, "it has no row in blob_chunk") || s.broken(t, 20) != "" {
		t.Errorf("why: %q", text)
	}
}

// The file says that blobs are in the database, or it shows, and the three who look agree.
func TestLiveBlobsWithoutRowsAreMissedByAllWhoLook(t *testing.T) {
	t.Parallel()
	objects, refs := map[int64][]byte{0: record(1)}, []int64{}
	for zoid := int64(2); zoid < 22; zoid++ {
		objects[zoid], refs = zodbtest.Record(zodbtest.Blob), append(refs, zoid)
	}
	objects[1] = record(refs...)
	s := newStorage(t, objects)
	tid := packtest.Get[int64](t, s.conn, "SELECT max(tid) FROM object_state")
	for _, zoid := range refs {
		if err := zodbtest.StoreBlobChunks(t.Context(), s.conn, zoid, tid, []byte("a")); err != nil {
			t.Fatal(err)
		}
	}
	config := filepath.Join(t.TempDir(), "site.conf")
	text := fmt.Sprintf("<relstorage>\nshared-blob-dir false\nblob-dir %s\n<postgresql>\ndsn %s\n</postgresql>\n</relstorage>\n", t.TempDir(), s.DSN)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	says := func(says map[string]string, storage ...string) {
		t.Helper()
		for command, words := range says {
			r := program.Run(t, append([]string{command}, storage...)...)
			packtest.ExpectWords(t, r.Stdout, words)
			if strings.Contains(r.Stdout, "not known") || strings.Contains(r.Stdout, "not checked") {
				t.Errorf("%s: %s", command, r.Stdout)
			}
		}
	}
	packtest.Run(t, s.conn, "DELETE FROM blob_chunk WHERE zoid = 3")
	few := map[string]string{"check": "1 live blob without one, or without a row in blob_chunk",
		"verify": "without a row in blob_chunk, where blobs are in the database: 1 (zoid 3)", "blobs": "1 live blob has no row in blob_chunk"}
	says(few, config)
	says(few, "--dsn", s.DSN)
	packtest.Run(t, s.conn, "DELETE FROM blob_chunk")
	says(map[string]string{"check": "20 live blobs without one, or without a row in blob_chunk",
		"verify": "without a row in blob_chunk, where blobs are in the database: 20 ", "blobs": "20 live blobs have no row in blob_chunk"}, config)
}

func TestLiveBlobsThatNobodyLookedForAreSaid(t *testing.T) {
	t.Parallel()
	s, _ := withBlobs(t)
	s.BlobDir = ""
	for _, file := range []*target.File{nil, {}} {
		s.File = file
		says := "--blob-dir"
		if file != nil {
			says = `add "shared-blob-dir true" and "blob-dir"`
		}
		for _, quiet := range []bool{false, true} {
			var log, text strings.Builder
			r, err := check.Storage(t.Context(), s.Target, check.Options{Migrations: migrations.Files, Quiet: quiet}, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError})))
			if err := errors.Join(err, r.Write(&text)); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(text.String(), "no file was looked for, though there are live blobs: ") || !strings.Contains(text.String(), says) ||
				strings.Contains(strings.ReplaceAll(log.String(), `\"`, `"`), says) != quiet {
				t.Errorf("%v %v: %s\n%s", file, quiet, text.String(), log.String())
			}
		}
	}
	packtest.CommitRecords(t, s.conn, map[int64][]byte{1: record()})
	program.Pack(t, s.DSN)
	r := s.check(t, fault.ExitDone)
	if r.Blobs.Why != "there is no live blob" {
		t.Errorf("%+v", r.Blobs)
	}
}

func TestOnlyAQuietCheckNamesTheCommandThatNamesThePlaces(t *testing.T) {
	t.Parallel()
	s := newStorage(t, map[int64][]byte{0: record(1)})
	for _, quiet := range []bool{false, true} {
		r, err := check.Storage(t.Context(), s.Target, check.Options{Migrations: migrations.Files, Quiet: quiet}, slog.New(slog.DiscardHandler))
		if fault.ExitCode(err) != fault.ExitRefused || strings.Contains(r.Error, "without --quiet") != quiet {
			t.Errorf("%v: %s", quiet, r.Error)
		}
	}
}

// Restored without relpack's data, for instance.
func TestWithoutTheGraphItIsNotKnownWhetherThereAreLiveBlobs(t *testing.T) {
	t.Parallel()
	s, _ := withBlobs(t)
	packtest.Spoil(t, s.conn, "DELETE FROM relpack.object; DELETE FROM relpack.object_inref")
	for _, dir := range []string{s.BlobDir, ""} {
		s.BlobDir = dir
		r := s.check(t, fault.ExitDone)
		var text strings.Builder
		if err := r.Write(&text); err != nil || r.Outcome != "uncertain" {
			t.Errorf("%v: %+v", err, r)
		}
		packtest.ExpectWords(t, text.String(), "whether there are live blobs is not known")
		if found := counts(t, r)["files_found"]; found != nil {
			t.Errorf("%q: %v files found", dir, found)
		}
	}
}
