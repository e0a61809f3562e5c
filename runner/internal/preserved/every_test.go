package preserved

import (
	"context"
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

// Histories are drawn from RELPACK_SEED on (default 1), RELPACK_HISTORIES of them; one
// that fails is shortened and printed. Write it to a file and name that in
// RELPACK_SCRIPT to play it again, with a fault of the list if RELPACK_FAULT names it.
func TestEveryPackOfAHistoryKeepsWhatTheRuleSays(t *testing.T) {
	relpack := func(w *worker) packer { return product{w} }
	if file := os.Getenv("RELPACK_SCRIPT"); file != "" {
		playFile(t, file, relpack)
		return
	}
	t.Parallel()
	everyHistory(t, relpack, 12)
}

// What the model takes for right is right for a pack that could not be simpler.
func TestEveryPackInPlainSQLKeepsWhatTheRuleSays(t *testing.T) {
	t.Parallel()
	everyHistory(t, newReference(t), 25, "file removed")
}

func playFile(t *testing.T, file string, packs func(*worker) packer) {
	t.Helper()
	lines, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	script, err := parseScript(string(lines))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorker(t, packs)
	for _, fault := range faults {
		if fault.name != os.Getenv("RELPACK_FAULT") {
			continue
		}
		wrong, err := text(fault.in, fault.parts...)
		if err != nil {
			t.Fatal(err)
		}
		w.everywhere(t, wrong)
	}
	err = playScript(t.Context(), w, script)
	t.Log(listed(w.counts))
	if err != nil {
		t.Fatal(err)
	}
}

// everyHistory plays histories; never are what can't happen with this packer.
func everyHistory(t *testing.T, packs func(*worker) packer, otherwise int64, never ...string) {
	t.Helper()
	start := time.Now()
	histories, seed := pgtest.Number(t, "RELPACK_HISTORIES", otherwise), pgtest.Number(t, "RELPACK_SEED", 1)
	counts, failures := search(t, packs, uint64(seed), histories, 3)
	t.Logf("%d histories in %v, of seeds %d to %d: %s", histories, time.Since(start).Round(time.Millisecond), seed, seed+histories-1, listed(counts))
	if failures > 0 {
		t.Fatalf("%d histories failed", failures)
	}
	for name, perThousand := range minimum {
		// Few vary much, and seeds are new in each run.
		least := float64(histories) * float64(perThousand) / 1000
		if least -= 4 * math.Sqrt(least); float64(counts[name]) < least && !slices.Contains(never, name) {
			t.Errorf("%s: %d times, at least %.0f are needed", name, counts[name], least)
		}
	}
}

// minimum is how often each kind of step must occur in a thousand histories, so that a
// change of what is drawn can't lose one unnoticed.
var minimum = map[string]int{
	"begin:files": 400, "begin:fresh": 40, "begin:late": 400, "begin:old": 300, "file removed": 300, "alter:inplace": 70, "alter:state": 60, "alter:uncurrent": 60, "close:commit": 100,
	"commit:add": 4000, "commit:blob": 800, "commit:cut": 2500, "commit:cycle": 300, "commit:dirt": 300,
	"commit:move": 700, "commit:opaque": 150, "commit:paste": 900, "commit:whiteout": 400,
	"delete:newest": 100, "delete:object": 50, "delete:revision": 150, "dry run refused": 30, "killed": 300,
	"open:reader": 400, "pack:gc": 6500, "pack:trim": 600, "packed": 6500, "readable": 200, "refused": 100,
	"restore:old": 600, "restore:row": 250, "undo refused": 1200, "undone": 1000, "zodbpack:trim": 80,
}

func listed(counts map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(parts, ", ")
}

// mostFailures is how many histories fail before no more are played.
const mostFailures = 10

// search plays histories in several databases at once, and shortens each that fails.
func search(t testing.TB, packs func(*worker) packer, seed uint64, histories int64, workers int) (counts map[string]int, failures int64) {
	t.Helper()
	var next, failed atomic.Int64
	var group sync.WaitGroup
	var mutex sync.Mutex
	counts = map[string]int{}
	for range min(workers, int(histories)) {
		w := newWorker(t, packs)
		group.Go(func() {
			for n := next.Add(1) - 1; n < histories && failed.Load() < mostFailures; n = next.Add(1) - 1 {
				if n > 0 && n%250 == 0 {
					t.Logf("%d histories so far", n)
				}
				script, err := playSeed(t.Context(), w, seed+uint64(n))
				if err == nil {
					continue
				}
				failed.Add(1)
				t.Logf("seed %d fails: %v", seed+uint64(n), err)
				if t.Context().Err() != nil || w.site.IsClosed() || w.other.IsClosed() {
					return
				}
				script, err = shortened(t.Context(), w, script, err)
				t.Logf("seed %d: %v\nRELPACK_SCRIPT plays this:\n%s", seed+uint64(n), err, formatScript(script))
			}
			mutex.Lock()
			defer mutex.Unlock()
			for name, n := range w.counts {
				counts[name] += n
			}
		})
	}
	group.Wait()
	return counts, failed.Load()
}

// patience bounds the shortening.
const patience = 40 * time.Second

// shortened leaves out steps, then writes, as long as what remains still fails.
func shortened(ctx context.Context, w *worker, script []step, failed error) ([]step, error) {
	until := time.Now().Add(patience)
	try := func(shorter []step) bool {
		if len(shorter) == 0 || time.Now().After(until) {
			return false
		}
		err := playScript(ctx, w, shorter)
		if err != nil {
			script, failed = shorter, err
		}
		return err != nil
	}
	leaveOut := func() {
		for size := len(script) / 2; size > 0; size /= 2 {
			for at := 0; at < len(script); {
				if !try(slices.Concat(script[:at], script[min(at+size, len(script)):])) {
					at += size
				}
			}
		}
	}
	leaveOut()
	for i := 0; i < len(script); i++ {
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
			if delete(shorter[i].args, name); name != "age" && name != "grace" {
				try(shorter)
			}
		}
	}
	leaveOut()
	return script, failed
}
