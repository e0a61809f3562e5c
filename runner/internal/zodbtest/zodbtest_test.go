package zodbtest_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pickle"
)

func TestMain(m *testing.M) {
	os.Exit(pgtest.Main(m, func(ctx context.Context, conn *pgx.Conn) error {
		return zodbtest.CreateStorage(ctx, conn, zodbtest.V42)
	}))
}

// The garbage that RelStorage's own zodbpack found in the sample, at each stage.
func TestTheOracleAgreesWithZodbpack(t *testing.T) {
	t.Parallel()
	conn := pgtest.NewDatabase(t).Connect(t)
	dir := filepath.Join(t.TempDir(), "blobs")
	check(t, zodbtest.LoadSmall(t.Context(), conn, dir))
	expectGarbage(t, conn, zodbtest.Small, 744)
	check(t, zodbtest.ApplyChanges(t.Context(), conn, zodbtest.Changes))
	expectGarbage(t, conn, zodbtest.Changes, 952)
	check(t, zodbtest.ApplyChanges(t.Context(), conn, zodbtest.MoreChanges))
	expectGarbage(t, conn, zodbtest.MoreChanges, 963)
	check(t, zodbtest.ExtractMoreBlobs(dir))
	files, err := filepath.Glob(filepath.Join(dir, "0x00/0x00/0x00/0x00/0x00/0x00/*/*/*.blob"))
	check(t, err)
	if len(files) != 72 {
		t.Errorf("%d blob files", len(files))
	}
}

func expectGarbage(t *testing.T, conn *pgx.Conn, stage string, count int) {
	t.Helper()
	refs, err := zodbtest.Load(t.Context(), conn)
	check(t, err)
	want, err := zodbtest.Garbage(stage)
	check(t, err)
	slices.Sort(want)
	if got := zodbtest.Unreachable(refs); !slices.Equal(got, want) || len(got) != count {
		t.Errorf("after %s: %d unreachable, want the %d listed", stage, len(got), len(want))
	}
}

func TestRecordsReferToWhatTheySay(t *testing.T) {
	t.Parallel()
	var s pickle.Scanner
	refs := []int64{1, 0x1a2b, 1<<63 - 1}
	for name, record := range map[string][]byte{
		"Record":           zodbtest.Record(zodbtest.Document, refs...),
		"PaddedRecord":     zodbtest.PaddedRecord(zodbtest.Document, 1000, refs...),
		"RecordPy2":        zodbtest.RecordPy2(zodbtest.Document, refs...),
		"Compressed":       zodbtest.Compressed(zodbtest.Record(zodbtest.Document, refs...)),
		"Compressed twice": zodbtest.Compressed(zodbtest.RecordPy2(zodbtest.Document, refs...)),
	} {
		if err := s.Scan(record); err != nil || !slices.Equal(s.Refs(), refs) {
			t.Errorf("%s: %v, %v", name, s.Refs(), err)
		}
	}
	for name, record := range map[string][]byte{
		"no reference":    zodbtest.Record(zodbtest.Blob),
		"weak references": zodbtest.WeakRecord(zodbtest.Document, refs...),
	} {
		if err := s.Scan(record); err != nil || len(s.Refs()) != 0 {
			t.Errorf("%s: %v, %v", name, s.Refs(), err)
		}
	}
	for name, record := range map[string][]byte{
		"Odd":       zodbtest.Odd(zodbtest.Document, refs...),
		"Encrypted": zodbtest.Encrypted(zodbtest.Record(zodbtest.Document, refs...)),
		"Truncated": zodbtest.Truncated(zodbtest.Record(zodbtest.Document, refs...)),
	} {
		if err := s.Scan(record); err == nil {
			t.Errorf("%s is read without an error", name)
		}
	}
}

func TestEveryVersionCommits(t *testing.T) {
	t.Parallel()
	for _, version := range []zodbtest.Version{zodbtest.V15, zodbtest.V21, zodbtest.V30, zodbtest.V35, zodbtest.V42} {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			conn := pgtest.NewDatabase(t).Connect(t)
			_, err := conn.Exec(t.Context(), "CREATE SCHEMA other; SET search_path = other")
			check(t, err)
			check(t, zodbtest.CreateStorage(t.Context(), conn, version))
			first, err := zodbtest.CommitAs(t.Context(), conn, version, 0, map[int64][]byte{
				0: zodbtest.Record(zodbtest.Persistent, 1), 1: zodbtest.Record(zodbtest.Document), 2: nil})
			check(t, err)
			second, err := zodbtest.CommitAs(t.Context(), conn, version, 0, map[int64][]byte{1: nil})
			check(t, err)
			if second <= first || time.Since(zodbtest.TidTime(first)).Abs() > time.Hour {
				t.Errorf("tids %d, %d", first, second)
			}
			check(t, zodbtest.StoreBlobChunks(t.Context(), conn, 2, first, []byte("a"), []byte("b")))
			_, err = conn.Exec(t.Context(), "DELETE FROM object_state WHERE zoid = 2")
			check(t, err)
			var left int
			check(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_largeobject_metadata").Scan(&left))
			if left != 0 {
				t.Errorf("%d large objects are left", left)
			}
			stored, err := zodbtest.Stored(t.Context(), conn)
			check(t, err)
			if !slices.Equal(stored, []int64{0, 1}) {
				t.Errorf("stored: %v", stored)
			}
		})
	}
}

func TestAHistoryPreservingStorageCanBeCreated(t *testing.T) {
	t.Parallel()
	conn := pgtest.NewDatabase(t).Connect(t)
	_, err := conn.Exec(t.Context(), "CREATE SCHEMA other; SET search_path = other")
	check(t, err)
	check(t, zodbtest.CreateHistoryPreserving(t.Context(), conn))
}

func TestTidsAreTimes(t *testing.T) {
	t.Parallel()
	// The first commit of the sample.
	if got := zodbtest.TidTime(291941604408950732).Format(time.DateOnly); got != "2026-11-22" {
		t.Errorf("%s", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		moment := time.Unix(rapid.Int64Range(0, 5e9).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
		if back := zodbtest.TidTime(zodbtest.TimeTid(moment)); moment.Sub(back) < 0 || moment.Sub(back) > 15*time.Nanosecond {
			t.Fatalf("%v became %v", moment, back)
		}
		d := time.Duration(rapid.Int64Range(0, 60*24).Draw(t, "hours")) * time.Hour
		earlier := zodbtest.TidTime(zodbtest.TimeTid(moment) - zodbtest.Earlier(moment, d))
		if missed := moment.Add(-d).Sub(earlier).Abs(); missed > 30*time.Nanosecond {
			t.Fatalf("%s before %v is not %v", d, moment, earlier)
		}
	})
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
