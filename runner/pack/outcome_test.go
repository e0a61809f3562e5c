package pack_test

import (
	"strings"
	"testing"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// Who reads the JSON document, relpack.run or the exit code is told the same.
func TestReportTableAndExitCodeAgreeHowAPackEnded(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]struct {
		code    int
		prepare func(*testing.T, target.Target) pack.Options
	}{
		"packed": {fault.ExitDone, func(t *testing.T, _ target.Target) pack.Options { return packtest.Everything }},
		"dry_run": {fault.ExitDone, func(t *testing.T, _ target.Target) pack.Options {
			o := packtest.Everything
			o.DryRun = true
			return o
		}},
		"refused": {fault.ExitRefused, func(t *testing.T, stored target.Target) pack.Options {
			packtest.CommitRecords(t, packtest.Session(t, stored), map[int64][]byte{2: []byte("no pickle")})
			return packtest.Everything
		}},
		"interrupted": {fault.ExitInterrupted, func(t *testing.T, _ target.Target) pack.Options {
			o, stop := packtest.Everything, make(chan struct{})
			close(stop)
			o.Stop = stop
			return o
		}},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			stored, conn := packtest.NewGarden(t)
			o := c.prepare(t, stored)
			report, err := pack.Run(t.Context(), stored, o, packtest.Log(t))
			if got := fault.ExitCode(err); got != c.code || report.ExitCode != c.code {
				t.Errorf("exit code %d, in the report %d, want %d: %v", got, report.ExitCode, c.code, err)
			}
			if in := packtest.Get[string](t, conn, "SELECT outcome FROM relpack.run ORDER BY id DESC LIMIT 1"); report.Outcome != want || in != want {
				t.Errorf("the report says %s, relpack.run %s, want %s", report.Outcome, in, want)
			}
		})
	}
}

func TestATrimThatNeverBeganIsNotTold(t *testing.T) {
	t.Parallel()
	file, h := newTrimmed(t, zodbtest.V42)
	store(t, h, daysAgo(10), map[int64][]byte{0: page()})
	o, stop := trimDays(1), make(chan struct{})
	close(stop)
	o.Stop = stop
	r, err := pack.Run(t.Context(), file, o, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitInterrupted)
	var text strings.Builder
	if err := r.Write(&text); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), "removed") {
		t.Errorf("it tells\n%s", &text)
	}
}
