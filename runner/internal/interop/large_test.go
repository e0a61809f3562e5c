package interop

import (
	"slices"
	"testing"
	"time"
)

// A batch of large objects takes longest to delete, and who writes to one of its
// rows waits for it; who commits next waits for him.
const (
	mostWait    = 100 * time.Millisecond // what a commit may wait for relpack
	usualMost   = 20 * time.Millisecond  // and 99 of 100
	largeRounds = 5
)

// A machine stalls by itself: what commits take without a pack is not relpack's,
// and of some rounds one must keep to the bounds. A deadlock, or a commit behind a
// whole batch, takes more than a second, which not more than one round may have.
func TestHardlyAnybodyWaitsForABatchOfLargeObjects(t *testing.T) {
	w := newSite(t, shape{})
	w.create()
	w.relpack("pack", "--days", "-1", w.config)
	stalls := 0
	for round := range largeRounds {
		a := w.startApplication("own", 2, 0, "ghost")
		f := w.watch()
		f.during("no pack", func() { time.Sleep(3 * time.Second) })
		var deleted int64
		for start := time.Now(); deleted < 150 && time.Since(start) < time.Minute; {
			f.during("pack", func() { deleted += w.pack("0").Blobs })
		}
		a.end()
		f.stop()
		f.report(a.commits())
		if deleted == 0 {
			t.Fatal("no blob was deleted")
		}
		kept, stalled := f.keepsTo(a.commits())
		if kept {
			w.expectSound()
			return
		}
		t.Logf("round %d was over the bounds", round+1)
		if stalled {
			stalls++
		}
		if stalls > 1 {
			t.Fatalf("in %d rounds a commit beside a pack took over a second", stalls)
		}
	}
	t.Errorf("in none of %d rounds did 99 of 100 commits wait for less than %v, and all for less than %v", largeRounds, usualMost, mostWait)
}

// keepsTo tells whether commits beside packs took hardly longer than others, and
// whether one took more than a second longer.
func (f *figures) keepsTo(commits []commit) (kept, stalled bool) {
	f.w.t.Helper()
	kept = true
	for _, kind := range []string{otherCommits, garbageRows} {
		var took [2][]time.Duration // without a pack, and beside one
		for _, c := range commits {
			for _, p := range f.periods {
				if c.kind() == kind && c.start.Before(p.end) && c.start.Add(c.took).After(p.start) {
					i := 0
					if p.what == "pack" {
						i = 1
					}
					took[i] = append(took[i], c.took)
				}
			}
		}
		for i := range took {
			if len(took[i]) == 0 {
				f.w.t.Fatalf("%s: none was made", kind)
			}
			slices.Sort(took[i])
		}
		usual := func(i int) time.Duration { return took[i][(len(took[i])-1)*99/100] }
		most := func(i int) time.Duration { return took[i][len(took[i])-1] }
		stalled = stalled || most(1) > time.Second+most(0)
		kept = kept && usual(1) <= usualMost+usual(0) && most(1) <= mostWait+most(0)
	}
	return kept, stalled
}
