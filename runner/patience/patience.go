package patience

import (
	"context"
	"time"
)

// A Patience tries something until it succeeds, fails for good, or time is over.
type Patience struct {
	Limit       time.Duration // 0: none
	First, Last time.Duration // the pauses between two tries get longer, from First to Last
	Retry       func(error) bool
	Waiting     func(ctx context.Context, waited time.Duration)
	GiveUp      func(ctx context.Context, waited time.Duration) error
	Sleep       func(context.Context, time.Duration) error // nil: until ctx is done
}

// Persist tries. A try that is not done, or whose error Retry wants to see again,
// is followed by another one; the last begins when the limit is over, after which
// GiveUp, and not Waiting, is asked for the error.
func (p Patience) Persist(ctx context.Context, try func(context.Context) (done bool, err error)) error {
	sleep := p.Sleep
	if sleep == nil {
		sleep = untilDone
	}
	start := time.Now()
	for pause := p.First; ; pause = min(2*pause, p.Last) {
		done, err := try(ctx)
		if err != nil && !p.Retry(err) {
			return err
		}
		if done && err == nil {
			return nil
		}
		waited := time.Since(start)
		if p.Limit > 0 {
			if waited >= p.Limit {
				return p.GiveUp(ctx, waited)
			}
			pause = min(pause, p.Limit-waited)
		}
		p.Waiting(ctx, waited)
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

func untilDone(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
