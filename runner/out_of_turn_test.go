package runner

import (
	"testing"

	"relpack/runner/fault"
)

// A step that is called alone, in psql, must not make a graph current that nobody
// has compared, nor choose what is within the grace, nor lose what was reported.
func TestAStepOutOfTurnIsRefusedOrDoesNoHarm(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	dryRun(t, target)
	run(t, conn, "SELECT relpack.try_pack_lock(), relpack.capture_watermark()")
	const state = "SELECT concat_ws(' ', graph, applied_tid, listed_tid) FROM relpack.storage"
	before := get[string](t, conn, state)
	for _, graph := range []string{"current", "doubtful", "reshaping", "marking"} {
		run(t, conn, "UPDATE relpack.storage SET graph = $1", graph)
		_, err := conn.Exec(t.Context(), "SELECT relpack.build_finish()")
		expectState(t, err, fault.StateRefused)
		if graph == "reshaping" {
			continue
		}
		_, err = conn.Exec(t.Context(), "SELECT relpack.reshape()")
		expectState(t, err, fault.StateRefused)
	}
	run(t, conn, "UPDATE relpack.storage SET graph = 'current'")
	if after := get[string](t, conn, state); after != before {
		t.Errorf("%s became %s", before, after)
	}
	_, err := conn.Exec(t.Context(), "SELECT relpack.doom_choose(9223372036854775807, true)")
	expectState(t, err, fault.StateRefused)
	run(t, conn, "SELECT relpack.release_pack_lock()")
}

func TestWhatIsReportedIsNoticedByWhoeverTakesIt(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	dryRun(t, target)
	const noticed = "SELECT noticed_tid FROM relpack.storage"
	before := get[int64](t, conn, noticed)
	run(t, conn, "UPDATE object_state SET state = state WHERE zoid = 1")
	run(t, conn, "SELECT relpack.try_pack_lock()")
	if !get[bool](t, conn, "SELECT reported FROM relpack.capture_events()") || get[int64](t, conn, noticed) <= before {
		t.Error("what was reported was not noticed")
	}
	run(t, conn, "TRUNCATE object_state CASCADE")
	if !get[bool](t, conn, "SELECT truncated FROM relpack.capture_events()") || get[string](t, conn, "SELECT graph FROM relpack.storage") != "doubtful" {
		t.Error("a TRUNCATE was forgotten")
	}
	run(t, conn, "SELECT relpack.release_pack_lock()")
}
