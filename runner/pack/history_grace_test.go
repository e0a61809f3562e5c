package pack_test

import (
	"testing"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
)

// newCut is a storage in which 1 refers to 2 at first, and to nothing from the second
// revision on, where there is one.
func newCut(t *testing.T, second float64) (file target.Target, h zodbtest.History, first int64) {
	t.Helper()
	file, h = newHistory(t, zodbtest.V42)
	first = store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page(2), 2: page()})
	if second > 0 {
		store(t, h, daysAgo(second), map[int64][]byte{1: page()})
	}
	for _, days := range []float64{4, 3, 2, 1} {
		store(t, h, daysAgo(days), map[int64][]byte{0: page(1)})
	}
	return file, h, first
}

func restoreCut(t *testing.T, h zodbtest.History, days float64) {
	t.Helper()
	if err := h.Restore(t.Context(), daysAgo(days), true, map[int64][]byte{1: page()}, nil); err != nil {
		t.Fatal(err)
	}
}

// As long as the pack time is before it, an old revision refers to what it cut off.
func TestWhatARestoreCutsOffHasAGraceWhenThatTakesEffectLater(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]func(*testing.T, target.Target){
		"at once":                       func(*testing.T, target.Target) {},
		"after an earlier dry run":      func(t *testing.T, file target.Target) { dryRun(t, file, 17) },
		"after an earlier pack":         func(t *testing.T, file target.Target) { packtest.Pack(t, file, trimDays(17)) },
		"after a dry run, and that one": func(t *testing.T, file target.Target) { dryRun(t, file, 5); dryRun(t, file, 17) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file, h, _ := newCut(t, 0)
			packtest.Pack(t, file, trimDays(17))
			restoreCut(t, h, 15)
			first(t, file)
			packtest.Pack(t, file, trimDays(5))
			expectObjects(t, h, "restored a moment ago", 0, 1, 2)
		})
	}
}

// Today's pack goes up to six days ago, and tomorrow's further.
func TestWhatIsCutOffByHandHasAGraceTheNextDay(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(t *testing.T) (target.Target, zodbtest.History){
		"restored": func(t *testing.T) (target.Target, zodbtest.History) {
			file, h, _ := newCut(t, 0)
			packtest.Pack(t, file, trimDays(6))
			restoreCut(t, h, 5.5)
			return file, h
		},
		"rewritten": func(t *testing.T) (target.Target, zodbtest.History) {
			file, h, _ := newCut(t, 0)
			tid := store(t, h, daysAgo(5.5), map[int64][]byte{1: page(2)})
			packtest.Pack(t, file, trimDays(6))
			packtest.Run(t, h.Conn, "UPDATE object_state SET state = $2::bytea, state_size = length($2::bytea) WHERE zoid = 1 AND tid = $1", tid, page())
			return file, h
		},
		"set forward": func(t *testing.T) (target.Target, zodbtest.History) {
			file, h, first := newCut(t, 5.5)
			packtest.Run(t, h.Conn, "UPDATE current_object SET tid = $1 WHERE zoid = 1", first)
			packtest.Pack(t, file, trimDays(6))
			packtest.Run(t, h.Conn, forward, 1)
			return file, h
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file, h := cut(t)
			packtest.Pack(t, file, trimDays(6))
			packtest.Pack(t, file, trimDays(5))
			expectObjects(t, h, name+" a moment ago", 0, 1, 2)
		})
	}
}

// The commit names what was current then: it did not set the object forward.
func TestWhatIsSetForwardByHandHasAGraceThoughItIsWrittenAfterwards(t *testing.T) {
	t.Parallel()
	file, h, first := newCut(t, 15)
	packtest.Run(t, h.Conn, "UPDATE current_object SET tid = $1 WHERE zoid = 1", first)
	packtest.Pack(t, file, trimDays(5))
	packtest.Run(t, h.Conn, forward, 1)
	store(t, h, 0, map[int64][]byte{1: page()})
	packtest.Pack(t, file, trimDays(5))
	expectObjects(t, h, "set forward a moment ago", 0, 1, 2)
}
