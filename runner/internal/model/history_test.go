package model

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"relpack/runner/internal/pgtest"
)

// A history has so many steps besides the last one, a pack without grace.
const modelSteps = 30

// Whatever happens to a storage, and wherever a run is cut short, a pack
// deletes what a full mark from the root would, within the grace. Histories
// are drawn from RELPACK_SEED on (default 1), RELPACK_HISTORIES of them; one
// that fails is shortened and printed. Write it to a file and name that in
// RELPACK_SCRIPT to play it again.
func TestEveryHistoryLeavesExactlyWhatAMarkFromTheRootWould(t *testing.T) {
	if file := os.Getenv("RELPACK_SCRIPT"); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		script, err := parseModelScript(string(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := playModelScript(t.Context(), newModelWorker(t, false), script); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Parallel()
	start := time.Now()
	histories, seed := pgtest.Number(t, "RELPACK_HISTORIES", 250), pgtest.Number(t, "RELPACK_SEED", 1)
	counts, failures := searchHistories(t, nil, uint64(seed), histories, 6, true)
	if len(failures) > 0 {
		t.Fatalf("%d histories failed", len(failures))
	}
	took := time.Since(start)
	t.Logf("%d histories of %d steps in %v, of seeds %d to %d", histories, modelSteps+1, took.Round(time.Millisecond), seed, seed+histories-1)
	logModelCounts(t, counts)
	if modelTroubled() > 3 {
		return // fewer of some kinds are drawn
	}
	for name, perThousand := range modelMinimum {
		// Few vary much, and seeds are new in each run.
		least := float64(histories) * float64(perThousand) / 1000
		if least -= 4 * math.Sqrt(least); float64(counts[name]) < least {
			t.Errorf("%s: %d times, at least %.0f are needed", name, counts[name], least)
		}
	}
}

// modelMinimum is how often each kind of step must occur in a thousand
// histories, so that a change of the generator can't lose one unnoticed.
var modelMinimum = map[string]int{
	"abandoned":             350,
	"altered beside a pack": 30, "read again": 25, "rewritten, and packed in the same run": 6,
	"ddl:note": 4, "ddl:retype": 4, "ddl:states": 20, "ddl:swap": 4, "ddl:vacuum": 4,
	"sweep of an altered table refused": 12,
	"accepted":                          10, "hole": 1000, "init refused": 15,
	"held by a key": 5, "keep:key": 15, "keep:release": 30, "keep:trigger": 15, "kept by a trigger": 20, "set aside": 1,
	"graph lost": 20, "lose:foreign_reference": 3, "lose:missing": 3, "lose:object": 10, "lose:object_inref": 10,
	"lose:pending": 6, "lose:problem": 6, "lose:suspect": 6, "lose:write_event": 3,
	"batch done": 900, "batch stale": 70, "batch swept": 1050,
	"between":         90,
	"build abandoned": 20, "build resumed": 15,
	"capped":                 15,
	"capture beside a write": 3,
	"close:commit":           100, "close:reader": 80, "close:restore": 100,
	"choice in a wrong graph refused": 300, "proof in a wrong graph": 120,
	"commit before the lock": 20, "commit:add": 2550, "commit:chain": 850, "commit:cut": 750,
	"commit:cycle": 1000, "commit:dangling": 250, "commit:dirt": 900, "commit:fan": 750, "commit:fill": 250,
	"commit:heal": 70, "commit:mass": 250, "commit:modify": 400, "commit:move": 600, "commit:regain": 600,
	"commit:rewrite": 350, "commit:self": 300, "commit:split": 550, "commit:swap": 300,
	"crash before build_begin": 1, "crash before build_step": 15,
	"crash before chunk": 85, "crash before capture_list": 3, "crash before doom": 15,
	"crash before reach_step": 70, "crash before scan": 10, "crash before storage": 2,
	"crash before reread": 4, "crash before sweep": 4, "crash before try_pack_lock": 1,
	"days a fraction": 150, "days negative": 2550, "days up to a tid": 350, "days whole": 45,
	"days zero":      100,
	"delete:garbage": 90, "delete:live": 300,
	"group torn":  90,
	"open:reader": 200,
	"pack:runner": 25, "pack:steps": 3300,
	"refused":       80,
	"reload:delete": 70, "reload:truncate": 95, "reload:untriggered": 100,
	"restored, off=1": 8, "restored, off=2": 6, "restored, off=3": 6, "restored, replica=1": 6,
	"restore:row":       550,
	"rootless:pack":     20,
	"runner abandoned":  2,
	"scan resumed":      4,
	"snapshot restored": 90, "snapshot:taken": 350,
	"sweep refused": 100, "sweep:beside": 350, "sweep:psql": 650,
}

func logModelCounts(t testing.TB, counts map[string]int) {
	t.Helper()
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, counts[name]))
	}
	t.Logf("steps: %s", strings.Join(parts, ", "))
}

type modelFailure struct {
	seed   uint64
	script []modelStep
	err    error
}

// modelFailures is how many histories fail before no more are played: a soak of
// many should tell of all that it meets.
const modelFailures = 10

// searchHistories plays histories in several databases at once, shortens each
// that fails, and prints it at once. prepare alters each database first.
func searchHistories(t testing.TB, prepare func(*modelWorker), seed uint64, histories int64, workers int, shorten bool) (map[string]int, []modelFailure) {
	t.Helper()
	var (
		next     atomic.Int64
		group    sync.WaitGroup
		mu       sync.Mutex
		failures []modelFailure
		counts   = map[string]int{}
	)
	for i := range min(workers, int(histories)) {
		w := newModelWorker(t, i > 0)
		if prepare != nil {
			prepare(w)
		}
		group.Go(func() {
			for {
				n := next.Add(1) - 1
				mu.Lock()
				over := n >= histories || len(failures) >= modelFailures
				mu.Unlock()
				if over {
					break
				}
				if n > 0 && n%1000 == 0 {
					t.Logf("%d histories so far", n)
				}
				start := time.Now()
				script, err := playModelSeed(t.Context(), w, seed+uint64(n))
				if err != nil && wasSetBack(start) {
					script, err = playModelSeed(t.Context(), w, seed+uint64(n))
				}
				if err == nil {
					continue
				}
				if w.lost() {
					// The server is gone, or ended its sessions: no script fails for that.
					t.Errorf("seed %d: a session ended: %v", seed+uint64(n), err)
					break
				}
				if shorten {
					t.Logf("seed %d fails: %v", seed+uint64(n), err)
					script, err = shortenModelScript(t.Context(), w, script, err)
					t.Logf("seed %d: %v\nRELPACK_SCRIPT plays this:\n%s", seed+uint64(n), err, formatModelScript(script))
				}
				mu.Lock()
				failures = append(failures, modelFailure{seed + uint64(n), script, err})
				mu.Unlock()
			}
			mu.Lock()
			defer mu.Unlock()
			for name, n := range w.counts {
				counts[name] += n
			}
		})
	}
	group.Wait()
	return counts, failures
}

// wasSetBack tells whether the machine's clock was set back since. The model
// asks it too, and takes no account of that.
func wasSetBack(since time.Time) bool {
	now := time.Now()
	return now.Round(0).Sub(since.Round(0)) < now.Sub(since)-time.Millisecond
}

// playModelSeed draws and plays a history; it returns what was played.
func playModelSeed(ctx context.Context, w *modelWorker, seed uint64) ([]modelStep, error) {
	h, err := beginHistory(ctx, w)
	if err != nil {
		return nil, err
	}
	g := newModelGenerator(seed, h)
	for i := range modelSteps {
		step := g.limits()
		if i > 0 {
			step = g.step()
		}
		if i > 0 && i < 5 {
			step = g.commit(pick(g, "add", "chain", "fan", "cycle"))
		}
		if err := h.play(ctx, step); err != nil {
			return h.script, errors.Join(err, h.end(ctx))
		}
	}
	err = h.play(ctx, modelStep{verb: "pack", kind: "steps", args: map[string]int64{"grace": -1, "chunk": 10000, "batch": 1000}})
	return h.script, errors.Join(err, h.end(ctx))
}

func playModelScript(ctx context.Context, w *modelWorker, script []modelStep) error {
	h, err := beginHistory(ctx, w)
	if err != nil {
		return err
	}
	for _, step := range script {
		if err := h.play(ctx, step); err != nil {
			return errors.Join(err, h.end(ctx))
		}
	}
	return h.end(ctx)
}

// modelPatience bounds the shortening.
const modelPatience = 20 * time.Second

// shortenModelScript leaves out steps, then writes, as long as what remains
// still fails.
func shortenModelScript(ctx context.Context, w *modelWorker, script []modelStep, failed error) ([]modelStep, error) {
	until := time.Now().Add(modelPatience)
	try := func(shorter []modelStep) bool {
		if len(shorter) == 0 || time.Now().After(until) {
			return false
		}
		err := playModelScript(ctx, w, shorter)
		if err != nil {
			script, failed = shorter, err
		}
		return err != nil
	}
	for size := len(script) / 2; size > 0; size /= 2 {
		for at := 0; at < len(script); {
			if !try(slices.Concat(script[:at], script[min(at+size, len(script)):])) {
				at += size
			}
		}
	}
	for i := range script {
		for j := 0; i < len(script) && j < len(script[i].writes); {
			shorter := slices.Clone(script)
			shorter[i].writes = slices.Delete(slices.Clone(script[i].writes), j, j+1)
			if !try(shorter) {
				j++
			}
		}
		for name := range maps.Clone(script[i].args) {
			shorter := slices.Clone(script)
			shorter[i].args = maps.Clone(script[i].args)
			if delete(shorter[i].args, name); script[i].verb != "limits" && name != "age" {
				try(shorter)
			}
		}
	}
	for size := 1; size > 0; size /= 2 {
		for at := 0; at < len(script); {
			if !try(slices.Concat(script[:at], script[min(at+size, len(script)):])) {
				at += size
			}
		}
	}
	return script, failed
}
