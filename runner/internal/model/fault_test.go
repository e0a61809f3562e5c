package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/pgtest"
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
	histories := uint64(pgtest.Number(t, "RELPACK_FAULT_HISTORIES", 0))
	if histories == 0 {
		t.Skip("takes a minute: make histories sets RELPACK_FAULT_HISTORIES")
	}
	var next atomic.Int64
	var group sync.WaitGroup
	for range 3 {
		w := newModelWorker(t, true)
		for _, conn := range []*pgx.Conn{w.app, w.packer} {
			// Some mistakes make walks that never end, which is found too.
			packtest.Run(t, conn, "SET statement_timeout = '20s'")
		}
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

// Histories are played seldom: a function that was written anew is found here.
func TestEveryFaultIsOneOfTheServerCode(t *testing.T) {
	t.Parallel()
	w := &modelWorker{quick: true}
	for _, fault := range modelFaults {
		if _, err := w.function(fault.in, fault.parts...); err != nil {
			t.Errorf("%s: %v", fault.name, err)
		}
	}
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

// Who meets a failure is handed a few lines that play it again.
func TestAHistoryThatFailsIsShortenedToAScriptThatPlays(t *testing.T) {
	t.Parallel()
	fault := modelFaults[slices.IndexFunc(modelFaults, func(f modelFault) bool { return f.name == "new objects are not attached" })]
	spoil := func(w *modelWorker) {
		wrong, err := w.function(fault.in, fault.parts...)
		if err != nil {
			t.Fatal(err)
		}
		packtest.Run(t, w.app, wrong)
	}
	_, whole := searchHistories(t, spoil, fault.seed, 1, 1, false)
	_, short := searchHistories(t, spoil, fault.seed, 1, 1, true)
	if len(whole) == 0 || len(short) == 0 {
		t.Fatal("nothing failed")
	}
	failure := short[0]
	text := formatModelScript(failure.script)
	t.Logf("%v:\n%s", failure.err, text)
	if lines := strings.Count(text, "\n"); lines == 0 || lines > len(whole[0].script)/2 {
		t.Errorf("it has %d lines of %d", lines, len(whole[0].script))
	}
	script, err := parseModelScript(text + "\n# a comment\n")
	if err != nil {
		t.Fatal(err)
	}
	same := func(a, b modelWrite) bool { return a.zoid == b.zoid && sameContent(a.content, b.content) }
	if !slices.EqualFunc(script, failure.script, func(a, b modelStep) bool {
		return a.name() == b.name() && maps.Equal(a.args, b.args) && slices.EqualFunc(a.writes, b.writes, same)
	}) {
		t.Errorf("it reads as\n%s", formatModelScript(script))
	}
	for name := range modelMinimum {
		verb, kind, isStep := strings.Cut(name, ":")
		if step, err := parseModelStep(name); isStep && (err != nil || step.verb != verb || step.kind != kind) {
			t.Errorf("%s reads as %s: %v", name, step, err)
		}
	}
	w := newModelWorker(t, true)
	if err := playModelScript(t.Context(), w, script); err != nil {
		t.Errorf("it fails without the mistake: %v", err)
	}
	spoil(w)
	if err := playModelScript(t.Context(), w, script); err == nil {
		t.Error("it does not fail again")
	}
}
