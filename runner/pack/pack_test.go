package pack_test

import (
	"slices"
	"testing"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
)

func TestSampleIsPackedAsZodbpackWould(t *testing.T) {
	t.Parallel()
	s := packtest.NewSample(t)
	all, files := packtest.Stored(t, s.Conn), packtest.Files(t, s.Target.BlobDir)
	report := packtest.DryRun(t, s.Target)
	packtest.ExpectZoids(t, "unreachable after a dry run", packtest.Zoids(t, s.Conn, "SELECT zoid FROM relpack.unreachable_object"), packtest.Garbage(t, zodbtest.Small))
	packtest.ExpectZoids(t, "stored after a dry run", packtest.Stored(t, s.Conn), all)
	if !slices.Equal(packtest.Files(t, s.Target.BlobDir), files) {
		t.Error("a dry run changed the blob directory")
	}
	if report.Chosen.Objects != int64(len(packtest.Garbage(t, zodbtest.Small))) {
		t.Errorf("%d objects would be deleted", report.Chosen.Objects)
	}
	s.ExpectPacked(zodbtest.Small, func() { s.Pack() })
	s.Change(zodbtest.Changes)
	s.ExpectPacked(zodbtest.Changes, func() {
		if report := s.Pack(); report.Deleted.Objects != 208 {
			t.Errorf("%d objects deleted after the changes, want 208", report.Deleted.Objects)
		}
	})
	s.Change(zodbtest.MoreChanges)
	s.ExpectPacked(zodbtest.MoreChanges, func() {
		report := s.Pack()
		if report.Deleted.Objects != 11 || report.Blobs == 0 || report.BlobFiles.Files < report.Blobs {
			t.Errorf("deleted %d objects, %d blobs, %d files after more changes, want 11 with their files",
				report.Deleted.Objects, report.Blobs, report.BlobFiles.Files)
		}
	})
}

func TestSampleIsPackedAllTheSameWhenItChangedBefore(t *testing.T) {
	t.Parallel()
	s := packtest.NewSample(t)
	s.Change(zodbtest.Changes)
	s.ExpectPacked(zodbtest.Changes, func() { s.Pack() })
	s.Change(zodbtest.MoreChanges)
	s.ExpectPacked(zodbtest.MoreChanges, func() { s.Pack() })

	s = packtest.NewSample(t)
	s.Change(zodbtest.Changes)
	s.Change(zodbtest.MoreChanges)
	s.ExpectPacked(zodbtest.MoreChanges, func() { s.Pack() })
}

// The server itself says whether a state is read: they are all stored out of
// line here, where it counts the blocks.
func TestAPackWithNothingNewReadsNoState(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	target.BlobDir = t.TempDir()
	packtest.Run(t, conn, "ALTER TABLE object_state ALTER state SET STORAGE EXTERNAL, SET (toast_tuple_target = 128, autovacuum_enabled = off)")
	packtest.LoadSmall(t, conn, target.BlobDir)
	s := &packtest.Sample{T: t, Target: target, Conn: conn}
	blocks := func() int64 {
		// Sessions hand in their counts when they end.
		packtest.UntilGone(t, conn)
		packtest.Run(t, conn, "SELECT pg_stat_force_next_flush()")
		return packtest.Get[int64](t, conn, "SELECT toast_blks_read + toast_blks_hit FROM pg_statio_user_tables WHERE relid = 'object_state'::regclass")
	}
	loaded := blocks()
	s.Pack()
	packed, all := blocks(), packtest.Stored(t, conn)
	if packed <= loaded {
		t.Fatalf("the first pack has read no state: %d blocks, %d before", packed, loaded)
	}
	report := s.Pack()
	if report.Scanned.Objects != 0 || report.Deleted.Objects != 0 {
		t.Errorf("scanned %d, deleted %d", report.Scanned.Objects, report.Deleted.Objects)
	}
	packtest.ExpectZoids(t, "stored", packtest.Stored(t, conn), all)
	again := blocks()
	if again != packed {
		t.Errorf("%d blocks with states were read", again-packed)
	}
	s.Change(zodbtest.Changes)
	changed := blocks()
	if report := s.Pack(); report.Scanned.Objects == 0 || blocks() <= changed {
		t.Error("no state was read after changes")
	}
}

// killedOnTheSample kills packs of each stage and goes on.
func killedOnTheSample(t *testing.T, program string) {
	s := packtest.NewSample(t)
	for i, stage := range []string{zodbtest.Small, zodbtest.Changes, zodbtest.MoreChanges} {
		if i > 0 {
			s.Change(stage)
		}
		s.ExpectPacked(stage, func() {
			for _, place := range []string{"relpack.scan_range", "relpack.object", "relpack.suspect", "object_state", "relpack.blob_removal"} {
				killAt(t, program, s.Target, s.Conn, place)
			}
			s.Pack()
		})
	}
}
