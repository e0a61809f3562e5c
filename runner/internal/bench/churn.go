package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/zodbgen"
)

// churnPacks is how often churn changes one per cent of the objects and packs.
const churnPacks = 100

// churn packs a generated site again and again, as cron does. The last packs
// are to cost what the first ones did, and relpack's tables are not to grow
// with their number.
func (b *bench) churn(ctx context.Context, objects int64) error {
	fmt.Fprintf(os.Stderr, "churn of %d\n", objects)
	dsn, drop, err := b.newDatabase(ctx, "relpack_churn")
	if err != nil {
		return err
	}
	c := &bench{options: b.options, results: newResults(options{objects: objects, seed: 1}), maintenance: b.maintenance, dsn: dsn}
	var times []float64
	var sizes []int64
	err = connected(ctx, dsn, func(conn *pgx.Conn) error {
		c.conn = conn
		if err := c.generate(ctx); err != nil {
			return err
		}
		if err := c.firstPack(ctx); err != nil {
			return err
		}
		if err := c.deletion(ctx); err != nil {
			return err
		}
		for range churnPacks {
			lot, p, err := c.changeAndPack(ctx, 0.01)
			if err != nil {
				return err
			}
			var size int64
			if err := conn.QueryRow(ctx, `SELECT sum(pg_total_relation_size(oid))
				FROM pg_class WHERE relkind = 'r' AND relnamespace = 'relpack'::regnamespace`).Scan(&size); err != nil {
				return fmt.Errorf("measure the tables: %w", err)
			}
			times = append(times, p.Seconds/float64(len(lot.Rows)))
			sizes = append(sizes, size)
		}
		return nil
	})
	if err = errors.Join(err, drop()); err != nil {
		return err
	}
	first, last := median(times[:10]), median(times[len(times)-10:])
	b.add(figure{Name: fmt.Sprintf("churn of %d: the last of %d packs", objects, churnPacks), Value: last / first, Unit: "x", Must: 1.5,
		Note: fmt.Sprintf("each after 1 %% changed; medians of 10: %.3g and %.3g µs a changed object", first*1e6, last*1e6)})
	b.add(figure{Name: fmt.Sprintf("churn of %d: our tables at the end", objects),
		Value: float64(sizes[len(sizes)-1]) / float64(sizes[0]), Unit: "x", Must: 1.5,
		Note: fmt.Sprintf("%s after the first pack, %s in the middle", quantity(float64(sizes[0]), "B"), quantity(float64(sizes[len(sizes)/2]), "B"))})
	return nil
}

// changeAndPack commits changes to a fraction of the objects and packs.
func (b *bench) changeAndPack(ctx context.Context, fraction float64) (*zodbgen.Change, *packed, error) {
	lot := b.changes.Next(fraction)
	if err := lot.Commit(ctx, b.conn); err != nil {
		return nil, nil, err
	}
	if err := b.checkpoint(ctx); err != nil {
		return nil, nil, err
	}
	p, err := b.pack(ctx, b.dsn)
	if err != nil {
		return nil, nil, err
	}
	if p.Deleted.Objects != int64(len(lot.Garbage)) {
		return nil, nil, fmt.Errorf("after %g of the objects changed %d were deleted, %d are garbage", fraction, p.Deleted.Objects, len(lot.Garbage))
	}
	return lot, p, nil
}
