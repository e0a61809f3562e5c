package preserved

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/pack"
)

// A product is relpack itself.
type product struct{ w *worker }

func (product) beside() bool { return true }

func (p product) pack(ctx context.Context, asked packing) (o outcome, err error) {
	target := p.w.target
	target.KeepsGarbage = asked.keep
	running, kill := context.WithCancel(ctx)
	defer kill()
	statements := &statements{between: asked.between, kill: kill}
	p.w.pool.Wait()
	report, err := pack.Run(running, target, pack.Options{Days: asked.days, DryRun: asked.dry, Init: asked.init, Version: "history", Migrations: migrations.Files},
		slog.New(statements))
	p.w.pool.Wait() // until the server has noticed that a run is over, or dead
	if statements.killed.Load() {
		return o, nil
	}
	p.w.counts["statements"] += int(statements.seen.Load())
	if report.Trimmed != nil {
		o.until, o.trimmed = report.Trimmed.UntilTid, report.Trimmed.Revisions
	}
	if fault.ExitCode(err) == fault.ExitRefused {
		o.refused, err = err.Error(), nil
	}
	if err == nil && asked.dry {
		err = p.w.site.QueryRow(ctx, "SELECT coalesce(array_agg(zoid), '{}') FROM relpack.doomed").Scan(&o.garbage)
	}
	return o, err
}

// edges are the references that relpack has recorded, of objects that it need not read
// again, and the pack time that they are of.
func (p product) edges(ctx context.Context) (edges map[int64][]int64, horizon int64, err error) {
	if err := p.w.site.QueryRow(ctx, "SELECT horizon_tid FROM relpack.storage").Scan(&horizon); err != nil {
		return nil, 0, err
	}
	rows, err := p.w.site.Query(ctx, `
		SELECT object.zoid, coalesce(array_agg(object_inref.zoid) FILTER (WHERE object_inref.zoid IS NOT NULL), '{}')
		FROM relpack.object
		LEFT JOIN relpack.object_inref ON object_inref.inref = object.zoid
		WHERE NOT EXISTS (SELECT FROM relpack.pending WHERE pending.zoid = object.zoid)
		GROUP BY object.zoid`)
	if err != nil {
		return nil, 0, err
	}
	edges = map[int64][]int64{}
	var zoid int64
	var refs []int64
	_, err = pgx.ForEachRow(rows, []any{&zoid, &refs}, func() error { edges[zoid] = slices.Clone(refs); return nil })
	return edges, horizon, err
}

// statements is the handler of a log with a line for each statement that ended. It
// counts them from the pack lock on.
type statements struct {
	between func(statement string) error
	kill    func()
	locked  atomic.Bool
	killed  atomic.Bool
	seen    atomic.Int64
}

func (*statements) Enabled(context.Context, slog.Level) bool { return true }
func (s *statements) WithAttrs([]slog.Attr) slog.Handler     { return s }
func (s *statements) WithGroup(string) slog.Handler          { return s }
func (s *statements) Handle(_ context.Context, r slog.Record) error {
	timed := false
	r.Attrs(func(a slog.Attr) bool { timed = timed || a.Key == "time"; return true })
	if !timed {
		return nil
	}
	if strings.Contains(r.Message, "relpack.try_pack_lock()") {
		s.locked.Store(true)
	}
	if !s.locked.Load() || s.killed.Load() {
		return nil
	}
	s.seen.Add(1)
	if err := s.between(r.Message); err != nil {
		s.killed.Store(true)
		s.kill()
	}
	return nil
}
