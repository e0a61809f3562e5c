package pack_test

import (
	"testing"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
)

// A step that is called alone, in psql, must not make a graph current that nobody
// has compared, nor choose what is within the grace, nor lose what was reported.
func TestAStepOutOfTurnIsRefusedOrDoesNoHarm(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.DryRun(t, target)
	packtest.Run(t, conn, "SELECT relpack.try_pack_lock(), relpack.capture_watermark()")
	const state = "SELECT concat_ws(' ', graph, applied_tid, listed_tid) FROM relpack.storage"
	before := packtest.Get[string](t, conn, state)
	for _, graph := range []string{"current", "doubtful", "reshaping", "marking"} {
		packtest.Run(t, conn, "UPDATE relpack.storage SET graph = $1", graph)
		_, err := conn.Exec(t.Context(), "SELECT relpack.build_finish()")
		packtest.ExpectState(t, err, fault.StateRefused)
		if graph == "reshaping" {
			continue
		}
		_, err = conn.Exec(t.Context(), "SELECT relpack.reshape()")
		packtest.ExpectState(t, err, fault.StateRefused)
	}
	packtest.Run(t, conn, "UPDATE relpack.storage SET graph = 'current'")
	if after := packtest.Get[string](t, conn, state); after != before {
		t.Errorf("%s became %s", before, after)
	}
	_, err := conn.Exec(t.Context(), "SELECT relpack.doom_choose(9223372036854775807, true)")
	packtest.ExpectState(t, err, fault.StateRefused)
	packtest.Run(t, conn, "SELECT relpack.release_pack_lock()")
}

func TestWhatIsReportedIsNoticedByWhoeverTakesIt(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.DryRun(t, target)
	const noticed = "SELECT noticed_tid FROM relpack.storage"
	before := packtest.Get[int64](t, conn, noticed)
	packtest.Run(t, conn, "UPDATE object_state SET state = state WHERE zoid = 1")
	packtest.Run(t, conn, "SELECT relpack.try_pack_lock()")
	if !packtest.Get[bool](t, conn, "SELECT reported FROM relpack.capture_events()") || packtest.Get[int64](t, conn, noticed) <= before {
		t.Error("what was reported was not noticed")
	}
	packtest.Run(t, conn, "TRUNCATE object_state CASCADE")
	if !packtest.Get[bool](t, conn, "SELECT truncated FROM relpack.capture_events()") || packtest.Get[string](t, conn, "SELECT graph FROM relpack.storage") != "doubtful" {
		t.Error("a TRUNCATE was forgotten")
	}
	packtest.Run(t, conn, "SELECT relpack.release_pack_lock()")
}
