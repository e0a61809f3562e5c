package pack_test

import (
	"strings"
	"testing"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
	"relpack/runner/verify"
)

// expectObjects tells which objects have to be left.
func expectObjects(t *testing.T, h zodbtest.History, when string, want ...int64) {
	t.Helper()
	got := packtest.Zoids(t, h.Conn, "SELECT DISTINCT zoid FROM object_state ORDER BY zoid")
	packtest.ExpectZoids(t, when, got, want)
	packtest.ExpectZoids(t, when+", in current_object", packtest.Zoids(t, h.Conn, "SELECT zoid FROM current_object ORDER BY zoid"), want)
}

func dryRun(t *testing.T, file target.Target, days float64) *pack.Report {
	t.Helper()
	o := trimDays(days)
	o.DryRun = true
	return packtest.Pack(t, file, o)
}

func TestWhatWasCutBeforeThePackTimeAndPastedIntoANewFolderStays(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(20), map[int64][]byte{0: page(1, 2), 1: page(), 2: page(3), 3: page(4), 4: page()})
	packtest.Pack(t, file, trimDays(15))
	store(t, h, daysAgo(10), map[int64][]byte{0: page(1)})
	store(t, h, daysAgo(2), map[int64][]byte{1: page(5), 5: page(2)})
	collect(t, file, h, 5, daysAgo(5))
	expectObjects(t, h, "pasted", 0, 1, 2, 3, 4, 5)
}

func TestADryRunToNowLeavesWhatALaterPackNeeds(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(20), map[int64][]byte{0: page(1, 2), 1: page(), 2: page(3), 3: page()})
	store(t, h, daysAgo(3), map[int64][]byte{0: page(1)})
	if report := dryRun(t, file, 0.1); report.Chosen.Objects != 2 || report.Trimmed.Revisions != 1 {
		t.Errorf("would delete %v, and trim %+v", report.Chosen, report.Trimmed)
	}
	collect(t, file, h, 7, daysAgo(7))
	expectObjects(t, h, "with a week's grace", 0, 1, 2, 3)
	collect(t, file, h, 0.1, daysAgo(0.1))
	expectObjects(t, h, "now", 0, 1)
	// Backwards there is nothing to do.
	store(t, h, daysAgo(0.05), map[int64][]byte{1: page()})
	collect(t, file, h, 7, daysAgo(7))
	expectObjects(t, h, "with a week's grace again", 0, 1)
}

func TestReferencesOfARevisionThatALaterOneNamesKeepWhatTheyReferTo(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	first := store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page(2), 2: page()})
	store(t, h, daysAgo(15), map[int64][]byte{1: page()})
	last := store(t, h, daysAgo(1), map[int64][]byte{1: page()})
	packtest.Run(t, h.Conn, "UPDATE object_state SET prev_tid = $1 WHERE zoid = 1 AND tid = $2", first, last)
	collect(t, file, h, 5, daysAgo(5))
	expectObjects(t, h, "named", 0, 1, 2)
	undo, err := h.BeginUndo(t.Context(), last, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := undo.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	collect(t, file, h, 0.5, daysAgo(0.5))
	expectObjects(t, h, "when the pack time has passed it", 0, 1)
}

func TestAllReferencesOfAnObjectThatWasSetBackCountWhoeverSetItBack(t *testing.T) {
	t.Parallel()
	for _, reported := range []bool{true, false} {
		file, h := newHistory(t, zodbtest.V42)
		first := store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page(2), 2: page(), 3: page(4), 4: page(), 5: page()})
		second := store(t, h, daysAgo(15), map[int64][]byte{1: page(), 3: page()})
		dryRun(t, file, 5) // the graph knows it otherwise
		if reported {
			if err := h.Restore(t.Context(), first, true, map[int64][]byte{1: page(2), 3: page(4)}, nil); err != nil {
				t.Fatal(err)
			}
		} else {
			packtest.Run(t, h.Conn, "UPDATE current_object SET tid = $1 WHERE zoid IN (1, 3)", first)
		}
		report := collect(t, file, h, -1, second+1<<40)
		expectObjects(t, h, "set back", 0, 1, 2, 3, 4)
		if report.Trimmed.LeftAlone != 2 {
			t.Errorf("%d objects were left alone", report.Trimmed.LeftAlone)
		}
		// Current again, by a commit.
		store(t, h, daysAgo(0.2), map[int64][]byte{1: page()})
		collect(t, file, h, -1, daysAgo(0))
		expectObjects(t, h, "when one was written again", 0, 1, 3, 4)
	}
}

func TestWhatAVanishedRowDetachedHasItsGrace(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(20), map[int64][]byte{0: page(), 1: page(2), 2: page()})
	store(t, h, daysAgo(19), map[int64][]byte{0: page(1)})
	packtest.Pack(t, file, trimDays(5))
	packtest.Run(t, h.Conn, `UPDATE object_state SET state = $1::bytea, state_size = length($1::bytea) WHERE zoid = 0`, page())
	packtest.Pack(t, file, trimDays(5))
	expectObjects(t, h, "within the grace of the event", 0, 1, 2)
	packtest.Pack(t, file, trimDays(-1))
	expectObjects(t, h, "without a grace", 0)
}

func TestARestoredRevisionIsReadAndTrimmedWhereverItIs(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page(), 2: page(3), 3: page()})
	store(t, h, daysAgo(10), map[int64][]byte{1: page()})
	dryRun(t, file, 5)
	// It refers to what was garbage, and is the newest up to the pack time.
	if err := h.Restore(t.Context(), daysAgo(8), false, map[int64][]byte{1: page(2)}, nil); err != nil {
		t.Fatal(err)
	}
	store(t, h, daysAgo(1), map[int64][]byte{1: page()})
	packtest.Pack(t, file, trimDays(5))
	expectObjects(t, h, "restored", 0, 1, 2, 3)
	if got := packtest.Get[int](t, h.Conn, "SELECT count(*) FROM object_state WHERE zoid = 1"); got != 2 {
		t.Errorf("%d revisions", got)
	}
}

func TestARecordThatCantBeDecodedBlocksAsLongAsItsRevisionIsKept(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: []byte("\x80\x03nonsense"), 2: page()})
	store(t, h, daysAgo(10), map[int64][]byte{1: page()})
	o := trimDays(15)
	report, err := pack.Run(t.Context(), file, o, packtest.Log(t))
	if fault.ExitCode(err) != fault.ExitRefused || !strings.Contains(fault.Message(err), "decode") {
		t.Fatalf("%v, %+v", err, report.Trimmed)
	}
	// A dry run judges at its own pack time.
	if report := dryRun(t, file, 5); report.Chosen.Objects != 1 {
		t.Errorf("would delete %v", report.Chosen)
	}
	collect(t, file, h, 5, daysAgo(5))
	expectObjects(t, h, "past it", 0, 1)
	store(t, h, daysAgo(1), map[int64][]byte{0: page(1), 1: []byte("\x80\x03nonsense"), 3: page()})
	if _, err := pack.Run(t.Context(), file, trimDays(0.1), packtest.Log(t)); fault.ExitCode(err) != fault.ExitRefused {
		t.Fatal(err)
	}
	if got := packtest.Get[int](t, h.Conn, "SELECT count(*) FROM object_state"); got != 3 {
		t.Errorf("the history was not trimmed: %d revisions", got)
	}
}

func TestADeletedObjectThatSomethingRefersToStays(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page(2), 2: page(), 3: page()})
	store(t, h, daysAgo(10), map[int64][]byte{1: nil, 3: nil})
	collect(t, file, h, 15, daysAgo(15))
	expectObjects(t, h, "before the deletion", 0, 1, 2, 3)
	report := collect(t, file, h, 5, daysAgo(5))
	expectObjects(t, h, "after it", 0, 1)
	if len(report.Problems) > 0 {
		t.Errorf("%+v", report.Problems)
	}
	// Nobody could load it before.
	_, err := verify.Run(t.Context(), file, packtest.VerifyOptions(false), packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "without a state", "1 (zoid 1)")
}

func TestAGraphFollowsATrimThatLeavesGarbage(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(20), map[int64][]byte{0: page(1, 2), 1: page(), 2: page(3), 3: page()})
	store(t, h, daysAgo(10), map[int64][]byte{0: page(1, 2), 1: nil, 2: page(4), 4: page()})
	packtest.Pack(t, file, trimDays(15))
	file.KeepsGarbage = true
	packtest.Pack(t, file, trimDays(5))
	expectObjects(t, h, "deleted objects go, garbage stays", 0, 2, 3, 4)
	file.KeepsGarbage = false
	// Rows that the graph knew went before it moved: their grace begins.
	if report := packtest.Pack(t, file, trimDays(5)); report.Damage.MissingCount > 0 {
		t.Errorf("%+v", report.Damage)
	}
	packtest.Pack(t, file, trimDays(-1))
	expectObjects(t, h, "garbage goes", 0, 2, 4)
}
