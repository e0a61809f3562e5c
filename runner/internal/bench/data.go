package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/zodbgen"
	"relpack/runner/pickle"
)

// generate fills the database.
func (b *bench) generate(ctx context.Context) error {
	start := time.Now()
	b.plan = zodbgen.NewPlan(b.Objects, b.Seed)
	b.Objects = b.plan.Objects
	b.changes = b.plan.Changes()
	if err := b.plan.Load(ctx, b.conn); err != nil {
		return err
	}
	seconds := time.Since(start).Seconds()
	var cyclic int64
	b.garbage, cyclic = b.plan.GarbageCount()
	b.add(figure{Name: "generation", Value: float64(b.Objects) / seconds, Unit: "objects/s", Must: 100_000, Higher: true,
		Note: fmt.Sprintf("indexes and vacuum included; %.1f %% garbage, %.0f %% of it cyclic",
			100*float64(b.garbage)/float64(b.Objects), 100*float64(cyclic)/float64(b.garbage))})
	return b.checkpoint(ctx)
}

// checkpoint keeps what was written so far from being flushed while something
// else is measured.
func (b *bench) checkpoint(ctx context.Context) error {
	_, err := b.conn.Exec(ctx, "CHECKPOINT")
	return err
}

// warm reads a database into the server's own memory, as far as it fits, and ends
// what is written in the background, so that nothing pays for what was done
// before.
func warm(ctx context.Context, dsn string) error {
	return connected(ctx, dsn, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `CHECKPOINT;
			CREATE EXTENSION IF NOT EXISTS pg_prewarm WITH SCHEMA public;
			SELECT sum(public.pg_prewarm(oid::regclass)) FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'i', 't')`)
		return err
	})
}

// ready prepares for a first pack, which writes one and a half times what is stored:
// tables, WAL, and runs to sort.
func ready(ctx context.Context, dsn string) error {
	if err := warm(ctx, dsn); err != nil {
		return err
	}
	var stored int64
	if err := connected(ctx, dsn, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT pg_total_relation_size('public.object_state')").Scan(&stored)
	}); err != nil {
		return fmt.Errorf("measure object_state: %w", err)
	}
	return populate(stored * 3 / 2)
}

// discard counts.
type discard int64

func (d *discard) Write(p []byte) (int, error) {
	*d += discard(len(p))
	return len(p), nil
}

// floor is what no scan can beat: the server streaming all states. The second
// and later times count, when what fits is in memory. Measured before a first
// pack and after it: what else goes on on a machine changes from one minute to
// the next.
func (b *bench) floor(ctx context.Context) error {
	var size discard
	for i := range 4 {
		start := time.Now()
		size = 0
		if _, err := b.conn.PgConn().CopyTo(ctx, &size,
			"COPY (SELECT zoid, tid, state FROM object_state) TO STDOUT (FORMAT binary)"); err != nil {
			return err
		}
		if i > 0 {
			b.floors = append(b.floors, time.Since(start).Seconds())
		}
	}
	const name = "floor"
	b.remove(name)
	b.add(figure{Name: name, Value: median(b.floors), Unit: "s",
		Note: fmt.Sprintf("COPY of all states to nowhere, warm, %s; mean state %d B", spread(b.floors), int64(size)/b.Objects-34)})
	return nil
}

// decodeSample is how many records are kept in memory to be decoded.
const decodeSample = 100_000

// decode scans records in memory, on one core.
func (b *bench) decode(context.Context) error {
	step := max(b.Objects/decodeSample, 1)
	var records [][]byte
	if err := b.plan.Write(func(zoid, _ int64, state []byte) error {
		if zoid%step == 0 {
			records = append(records, slices.Clone(state))
		}
		return nil
	}); err != nil {
		return err
	}
	var s pickle.Scanner
	pass := func() error {
		for _, record := range records {
			if err := s.Scan(record); err != nil {
				return err
			}
			s.Class()
		}
		return nil
	}
	if err := pass(); err != nil { // the scanner's buffers grow
		return err
	}
	var times []float64
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 9 {
		start := time.Now()
		if err := pass(); err != nil {
			return err
		}
		times = append(times, time.Since(start).Seconds())
	}
	runtime.ReadMemStats(&after)
	n := float64(len(records))
	b.add(figure{Name: "decode, one core", Value: n / median(times), Unit: "records/s", Must: 1.5e6, Aim: 3e6, Higher: true,
		Note: fmt.Sprintf("%.4f allocations a record", float64(after.Mallocs-before.Mallocs)/(9*n))})
	return nil
}

func mean(values []float64) (sum float64) {
	for _, value := range values {
		sum += value
	}
	return sum / float64(max(len(values), 1))
}

// median of some values; it sorts them.
func median(values []float64) float64 {
	return quantile(values, 0.5)
}

func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	at := q * float64(len(values)-1)
	low := int(at)
	high := min(low+1, len(values)-1)
	return values[low] + (values[high]-values[low])*(at-float64(low))
}
