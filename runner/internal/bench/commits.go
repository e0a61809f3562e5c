package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/zodbtest"
)

// Sizes of the measurement of commits.
const (
	commitObjects = 5
	commitPairs   = 40
	commitsEach   = 25 // of each writer, in a half of a pair
	explained     = 100
)

// commits measures what our triggers cost a commit of five objects: the time
// inside them, and the latency with and without them.
func (b *bench) commits(ctx context.Context) error {
	// The triggers are to find what they find in production.
	if _, err := b.pack(ctx, b.dsn, "--dry-run"); err != nil {
		return err
	}
	for _, writers := range []int{1, 8} {
		inside, err := b.insideTriggers(ctx, writers)
		if err != nil {
			return err
		}
		b.add(figure{Name: fmt.Sprintf("inside the triggers, %d writers", writers), Value: median(inside), Unit: "µs",
			Must: 150, Aim: 50, Note: fmt.Sprintf("a commit of %d objects, EXPLAIN ANALYZE; 90 %% within %.0f µs", commitObjects, quantile(inside, 0.9))})
	}
	for _, writers := range []int{1, 8} {
		if err := b.latency(ctx, writers); err != nil {
			return err
		}
	}
	return nil
}

// writer is a client of the storage that commits a few objects at a time.
type writer struct {
	conn   *pgx.Conn
	random uint64
	states [][]byte
	zoids  []int64
}

// openWriters opens sessions; each has objects of its own, as most commits do.
func (b *bench) openWriters(ctx context.Context, n int) (writers []*writer, closeAll func() error, err error) {
	closeAll = func() (err error) {
		for _, w := range writers {
			err = errors.Join(err, w.conn.Close(context.WithoutCancel(ctx)))
		}
		return err
	}
	for i := range n {
		conn, err := pgx.Connect(ctx, b.dsn)
		if err != nil {
			return nil, nil, errors.Join(err, closeAll())
		}
		w := &writer{conn: conn, random: uint64(i)}
		writers = append(writers, w)
		rows, err := conn.Query(ctx, `SELECT zoid, state FROM object_state
			WHERE zoid BETWEEN $1 AND $1 + 5000 AND state_size BETWEEN 100 AND 2000`, b.Objects/10*int64(i%9))
		if err != nil {
			return nil, nil, errors.Join(err, closeAll())
		}
		var zoid int64
		var state []byte
		if _, err := pgx.ForEachRow(rows, []any{&zoid, &state}, func() error {
			w.zoids = append(w.zoids, zoid)
			w.states = append(w.states, append([]byte(nil), state...))
			return nil
		}); err != nil {
			return nil, nil, errors.Join(err, closeAll())
		}
	}
	return writers, closeAll, nil
}

// objects are those of the next commit, the same states again.
func (w *writer) objects() map[int64][]byte {
	chosen := map[int64][]byte{}
	for len(chosen) < commitObjects {
		w.random = w.random*6364136223846793005 + 1442695040888963407
		i := int(w.random >> 33 % uint64(len(w.zoids)))
		chosen[w.zoids[i]] = w.states[i]
	}
	return chosen
}

// each runs something in all writers at the same time.
func each(writers []*writer, do func(*writer) error) error {
	errs := make([]error, len(writers))
	var group sync.WaitGroup
	for i, w := range writers {
		group.Go(func() { errs[i] = do(w) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// insideTriggers are the microseconds that commits spent in our triggers.
func (b *bench) insideTriggers(ctx context.Context, n int) (all []float64, err error) {
	writers, closeAll, err := b.openWriters(ctx, n)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	var lock sync.Mutex
	err = each(writers, func(w *writer) error {
		for i := range explained {
			took, err := w.explain(ctx)
			if err != nil {
				return err
			}
			if i < explained/10 {
				continue // plans and functions are not in memory yet
			}
			lock.Lock()
			all = append(all, took)
			lock.Unlock()
		}
		return nil
	})
	return all, err
}

// explain is a commit, as RelStorage makes it, whose move is explained.
func (w *writer) explain(ctx context.Context) (microseconds float64, err error) {
	t, err := zodbtest.BeginCommit(ctx, w.conn, zodbtest.V42)
	if err != nil {
		return 0, err
	}
	if err := errors.Join(t.Store(ctx, w.objects()), t.Vote(ctx), t.LockCommits(ctx)); err != nil {
		return 0, errors.Join(err, t.Abort(ctx))
	}
	tid, err := zodbtest.NextTid(ctx, w.conn)
	if err != nil {
		return 0, errors.Join(err, t.Abort(ctx))
	}
	var text []byte
	if err := w.conn.QueryRow(ctx, `EXPLAIN (ANALYZE, FORMAT json)
		INSERT INTO object_state (zoid, tid, state_size, state)
		SELECT zoid, $1, coalesce(length(state), 0), state
		FROM temp_store
		ORDER BY zoid
		ON CONFLICT (zoid) DO UPDATE
		SET tid = excluded.tid, state_size = excluded.state_size, state = excluded.state`, tid).Scan(&text); err != nil {
		return 0, errors.Join(err, t.Abort(ctx))
	}
	var plans []struct {
		Triggers []struct {
			Name string  `json:"Trigger Name"`
			Time float64 `json:"Time"` // ms
		}
	}
	if err := json.Unmarshal(text, &plans); err != nil {
		return 0, errors.Join(err, t.Abort(ctx))
	}
	for _, plan := range plans {
		for _, trigger := range plan.Triggers {
			if strings.HasPrefix(trigger.Name, "relpack_") {
				microseconds += 1000 * trigger.Time
			}
		}
	}
	return microseconds, t.Commit(ctx)
}

// latency compares commits with and without the triggers, in pairs that
// alternate in their order.
func (b *bench) latency(ctx context.Context, n int) (err error) {
	writers, closeAll, err := b.openWriters(ctx, n)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	var with, without, differences []float64
	for pair := range commitPairs {
		var half [2]float64
		for turn := range 2 {
			on := (pair+turn)%2 == 0
			if err := b.setTriggers(ctx, on); err != nil {
				return err
			}
			took, err := commitAll(ctx, writers)
			if err != nil {
				return err
			}
			at := 0
			if on {
				at = 1
			}
			half[at] = median(took)
		}
		without = append(without, half[0])
		with = append(with, half[1])
		differences = append(differences, half[1]-half[0])
	}
	if err := b.setTriggers(ctx, true); err != nil {
		return err
	}
	b.add(figure{Name: fmt.Sprintf("commit latency with triggers, %d writers", n), Value: median(with), Unit: "µs",
		Note: fmt.Sprintf("without %.0f µs; medians of %d pairs", median(without), commitPairs)})
	// Commits go one after the other: with n writers each waits for n prices.
	for i := range differences {
		differences[i] /= float64(n)
	}
	b.add(figure{Name: fmt.Sprintf("price in a commit's latency, %d writers", n), Value: median(differences), Unit: "µs", Must: 150, Aim: 50,
		Note: fmt.Sprintf("median of the differences divided by the writers; half of them in %.0f .. %.0f µs",
			quantile(differences, 0.25), quantile(differences, 0.75))})
	return nil
}

func (b *bench) setTriggers(ctx context.Context, on bool) error {
	statement := "SELECT relpack.drop_triggers()"
	if on {
		statement = "SELECT relpack.create_triggers()"
	}
	_, err := b.conn.Exec(ctx, statement)
	return err
}

// commitAll lets all writers commit; it returns each commit's microseconds.
func commitAll(ctx context.Context, writers []*writer) (all []float64, err error) {
	var lock sync.Mutex
	err = each(writers, func(w *writer) error {
		for i := range commitsEach {
			objects := w.objects()
			start := time.Now()
			if _, err := zodbtest.CommitNow(ctx, w.conn, objects); err != nil {
				return err
			}
			took := float64(time.Since(start).Nanoseconds()) / 1000
			if i < 3 {
				continue // plans are made again after the triggers changed
			}
			lock.Lock()
			all = append(all, took)
			lock.Unlock()
		}
		return nil
	})
	return all, err
}
