package verify_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/pack"
	"relpack/runner/verify"
)

func TestADoubtedGraphThatIsRightIsSoundWithANote(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.SetTriggers(t, conn, "DISABLE")
	packtest.SetTriggers(t, conn, "ENABLE ALWAYS")
	if notes := packtest.ExpectSound(t, target); !slices.Equal(notes, []string{"doubt"}) {
		t.Errorf("notes: %q", notes)
	}
	report, err := verify.Run(t.Context(), target, packtest.VerifyOptions(true), packtest.Log(t))
	if err != nil || report.Outcome != "mended" || len(report.Findings) > 0 {
		t.Errorf("repair: %s, %v, %v", report.Outcome, report.Findings, err)
	}
	if notes := packtest.ExpectSound(t, target); len(notes) > 0 {
		t.Errorf("notes: %q", notes)
	}
}

func TestADoubtedGraphIsComparedWithoutBeingBelieved(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.SetTriggers(t, conn, "DISABLE")
	packtest.Restore(t, conn, 2, 5, packtest.Document(10))
	packtest.SetTriggers(t, conn, "ENABLE ALWAYS")
	report, err := verify.Run(t.Context(), target, packtest.VerifyOptions(false), packtest.Log(t))
	if fault.ExitCode(err) != fault.ExitRefused {
		t.Errorf("verify: %v", err)
	}
	expectFinding(t, report.Findings, "other_than_stored", []int64{2})
}

func TestTriggersThatAreOffAreNotMendedByComparing(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Run(t, conn, "ALTER TABLE object_state DISABLE TRIGGER relpack_report_delete")
	for _, repair := range []bool{false, true} {
		_, err := verify.Run(t.Context(), target, packtest.VerifyOptions(repair), packtest.Log(t))
		packtest.ExpectError(t, err, fault.ExitRefused, "missing or disabled: relpack_report_delete", "relpack migrate up")
	}
	packtest.MigrateUp(t, target)
	if _, err := verify.Run(t.Context(), target, packtest.VerifyOptions(true), packtest.Log(t)); err != nil {
		t.Errorf("repair: %v", err)
	}
	packtest.ExpectSound(t, target)
}

func TestVerifyRefusesWhatItCantVerify(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.Commit(t, conn, packtest.Links{0: nil})
	_, err := verify.Run(t.Context(), target, packtest.VerifyOptions(true), packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "not built yet", "relpack pack")
	packtest.DryRun(t, target)
	packtest.Run(t, conn, "SELECT relpack.try_pack_lock()")
	_, err = verify.Run(t.Context(), target, packtest.VerifyOptions(false), packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitLocked, "another pack is running")
	packtest.Run(t, conn, "SELECT relpack.release_pack_lock()")
	packtest.Run(t, conn, "INSERT INTO relpack.write_event (kind, zoid, tid) VALUES ('deleted', 1, 1), ('deleted', 2, 1)")
	o := packtest.VerifyOptions(true)
	o.MaxEvents = 1
	_, err = verify.Run(t.Context(), target, o, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "more than 1 restored or deleted objects wait", "relpack pack")
	ctx, cancel := context.WithCancel(t.Context())
	report, err := verify.Run(ctx, target, duringVerify(1, cancel), packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitInterrupted, "interrupted. Nothing was changed; the next verification starts over")
	if report.Outcome != "interrupted" {
		t.Errorf("the outcome is %s", report.Outcome)
	}
	packtest.ExpectSound(t, target)
	packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = 0")
	_, err = verify.Run(t.Context(), target, packtest.VerifyOptions(true), packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "the storage is empty")
}

func TestAStateThatCantBeDecodedAnyMoreIsFoundAndStopsThePack(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Unnoticed(t, conn, packtest.Rewrite, 2, packtest.Opaque["truncated"])
	report, err := verify.Run(t.Context(), target, packtest.VerifyOptions(false), packtest.Log(t))
	if fault.ExitCode(err) != fault.ExitRefused {
		t.Errorf("verify: %v", err)
	}
	expectFinding(t, report.Findings, "other_problem", []int64{2})
	// The graph is mended, the state isn't.
	report, err = verify.Run(t.Context(), target, packtest.VerifyOptions(true), packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "reachable objects can't be decoded", "zoid 2", "Restore these objects")
	if got := packtest.Kinds(report.Findings); !slices.Equal(got, []string{"undecodable"}) {
		t.Errorf("after the repair: %q", got)
	}
	_, err = pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "zoid 2")
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
}

// A repair that is cut off anywhere leaves a graph that the next one mends.
func TestARepairThatCrashesAnywhereIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	for n := int64(1); ; n += 5 {
		packtest.Unnoticed(t, conn, packtest.Rewrite, 2, packtest.Document(10+n%3))
		for _, name := range []string{"a live object detached above others", "garbage that hangs on itself"} {
			packtest.Spoilt[name].Spoil(t, conn)
		}
		last := packtest.Crash(t, target, int(n), func(ctx context.Context, log *slog.Logger) error {
			_, err := verify.Run(ctx, target, packtest.VerifyOptions(true), log)
			return err
		})
		report, err := verify.Run(t.Context(), target, packtest.VerifyOptions(true), packtest.Log(t))
		if err != nil || len(report.Findings) > 0 {
			t.Fatalf("after a crash at statement %d, %s: %v, %v", n, last, report.Findings, err)
		}
		packtest.ExpectExact(t, conn)
		if last == "" {
			t.Logf("all of a repair's %d statements", n)
			break
		}
	}
}
