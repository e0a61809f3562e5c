package interop

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// grace is what relpack keeps in a soak with objects that are cut and pasted in
// transactions of their own: six times what the application holds them for.
const grace = 6 * time.Second

func TestAnApplicationWorksWhileRelpackPacksAndIsKilled(t *testing.T) {
	for _, c := range []struct {
		shape
		profile string
		grace   time.Duration
		share   int // of the soak's time, in percent
		more    []string
	}{
		{shape{files: true}, "now", 0, 100, nil},
		{shape{}, "grace", grace, 80, nil},
		{shape{files: true, compressed: true}, "now", 0, 50, nil},
		{shape{history: true}, "now", 0, 50, []string{"undo", "undo"}},
		{shape{history: true, files: true}, "grace", grace, 80, []string{"undo", "undo", "past"}},
	} {
		t.Run(fmt.Sprintf("%s, --days %v", c.shape, c.grace), func(t *testing.T) {
			if soak < time.Minute { // a long one tells what the site feels
				t.Parallel()
			}
			w := newSite(t, c.shape)
			w.create()
			a := w.startApplication(c.profile, 4, 2, c.more...)
			defer a.end()
			f := w.watch()
			f.during("no pack", func() { time.Sleep(soak * time.Duration(c.share) / 400) })
			w.packInALoop(f, c.grace, soak*time.Duration(c.share)/100)
			a.end()
			f.stop()
			f.report(a.commits())
			w.expectSound()
		})
	}
}

// packInALoop packs, and kills and stops the packs, until the time is over.
func (w *site) packInALoop(f *figures, grace, duration time.Duration) {
	w.t.Helper()
	counts := map[string]int{}
	choose := rand.New(rand.NewPCG(1, uint64(grace)))
	for until := time.Now().Add(duration); time.Now().Before(until) && !w.t.Failed(); {
		p := w.start(program, "pack", "--days", fmt.Sprint(grace.Hours()/24), w.config)
		after := time.Duration(choose.IntN(600)) * time.Millisecond
		switch choose.IntN(5) {
		case 0:
			f.during("pack", func() { p.endsWithin(after) })
			p.signal(syscall.SIGKILL)
			p.result()
			counts["killed"]++
		case 1:
			f.during("pack", func() { p.endsWithin(after) })
			p.signal(syscall.SIGSTOP)
			f.during("pack stopped", func() { p.endsWithin(time.Duration(choose.IntN(3000)) * time.Millisecond) })
			p.signal(syscall.SIGCONT)
			// The server may have ended the session, to let the site go on.
			f.during("pack", func() { counts[fmt.Sprintf("stopped, then exit code %d", p.result().code)]++ })
		default:
			var r result
			f.during("pack", func() { r = p.result() })
			counts[fmt.Sprintf("exit code %d", r.code)]++
			// 3: the server hasn't noticed yet that the one before was killed.
			if r.code != 0 && r.code != 3 {
				w.t.Errorf("relpack: %v", r)
			}
		}
		time.Sleep(time.Duration(choose.IntN(300)) * time.Millisecond)
	}
	w.t.Logf("packs: %v", counts)
}
