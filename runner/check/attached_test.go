package check_test

import (
	"strings"
	"testing"

	"relpack/runner/check"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/program"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/look"
)

// newAttached has garbage 10, which refers to what is broken below it: 11 refers to
// 99, which is not stored; 12 can't be decoded; 13 is a blob without a file, and with a
// large object that is gone; 15 refers to another database.
func newAttached(t *testing.T) storage {
	t.Helper()
	s, tid := withBlobs(t)
	packtest.CommitRecords(t, s.conn, map[int64][]byte{
		20: record(10), 10: record(11, 12, 13, 14), 11: record(99), 12: zodbtest.Odd(zodbtest.Document, 2),
		13: zodbtest.Record(zodbtest.Blob), 14: record(15, 20), 15: []byte(refersElsewhere)})
	if err := zodbtest.StoreBlobChunks(t.Context(), s.conn, 13, tid, []byte("a")); err != nil {
		t.Fatal(err)
	}
	program.Pack(t, s.DSN)
	packtest.Run(t, s.conn, "SELECT lo_unlink(chunk) FROM blob_chunk WHERE zoid = 13")
	return s
}

func TestWhatHangsOnGarbageThatWasAttachedAgainIsChecked(t *testing.T) {
	t.Parallel()
	s := newAttached(t)
	if r := s.check(t, fault.ExitDone); r.Outcome != "sound" || r.UndecodableGarbage != 1 || len(r.Foreign) > 0 {
		t.Errorf("garbage is broken: %+v", r)
	}
	// What garbage refers to is attached by nothing that is alive.
	packtest.CommitRecords(t, s.conn, map[int64][]byte{20: record(10, 12)})
	if r := s.check(t, fault.ExitDone); r.Outcome != "sound" {
		t.Errorf("garbage was written: %+v", r)
	}
	// 30 is new.
	packtest.CommitRecords(t, s.conn, map[int64][]byte{0: record(1, 30), 30: record(10)})
	for _, when := range []string{"since", "by a pack"} {
		r := s.check(t, fault.ExitRefused)
		if r.LostCount != 1 || r.Lost[0].Zoid != 99 || r.Lost[0].Holders != 1 || r.Lost[0].First[0].Name != "root.ref1.ref0.ref0.ref0" {
			t.Errorf("found %s: %+v", when, r.Lost)
		}
		if r.UndecodableCount != 1 || r.Undecodable[0].Name != "root.ref1.ref0.ref1" || r.UndecodableGarbage != 0 {
			t.Errorf("found %s: %+v, %d in garbage", when, r.Undecodable, r.UndecodableGarbage)
		}
		if r.Blobs.Missing != 1 || r.Blobs.Found != 2 || r.Blobs.First[0].Zoid != 13 || r.Blobs.LargeObjects != 1 || r.Blobs.FirstLarge[0].Zoid != 13 {
			t.Errorf("found %s: %+v", when, r.Blobs)
		}
		if len(r.Foreign) != 1 || r.Foreign[0].References != 1 || r.Foreign[0].First.Zoid != 15 {
			t.Errorf("found %s: %+v", when, r.Foreign)
		}
		s.tryPack(t)
	}
}

func TestMoreThatWasAttachedAgainThanIsLookedAtIsNotCalledSound(t *testing.T) {
	t.Parallel()
	s := newAttached(t)
	packtest.CommitRecords(t, s.conn, map[int64][]byte{0: record(1, 20)})
	r, err := s.checked(t, check.Options{Limits: look.Limits{Looked: 1}})
	if err != nil || r.Outcome != "uncertain" || !strings.Contains(r.Uncertain, `attached again`) || !strings.Contains(r.Uncertain, `"relpack pack --dry-run"`) {
		t.Errorf("%+v, %v", r, err)
	}
}

// Others than those that are looked at first may be alive, of many that refer to what is
// lost.
func TestWhatWasCutOffSinceTheLastPackMissesNothing(t *testing.T) {
	t.Parallel()
	objects := map[int64][]byte{0: record(1, 2), 2: record(), 3: zodbtest.Odd(zodbtest.Document, 2)}
	refs := []int64{3}
	for zoid := int64(100); zoid < 1200; zoid++ {
		objects[zoid], refs = record(99), append(refs, zoid)
	}
	objects[1] = record(refs...)
	s := newStorage(t, objects)
	if r := s.check(t, fault.ExitRefused); r.LostCount != 1 || r.Lost[0].Holders != 1100 || r.UndecodableCount != 1 {
		t.Errorf("%+v", r)
	}
	packtest.CommitRecords(t, s.conn, map[int64][]byte{0: record(2), 2: record(1150)})
	if r := s.check(t, fault.ExitRefused); r.LostCount != 1 || r.Lost[0].First[0].Name != "root.ref0.ref0.ref0" || r.UndecodableCount != 0 || r.UndecodableGarbage != 1 {
		t.Errorf("%+v", r)
	}
	packtest.CommitRecords(t, s.conn, map[int64][]byte{2: record()})
	if r := s.check(t, fault.ExitDone); r.Outcome != "sound" {
		t.Errorf("%+v", r)
	}
}
