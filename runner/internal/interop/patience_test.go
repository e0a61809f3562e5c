package interop

import (
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"
)

func TestALongTransactionOfTheApplicationIsNamedAndNobodyQueues(t *testing.T) {
	w := packedOnce(t, shape{files: true, patience: 10})
	conn := w.connect("zope long")
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if err := tx.QueryRow(t.Context(), "UPDATE object_state SET state_size = state_size WHERE zoid = 20 RETURNING pg_backend_pid()").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	a := w.startApplication("own", 2, 0)
	f := w.watch()
	var r result
	f.during("pack", func() { r = w.attempt(program, "pack", "--days", "0", w.config) })
	f.stop()
	a.end()
	if r.code != 1 {
		t.Errorf("pack ended with %v", r)
	}
	named := regexp.MustCompile(fmt.Sprintf(`waiting for \d+s: .*pid %d .*zope long.*UPDATE object_state`, pid))
	if !named.MatchString(r.stderr) {
		t.Errorf("relpack doesn't say whom it waits for, pid %d: %v", pid, r)
	}
	f.report(a.commits())
	f.expectCommits(a.commits())
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.expectSound()
}

// expectCommits: all through a pack somebody could commit.
func (f *figures) expectCommits(commits []commit) {
	f.w.t.Helper()
	const stretch = 4 * time.Second // a machine under load may stall for one or two
	for _, p := range f.periods {
		stretches := 0
		for start := p.start; start.Add(stretch).Before(p.end); start = start.Add(stretch) {
			stretches++
			if !slices.ContainsFunc(commits, func(c commit) bool {
				end := c.start.Add(c.took)
				return end.After(start) && end.Before(start.Add(stretch))
			}) {
				f.w.t.Errorf("no commit within %v of a pack", stretch)
			}
		}
		if stretches == 0 {
			f.w.t.Errorf("the pack was over after %v", p.end.Sub(p.start))
		}
	}
}

func TestASaturatedStorageIsPacked(t *testing.T) {
	for _, s := range []shape{{}, {compressed: true}} {
		t.Run(s.String(), func(t *testing.T) {
			w := packedOnce(t, s)
			a := w.startApplication("busy", 8, 0)
			f := w.watch()
			var deleted int64
			// What a pack finds cut off may have to wait for the next one: some
			// transaction is always open that may have seen it attached.
			start := time.Now()
			for time.Since(start) < soak/2 || (deleted == 0 && time.Since(start) < 3*time.Minute) {
				f.during("pack", func() { deleted += w.pack("0").Deleted.Objects })
			}
			a.end()
			f.stop()
			f.report(a.commits())
			t.Logf("%d objects were deleted", deleted)
			if deleted == 0 {
				t.Error("nothing was deleted")
			}
			w.expectSound()
		})
	}
}
