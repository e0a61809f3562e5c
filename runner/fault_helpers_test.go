package runner

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"relpack/runner/fault"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// stages of the sample, in order.
var stages = []string{zodbtest.Small, zodbtest.Changes, zodbtest.MoreChanges}

// expectFailed wants an error that exits with 1 and says in one line what was
// wrong, in these words among others.
func expectFailed(t testing.TB, err error, words ...string) {
	t.Helper()
	expectExit(t, err, fault.ExitFailure, words...)
}

func expectExit(t testing.TB, err error, code int, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want exit code %d and %q", code, words)
		return
	}
	message := fault.Message(err)
	t.Log(message)
	if got := fault.ExitCode(err); got != code {
		t.Errorf("exit code %d, want %d: %s", got, code, message)
	}
	if strings.Contains(message, "context canceled") || strings.Contains(message, "\n") {
		t.Errorf("not a clear message: %s", message)
	}
	for _, word := range words {
		if !strings.Contains(message, word) {
			t.Errorf("no %q in the message: %s", word, message)
		}
	}
}

// expectVerified wants the server itself to find nothing wrong with the graph.
func expectVerified(t testing.TB, s *sample) {
	t.Helper()
	if found := get[*string](t, s.conn, `SELECT string_agg(finding, '; ') FROM relpack.verify()
		WHERE severity = 'error' OR remedy = 'relpack pack'`); found != nil {
		t.Errorf("relpack.verify() finds: %s", *found)
	}
}

// survive brings the sample to a stage, lets packs fail there, and wants the
// next one to delete exactly the garbage.
func (s *sample) survive(stage string, fail func()) {
	s.t.Helper()
	if stage != zodbtest.Small {
		s.change(stage)
	}
	s.expectPacked(stage, func() {
		fail()
		relpackGone(s.t, s.conn)
		s.pack()
	})
	expectVerified(s.t, s)
}

// ranged packs the sample in several ranges of blocks.
func ranged() pack.Options {
	o := everything
	o.RangeBlocks = 16
	return o
}

// A phaseLog is a log that lets a test act when a phase begins, those included
// that no progress tells of.
type phaseLog struct {
	slog.Handler
	begins func(phase string)
}

func (p phaseLog) Enabled(context.Context, slog.Level) bool { return true }

func (p phaseLog) Handle(_ context.Context, r slog.Record) error {
	if name, found := strings.CutPrefix(r.Message, "phase "); found {
		p.begins(name)
	}
	return nil
}

func (p phaseLog) WithAttrs([]slog.Attr) slog.Handler { return p }
func (p phaseLog) WithGroup(string) slog.Handler      { return p }

// packWith packs, and acts once: before a phase, or while "during" it the other
// sessions go on. It tells whether it came to that.
func packWith(t testing.TB, target target.Target, phase string, act func()) (met bool, err error) {
	t.Helper()
	var once sync.Once
	begins := func(name string) {
		if name == phase {
			once.Do(func() {
				met = true
				act()
			})
		}
	}
	o := ranged()
	o.Progress = &hooks{phase: begins, add: func(name string, _ int64) { begins("during " + name) }}
	_, err = pack.Run(t.Context(), target, o, slog.New(phaseLog{slog.DiscardHandler, begins}))
	t.Logf("at the phase %q: %v", phase, met)
	return met, err
}

// mountSmall puts a file system of so many megabytes at dir until the test ends.
// Only root may, and not everywhere.
func mountSmall(t testing.TB, dir, size string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "relpack-test", dir).CombinedOutput(); err != nil {
		t.Skipf("a file system of %s can't be mounted here: %v: %s", size, err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "--lazy", dir).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v: %s", dir, err, out)
		}
	})
}

// fillUp leaves no room in a directory's file system. The returned function
// makes room again.
func fillUp(t testing.TB, dir string) (free func()) {
	t.Helper()
	file, err := os.CreateTemp(dir, ".filler-")
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 1<<20)
	for size := len(block); size >= 512; {
		if _, err := file.Write(block[:size]); err != nil {
			size /= 2
		}
	}
	return func() {
		if err := os.Remove(file.Name()); err != nil {
			t.Error(err)
		}
		_ = file.Close()
	}
}
