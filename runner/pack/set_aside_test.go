package pack_test

import (
	"strings"
	"testing"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/pack"
)

func TestABlobWhoseLargeObjectIsGoneIsSetAsideAndTheRestGoes(t *testing.T) {
	t.Parallel()
	target, conn, gone := packtest.NewBrokenBlobs(t)
	o := packtest.Everything
	o.DryRun = true
	_, err := pack.Run(t.Context(), target, o, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "zoid 11", gone)
	for range 2 { // and again: it is named as long as it is there
		report, err := pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
		packtest.ExpectError(t, err, fault.ExitRefused, "1 unreachable object set aside", "zoid 11", "large object "+gone, "lo_create("+gone+")")
		if report.HeldBack.Objects != 1 || !strings.Contains(strings.Join(report.Notes(), "\n"), gone) {
			t.Errorf("%d set aside, notes %q", report.HeldBack.Objects, report.Notes())
		}
		packtest.ExpectStored(t, conn, 0, 1, 11)
		packtest.ExpectExact(t, conn)
	}
	if text := packtest.Status(t, target); !strings.Contains(text, "zoid 11 can't be deleted: large object "+gone) {
		t.Errorf("status:\n%s", text)
	}
	packtest.Run(t, conn, "SELECT lo_create("+gone+")")
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1)
	if text := packtest.Status(t, target); strings.Contains(text, "can't be deleted") {
		t.Errorf("status:\n%s", text)
	}
}

func TestWhatASetAsideObjectRefersToStays(t *testing.T) {
	t.Parallel()
	target, conn, _ := packtest.NewBrokenBlobs(t)
	// No blob of ZODB refers to anything; a row of blob_chunk may belong to what does.
	packtest.Commit(t, conn, packtest.Links{11: {12, 14}, 14: {15}, 15: {14}, 16: {15}})
	packtest.Commit(t, conn, packtest.Links{1: nil})
	_, err := pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "zoid 11")
	packtest.ExpectStored(t, conn, 0, 1, 11, 12, 14, 15)
	packtest.ExpectExact(t, conn)
}

func TestASetAsideObjectThatIsAttachedAgainIsInNobodysWay(t *testing.T) {
	t.Parallel()
	target, conn, _ := packtest.NewBrokenBlobs(t)
	_, err := pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "zoid 11")
	packtest.Commit(t, conn, packtest.Links{1: {11}})
	if report := packtest.Pack(t, target, packtest.Everything); report.HeldBack.Objects != 0 {
		t.Errorf("%d set aside", report.HeldBack.Objects)
	}
	packtest.ExpectStored(t, conn, 0, 1, 11)
}
