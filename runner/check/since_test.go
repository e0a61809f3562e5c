package check_test

import (
	"strings"
	"testing"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/program"
	"relpack/runner/internal/zodbtest"
)

// What nobody alive refers to any more has no content to lose.
func TestABlobThatWasCutOffSinceTheLastPackLacksNoLargeObject(t *testing.T) {
	t.Parallel()
	s, tid := withBlobs(t)
	s.BlobDir = ""
	for _, zoid := range []int64{2, 3} {
		if err := zodbtest.StoreBlobChunks(t.Context(), s.conn, zoid, tid, []byte("a")); err != nil {
			t.Fatal(err)
		}
	}
	program.Pack(t, s.DSN)
	packtest.Run(t, s.conn, "SELECT lo_unlink(chunk) FROM blob_chunk WHERE zoid = 3")
	packtest.CommitRecords(t, s.conn, map[int64][]byte{1: record(2)})
	if r := s.check(t, fault.ExitDone); r.Outcome != "sound" || r.Blobs.LargeObjects != 0 {
		t.Errorf("%s %+v", r.Outcome, r.Blobs)
	}
	packtest.CommitRecords(t, s.conn, map[int64][]byte{1: record(3)})
	if r := s.check(t, fault.ExitRefused); r.Blobs.LargeObjects != 1 || len(r.Blobs.FirstLarge) != 1 || r.Blobs.FirstLarge[0].Zoid != 3 {
		t.Errorf("%s %+v", r.Outcome, r.Blobs)
	}
}

// What an object refers to that was mended, or cut off, is known again.
func TestWhatCouldNotBeDecodedIsNoReasonToBeUncertainOnceItIsMendedOrCutOff(t *testing.T) {
	t.Parallel()
	for name, mended := range map[string]map[int64][]byte{"mended": {2: record(10)}, "cut off": {1: record(), 3: record()}} {
		objects := garden()
		objects[2] = zodbtest.Truncated(record(5, 6, 7))
		s := newEmpty(t)
		packtest.CommitRecords(t, s.conn, objects)
		s.tryPack(t)
		if r := s.check(t, fault.ExitRefused); !strings.Contains(r.Uncertain, "zoid 2 for instance") {
			t.Errorf("%s: %s", name, r.Uncertain)
		}
		packtest.CommitRecords(t, s.conn, mended)
		if r := s.check(t, fault.ExitDone); r.Outcome != "sound" || r.Uncertain != "" {
			t.Errorf("%s: %s: %s", name, r.Outcome, r.Uncertain)
		}
	}
}
