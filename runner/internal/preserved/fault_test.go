package preserved

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"relpack/runner/internal/pgtest"
)

// Histories that find nothing prove nothing: each mistake must be found by the history
// with its seed, or by one of the first RELPACK_FAULT_HISTORIES.
func TestEveryFaultIsFound(t *testing.T) {
	t.Parallel()
	most := uint64(pgtest.Number(t, "RELPACK_FAULT_HISTORIES", 0))
	if most == 0 {
		t.Skip("takes a minute: make histories sets RELPACK_FAULT_HISTORIES")
	}
	var next atomic.Int64
	var group sync.WaitGroup
	for range 2 {
		w := newWorker(t, func(w *worker) packer { return product{w} })
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(faults)); i = next.Add(1) - 1 {
				fault := faults[i]
				t.Run(fault.name, func(t *testing.T) {
					right, err := text(fault.in)
					if err != nil {
						t.Fatal(err)
					}
					wrong, err := text(fault.in, fault.parts...)
					if err != nil {
						t.Fatal(err)
					}
					switch seed := w.find(t, right, wrong, fault.seed, most); seed {
					case 0:
						t.Errorf("%s: not found by %d histories", fault.name, most)
					case fault.seed:
					default:
						t.Logf("%s: found by seed %d, not %d", fault.name, seed, fault.seed)
					}
				})
			}
		})
	}
	group.Wait()
}

// find is the seed of the first history that fails because of a mistake, and does not
// without it.
func (w *worker) find(t *testing.T, right, wrong string, first, most uint64) uint64 {
	t.Helper()
	w.everywhere(t, wrong)
	seed := w.findFrom(t, first, most)
	w.everywhere(t, right)
	if seed == 0 {
		return 0
	}
	if _, err := playSeed(t.Context(), w, seed); err != nil {
		t.Errorf("seed %d fails without the mistake: %v", seed, err)
	}
	return seed
}

// findFrom tries the first one first.
func (w *worker) findFrom(t *testing.T, first, most uint64) uint64 {
	t.Helper()
	for n := range most + 1 {
		seed := n
		if n == 0 {
			seed = first
		}
		if seed == 0 {
			continue
		}
		_, err := playSeed(t.Context(), w, seed)
		switch {
		case errors.As(err, &loss{}):
			t.Logf("seed %d: %v", seed, err)
			return seed
		case err != nil:
			t.Fatal(err)
		}
	}
	return 0
}

// Histories are played seldom: a function that was written anew is found here.
func TestEveryFaultIsOneOfTheServerCode(t *testing.T) {
	t.Parallel()
	for _, fault := range faults {
		if _, err := text(fault.in, fault.parts...); err != nil {
			t.Errorf("%s: %v", fault.name, err)
		}
	}
}
