package job

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/figures"
	"relpack/runner/progress"
	"relpack/runner/session"
	"relpack/runner/target"
)

// A Job is one command at work on one storage.
type Job struct {
	Target   target.Target
	Log      *slog.Logger
	Progress progress.Meter
	Stop     <-chan struct{} // closed: stop as soon as nothing is half done; nil: never
	Phases   []figures.Phase
}

// New shows no progress if it is given no meter.
func New(t target.Target, log *slog.Logger, meter progress.Meter, stop <-chan struct{}) *Job {
	if meter == nil {
		meter = progress.Silent{}
	}
	return &Job{Target: t, Log: log, Progress: meter, Stop: stop, Phases: []figures.Phase{}}
}

// Session opens one more session on the target; who calls it closes it.
func (j *Job) Session(ctx context.Context, purpose string) (*pgx.Conn, error) {
	return session.Open(ctx, j.Target, purpose, j.Log)
}

// Stopped tells whether the job is to stop.
func (j *Job) Stopped() bool {
	select {
	case <-j.Stop:
		return true
	default:
		return false
	}
}

// Phase runs one phase and notes how long it took.
func (j *Job) Phase(name string, do func() error) error {
	if j.Stopped() {
		return fault.Interrupted
	}
	start := time.Now()
	j.Log.Debug("phase " + name)
	err := do()
	j.Took(name, time.Since(start))
	return err
}

// Took adds to a phase's time.
func (j *Job) Took(phase string, d time.Duration) {
	for i := range j.Phases {
		if j.Phases[i].Name == phase {
			j.Phases[i].Seconds += d.Seconds()
			return
		}
	}
	j.Phases = append(j.Phases, figures.Phase{Name: phase, Seconds: d.Seconds()})
}

// Sleep ends early when the job is to stop.
func (j *Job) Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-j.Stop:
		return fault.Interrupted
	case <-ctx.Done():
		return ctx.Err()
	}
}
