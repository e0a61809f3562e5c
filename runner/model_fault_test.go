package runner

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// A modelFault is a mistake in the server code: in a function, each text is
// replaced by the one after it. The history drawn from its seed finds it; after
// a change of what is drawn, another one.
type modelFault struct {
	name  string
	in    string
	seed  uint64
	parts []string
}

// Histories that find nothing prove nothing: each mistake must be found by the
// history with its seed, or by one of the first RELPACK_FAULT_HISTORIES; and
// what finds it must find nothing where there is no mistake.
func TestEveryFaultIsFound(t *testing.T) {
	t.Parallel()
	histories := uint64(modelNumber(t, "RELPACK_FAULT_HISTORIES", 0))
	if histories == 0 {
		t.Skip("takes a minute: make histories sets RELPACK_FAULT_HISTORIES")
	}
	var next atomic.Int64
	var group sync.WaitGroup
	for range 3 {
		w := newModelWorker(t, true)
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(modelFaults)); i = next.Add(1) - 1 {
				fault := modelFaults[i]
				t.Run(fault.name, func(t *testing.T) {
					seed, err := fault.find(t, w, histories)
					switch {
					case err != nil:
						t.Error(err)
					case seed == 0:
						t.Errorf("not found by %d histories", histories)
					case seed != fault.seed:
						t.Logf("found by seed %d, not %d", seed, fault.seed)
					}
				})
			}
		})
	}
	group.Wait()
	t.Logf("%d faults", len(modelFaults))
}

// find is the seed of the first history that fails because of the mistake.
func (f modelFault) find(t *testing.T, w *modelWorker, histories uint64) (seed uint64, err error) {
	right, err := w.function(f.in)
	if err != nil {
		return 0, err
	}
	wrong, err := w.function(f.in, f.parts...)
	if err != nil {
		return 0, err
	}
	for n := range histories + 1 {
		seed := n
		if n%2 == 0 {
			seed = n / 2 * modelPlotted
		}
		if n == 0 {
			if seed = f.seed; seed == 0 {
				continue
			}
		}
		if _, err := w.app.Exec(t.Context(), wrong); err != nil {
			return 0, err
		}
		script, found := playModelSeed(t.Context(), w, seed)
		if _, err := w.app.Exec(t.Context(), right); err != nil {
			return 0, err
		}
		if found == nil {
			continue
		}
		if err := playModelScript(t.Context(), w, script); err != nil {
			return 0, fmt.Errorf("the history of seed %d fails without the mistake: %w", seed, err)
		}
		return seed, nil
	}
	return 0, nil
}
