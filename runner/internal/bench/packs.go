package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/zodbgen"
)

// firstPack builds the graph and finds the garbage, and deletes nothing.
func (b *bench) firstPack(ctx context.Context) error {
	if _, err := b.program(ctx, "migrate", "up", "--dsn", b.dsn, "--quiet"); err != nil {
		return err
	}
	if err := ready(ctx, b.dsn); err != nil {
		return err
	}
	p, err := b.pack(ctx, b.dsn, "--dry-run")
	if err != nil {
		return err
	}
	if p.Unreachable.Objects != b.garbage {
		return fmt.Errorf("%d objects are unreachable for relpack, %d were generated so", p.Unreachable.Objects, b.garbage)
	}
	if err := b.checkpoint(ctx); err != nil {
		return err
	}
	if len(b.floors) > 0 {
		if err := b.floor(ctx); err != nil {
			return err
		}
	}
	b.add(figure{Name: "first pack", Value: p.Seconds, Unit: "s", Note: p.phases()})
	if floor := b.value("floor"); floor > 0 {
		b.add(figure{Name: "first pack / floor", Value: (p.Seconds - p.phase("choose")) / floor, Unit: "x", Must: 6, Aim: 3,
			Note: "up to the graph, without the list of garbage"})
	}
	b.add(figure{Name: "first pack, rate", Value: float64(b.Objects) / p.Seconds, Unit: "objects/s", Higher: true,
		Note: "linear if the same with 10 times as many"})
	b.clientMemory(p)
	b.add(figure{Name: "server memory, one session", Value: float64(p.memory.one), Unit: "B", Must: 256 << 20,
		Note: fmt.Sprintf("private; all sessions and workers at a time %s", quantity(float64(p.memory.all), "B"))})
	return b.ownTables(ctx, p)
}

// clientMemory keeps the largest so far.
func (b *bench) clientMemory(p *packed) {
	const name = "client memory (RSS)"
	for i := range b.Figures {
		if b.Figures[i].Name == name {
			b.Figures[i].Value = max(b.Figures[i].Value, float64(p.client))
			return
		}
	}
	b.add(figure{Name: name, Value: float64(p.client), Unit: "B", Must: 64 << 20, Aim: 32 << 20, Note: "the largest of all packs"})
}

// ownTables measures relpack's schema beside object_state.
func (b *bench) ownTables(ctx context.Context, p *packed) error {
	var ours, theirs int64
	if err := b.conn.QueryRow(ctx, `
		SELECT sum(pg_total_relation_size(oid)) FILTER (WHERE relnamespace = 'relpack'::regnamespace),
		       pg_total_relation_size('public.object_state')
		FROM pg_class
		WHERE relkind = 'r'`).Scan(&ours, &theirs); err != nil {
		return fmt.Errorf("measure the tables: %w", err)
	}
	rows, err := b.conn.Query(ctx, `
		SELECT format('%s %s', relname, pg_size_pretty(pg_total_relation_size(oid)))
		FROM pg_class
		WHERE relkind = 'r' AND relnamespace = 'relpack'::regnamespace
		ORDER BY pg_total_relation_size(oid) DESC
		LIMIT 3`)
	if err != nil {
		return fmt.Errorf("measure the tables: %w", err)
	}
	largest, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("measure the tables: %w", err)
	}
	allowed := float64(150*p.Objects + 90*p.References)
	b.add(figure{Name: "our tables", Value: float64(ours), Unit: "B", Must: allowed, Note: fmt.Sprint(largest)})
	b.add(figure{Name: "our tables, an object", Value: float64(ours) / float64(p.Objects), Unit: "B/object",
		Note: fmt.Sprintf("%.2f references each; object_state takes %.0f B", float64(p.References)/float64(p.Objects),
			float64(theirs)/float64(p.Objects))})
	b.add(figure{Name: "WAL of the first pack / our tables", Value: float64(p.wal) / float64(ours), Unit: "x", Must: 2,
		Note: quantity(float64(p.wal), "B")})
	return nil
}

// deletion packs in earnest.
func (b *bench) deletion(ctx context.Context) error {
	p, err := b.pack(ctx, b.dsn)
	if err != nil {
		return err
	}
	if p.Deleted.Objects != b.garbage {
		return fmt.Errorf("%d objects were deleted, %d are garbage", p.Deleted.Objects, b.garbage)
	}
	b.garbage = 0
	b.clientMemory(p)
	if sweep := p.phase("sweep"); sweep > 0 {
		b.add(figure{Name: "deletion", Value: float64(p.Deleted.Objects) / sweep, Unit: "objects/s", Must: 40_000, Aim: 100_000,
			Higher: true, Note: fmt.Sprintf("%d objects; %s", p.Deleted.Objects, p.phases())})
	}
	return b.checkpoint(ctx)
}

// idle packs when there is nothing to do.
func (b *bench) idle(ctx context.Context) error {
	var times []float64
	var last *packed
	for range 5 {
		p, err := b.pack(ctx, b.dsn)
		if err != nil {
			return err
		}
		if p.Unreachable.Objects != b.garbage {
			return fmt.Errorf("%d objects are unreachable, %d are garbage", p.Unreachable.Objects, b.garbage)
		}
		times = append(times, p.Seconds)
		last = p
	}
	b.add(figure{Name: nothingToDo, Value: median(times), Unit: "s", Must: 1, Aim: 0.1, Note: last.phases()})
	return nil
}

// changed packs after commits on ever more objects.
func (b *bench) changed(ctx context.Context) error {
	for _, lots := range []struct {
		fraction float64
		count    int
	}{{0.0001, 5}, {0.001, 5}, {0.01, 1}} {
		var finding, all []float64
		var lot *zodbgen.Change
		var p *packed
		for range lots.count {
			var err error
			if lot, p, err = b.changeAndPack(ctx, lots.fraction); err != nil {
				return err
			}
			b.clientMemory(p)
			finding, all = append(finding, p.finding()), append(all, p.Seconds)
		}
		f := figure{Name: fmt.Sprintf("after %g %% changed, to reach", 100*lots.fraction), Value: median(finding), Unit: "s",
			Note: fmt.Sprintf("%s; %d rows; %s", spread(finding), len(lot.Rows), p.phases())}
		if first := b.value("first pack"); lots.fraction == 0.001 {
			f.Must = first / 100
		}
		b.add(f)
		b.add(figure{Name: fmt.Sprintf("after %g %% changed, in all", 100*lots.fraction), Value: median(all), Unit: "s",
			Note: fmt.Sprintf("%s; %d objects deleted", spread(all), len(lot.Garbage))})
	}
	return nil
}

// spread says how often something was timed, and from what to what it took; the
// value is the median.
func spread(seconds []float64) string {
	if len(seconds) == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times, %.2g .. %.2g s", len(seconds), slices.Min(seconds), slices.Max(seconds))
}
