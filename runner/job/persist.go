package job

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/patience"
)

// reminder is how often a wait is told of.
const reminder = 5 * time.Second

// Persist calls try until it succeeds or the target's lock timeout is over, and
// says who is in the way. The session conn asks that.
func (j *Job) Persist(ctx context.Context, conn *pgx.Conn, what string, try func() (bool, error)) error {
	return j.Await(ctx, what, func(ctx context.Context) string { return inTheWay(ctx, conn) }, try)
}

// Await is Persist for what others than writers are in the way of: who tells.
func (j *Job) Await(ctx context.Context, what string, who func(context.Context) string, try func() (bool, error)) error {
	said := time.Now()
	return patience.Patience{
		Limit: j.Target.CommitLockTimeout, First: 20 * time.Millisecond, Last: time.Second, Sleep: j.Sleep,
		Retry: func(err error) bool { return fault.IsState(err, "55P03", "40P01") }, // lock_not_available, deadlock_detected
		Waiting: func(ctx context.Context, waited time.Duration) {
			if time.Since(said) > reminder {
				j.Log.Warn(fmt.Sprintf("%s: waiting for %v: %s", what, waited.Round(time.Second), who(ctx)))
				said = time.Now()
			}
		},
		GiveUp: func(ctx context.Context, waited time.Duration) error {
			return gaveUp(what, waited, who(ctx))
		},
	}.Persist(ctx, func(context.Context) (bool, error) {
		got, err := try()
		if err != nil {
			err = fmt.Errorf("%s: %w", what, err)
		}
		return got, err
	})
}

// gaveUp says who was in the way for all that time.
func gaveUp(what string, waited time.Duration, who string) error {
	hint := "End that transaction and run relpack again"
	if who == nobodyInTheWay {
		hint = "Run relpack again when there are fewer writes"
	}
	return &fault.Error{Code: fault.ExitFailure, Hint: hint,
		Err: fmt.Errorf("%s: %s; relpack gave up after %v (commit-lock-timeout)", what, who, waited.Round(time.Second))}
}

const nobodyInTheWay = "other sessions keep writing to object_state"

// inTheWay names who holds what we want.
func inTheWay(ctx context.Context, conn *pgx.Conn) string {
	var who *string
	if err := conn.QueryRow(ctx, "SELECT relpack.in_the_way()").Scan(&who); err != nil || who == nil {
		return nobodyInTheWay
	}
	return fault.OneLine(*who)
}
