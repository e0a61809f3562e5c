package zodbgen

import (
	"slices"
	"testing"

	"relpack/runner/internal/zodbtest"
	"relpack/runner/pickle"
)

// graphOf decodes everything that a plan writes.
func graphOf(t testing.TB, p *Plan) map[int64][]int64 {
	t.Helper()
	refs := map[int64][]int64{}
	var s pickle.Scanner
	last := int64(-1)
	err := p.Write(func(zoid, tid int64, state []byte) error {
		if zoid != last+1 {
			t.Fatalf("object %d comes after %d", zoid, last)
		}
		last = zoid
		if err := s.Scan(state); err != nil {
			t.Fatalf("object %d: %v", zoid, err)
		}
		refs[zoid] = slices.Clone(s.Refs())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return refs
}

// One row of the highest tid stays, whatever it is: not all garbage would go.
func TestTheLastCommitIsOfALiveObject(t *testing.T) {
	t.Parallel()
	p := NewPlan(MinObjects, 1)
	var last, highest int64
	if err := p.Write(func(zoid, tid int64, _ []byte) error {
		if tid > highest {
			last, highest = zoid, tid
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, part := range p.garbageRanges() {
		if last >= part[0] && last < part[1] {
			t.Errorf("it is of object %d, which is garbage", last)
		}
	}
}

func TestTheGarbageIsWhatNothingReaches(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{MinObjects, 5000, 20_000} {
		for seed := range uint64(3) {
			p := NewPlan(size, seed)
			refs := graphOf(t, p)
			if int64(len(refs)) != size {
				t.Errorf("%d objects, seed %d: %d were written", size, seed, len(refs))
			}
			dangling := 0
			for _, targets := range refs {
				for _, to := range targets {
					if _, stored := refs[to]; !stored {
						dangling++
					}
				}
			}
			if dangling > 0 {
				t.Errorf("%d objects, seed %d: %d dangling references", size, seed, dangling)
			}
			got, want := slices.Collect(p.Garbage()), zodbtest.Unreachable(refs)
			if !slices.Equal(got, want) {
				t.Errorf("%d objects, seed %d: %d objects of garbage, %d are unreachable", size, seed, len(got), len(want))
			}
		}
	}
}

// mean is the mean and the highest level of the objects that can be reached.
func mean(level map[int64]int64) (float64, int64) {
	var sum, highest int64
	for _, l := range level {
		sum, highest = sum+l, max(highest, l)
	}
	return float64(sum) / float64(len(level)), highest
}

// A generator without this shape hid for long that it makes a difference.
func TestTheOldestReferrersMakeADeepTree(t *testing.T) {
	t.Parallel()
	for size, times := range map[int64]float64{50_000: 10, 200_000: 20} {
		refs := graphOf(t, NewPlan(size, 1))
		nearest, order := map[int64]int64{0: 0}, []int64{0}
		for i := 0; i < len(order); i++ {
			for _, to := range refs[order[i]] {
				if _, met := nearest[to]; !met {
					nearest[to] = nearest[order[i]] + 1
					order = append(order, to)
				}
			}
		}
		oldest := map[int64]int64{}
		for from := range nearest {
			for _, to := range refs[from] {
				if parent, met := oldest[to]; !met || from < parent {
					oldest[to] = from
				}
			}
		}
		delete(oldest, 0)
		level := map[int64]int64{0: 0}
		for zoid := range nearest {
			var way []int64
			for at := zoid; ; at = oldest[at] {
				if _, known := level[at]; known || len(way) > len(refs) {
					break
				}
				way = append(way, at)
			}
			for _, at := range slices.Backward(way) {
				level[at] = level[oldest[at]] + 1
			}
		}
		near, nearMost := mean(nearest)
		old, oldMost := mean(level)
		t.Logf("%d objects: %.1f levels on average and %d at most, by the oldest referrer %.1f and %d", size, near, nearMost, old, oldMost)
		if old < times*near {
			t.Errorf("%d objects: %.1f levels by the oldest referrer, %.1f breadth-first: less than %g times", size, old, near, times)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	p := NewPlan(200_000, 1)
	for b.Loop() {
		n := 0
		if err := p.Write(func(_, _ int64, state []byte) error { n += len(state); return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*200_000/b.Elapsed().Seconds(), "records/s")
}

func TestChangesCutOffWhatTheySay(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		p := NewPlan(20_000, seed)
		refs := graphOf(t, p)
		garbage := slices.Collect(p.Garbage())
		var s pickle.Scanner
		changes := p.Changes()
		for _, fraction := range []float64{0.0001, 0.001, 0.01, 0.1} {
			change := changes.Next(fraction)
			for zoid, state := range change.Rows {
				if err := s.Scan(state); err != nil {
					t.Fatalf("object %d: %v", zoid, err)
				}
				refs[zoid] = slices.Clone(s.Refs())
			}
			garbage = append(garbage, change.Garbage...)
			slices.Sort(garbage)
			if got := zodbtest.Unreachable(refs); !slices.Equal(got, garbage) {
				t.Fatalf("seed %d, after %g: %d unreachable, want %d", seed, fraction, len(got), len(garbage))
			}
			t.Logf("%g: %d rows, %d cut off", fraction, len(change.Rows), len(change.Garbage))
		}
	}
}
