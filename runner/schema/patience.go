package schema

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/patience"
)

// lookEvery is how often a try is looked at; half of what a lock is waited for.
const lookEvery = 100 * time.Millisecond

// reminder is how often a wait that goes on says so again.
const reminder = 10 * time.Second

// A blocker is a session that holds what a migration waits for.
type blocker struct {
	pid         int
	application string
	state       string
	open        *time.Duration // since its transaction began; nil where this role may not see it
}

func (b blocker) String() string {
	if b.pid == 0 {
		return "a prepared transaction (see pg_prepared_xacts)"
	}
	text := fmt.Sprintf("pid %d, application %q", b.pid, b.application)
	if b.open != nil {
		text += fmt.Sprintf(", %s, transaction open for %s", b.state, b.open.Round(time.Second/10))
	}
	return text
}

// patiently tries something that needs a strong lock for a moment until it gets
// it, or until the storage's lock timeout is over. While it waits it says for
// whom.
func (m *migrator) patiently(ctx context.Context, what string, try func(context.Context) error) error {
	said := waitLog{migrator: m, what: what}
	var blockers, inTheWay []blocker
	return patience.Patience{
		Limit: m.target.CommitLockTimeout, First: 250 * time.Millisecond, Last: 5 * time.Second, // the site goes on in the meantime
		Retry:   func(err error) bool { return fault.IsState(err, "55P03") }, // lock_not_available
		Waiting: func(context.Context, time.Duration) { said.name(blockers) },
		GiveUp:  func(_ context.Context, waited time.Duration) error { return tooLong(what, waited, inTheWay) },
	}.Persist(ctx, func(ctx context.Context) (_ bool, err error) {
		blockers, err = m.watched(ctx, try)
		if len(blockers) > 0 { // a try may be over before it was looked at
			inTheWay = blockers
		}
		return err == nil, m.explain(ctx, what, err)
	})
}

func tooLong(what string, waited time.Duration, blockers []blocker) error {
	text := fmt.Sprintf("%s: object_state was locked for all of %s", what, waited.Round(time.Second/10))
	if len(blockers) > 0 {
		text += ", by " + blockers[0].String()
	}
	return &fault.Error{Code: fault.ExitFailure, Err: errors.New(text), Hint: "Try again when that has ended"}
}

// A waitLog names blockers when they change, and now and then again.
type waitLog struct {
	*migrator
	what string
	pids []int
	at   time.Time
}

func (w *waitLog) name(blockers []blocker) {
	var pids []int
	for _, b := range blockers {
		pids = append(pids, b.pid)
	}
	if len(pids) == 0 || (slices.Equal(pids, w.pids) && time.Since(w.at) < reminder) {
		return
	}
	w.pids, w.at = pids, time.Now()
	for _, b := range blockers {
		w.log.Info(fmt.Sprintf("%s: waiting for a lock on object_state, held by %s", w.what, b))
	}
}

// watched runs one try and looks, from the other session, who keeps it waiting;
// the try must leave that session alone.
func (m *migrator) watched(ctx context.Context, try func(context.Context) error) ([]blocker, error) {
	done := make(chan error, 1)
	go func() { done <- try(ctx) }()
	var seen []blocker
	for {
		select {
		case err := <-done:
			return seen, err
		case <-time.After(lookEvery):
		}
		// pg_blocking_pids holds up the lock manager: once seen is enough.
		if len(seen) == 0 && ctx.Err() == nil {
			seen = m.blockers(ctx)
		}
	}
}

// blockers asks the server; not to know is no error. An interruption doesn't
// end this session: it is still needed to tidy up.
func (m *migrator) blockers(ctx context.Context) []blocker {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	m.guard.Lock()
	waiting := slices.Clone(m.pids)
	m.guard.Unlock()
	rows, err := m.conn.Query(ctx, `
		SELECT DISTINCT blocking.pid, coalesce(activity.application_name, ''), coalesce(activity.state, ''),
		       clock_timestamp() - activity.xact_start
		FROM unnest($1::int[]) AS waiting (pid)
		CROSS JOIN unnest(pg_blocking_pids(waiting.pid)) AS blocking (pid)
		LEFT JOIN pg_catalog.pg_stat_activity AS activity ON activity.pid = blocking.pid
		ORDER BY blocking.pid`, waiting)
	if err != nil {
		return nil
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (blocker, error) {
		var b blocker
		err := row.Scan(&b.pid, &b.application, &b.state, &b.open)
		return b, err
	})
	if err != nil {
		return nil
	}
	return found
}
