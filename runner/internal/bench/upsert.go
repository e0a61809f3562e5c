package main

import (
	"context"
	"fmt"
	"time"
)

// Sizes of the measurement of a large statement.
const (
	upsertObjects = 100_000
	upsertPairs   = 5
)

// upsert measures what our triggers cost a statement that writes 100,000
// objects again (fewer if there aren't as many): a large import.
func (b *bench) upsert(ctx context.Context) error {
	if _, err := b.conn.Exec(ctx, fmt.Sprintf(`
		CREATE TEMPORARY TABLE upserted AS
		SELECT zoid, (SELECT max(tid) + 1 FROM object_state) AS tid, state_size, state
		FROM object_state
		ORDER BY zoid
		LIMIT %d;
		ANALYZE upserted`, upsertObjects)); err != nil {
		return err
	}
	var with, without, ratios []float64
	for pair := range upsertPairs {
		var took [2]float64
		for turn := range 2 {
			on := (pair+turn)%2 == 0
			if err := b.setTriggers(ctx, on); err != nil {
				return err
			}
			seconds, err := b.upsertOnce(ctx)
			if err != nil {
				return err
			}
			if on {
				took[1] = seconds
			} else {
				took[0] = seconds
			}
		}
		without, with = append(without, took[0]), append(with, took[1])
		ratios = append(ratios, took[1]/took[0])
	}
	if err := b.setTriggers(ctx, true); err != nil {
		return err
	}
	if _, err := b.conn.Exec(ctx, "DROP TABLE upserted"); err != nil {
		return err
	}
	b.add(figure{Name: "upsert of 100,000 objects with triggers / without", Value: median(ratios), Unit: "x", Must: 1.4, Aim: 1.2,
		Note: fmt.Sprintf("%.2f s and %.2f s; %d pairs, %.2f .. %.2f", median(with), median(without), upsertPairs,
			quantile(ratios, 0), quantile(ratios, 1))})
	return nil
}

// upsertOnce is one such statement, committed; the rows it leaves dead are
// vacuumed away, so that all statements meet the same table.
func (b *bench) upsertOnce(ctx context.Context) (seconds float64, err error) {
	if _, err := b.conn.Exec(ctx, "VACUUM object_state"); err != nil {
		return 0, err
	}
	if err := b.checkpoint(ctx); err != nil {
		return 0, err
	}
	start := time.Now()
	_, err = b.conn.Exec(ctx, `
		INSERT INTO object_state (zoid, tid, state_size, state)
		SELECT zoid, tid, state_size, state
		FROM upserted
		ORDER BY zoid
		ON CONFLICT (zoid) DO UPDATE
		SET tid = excluded.tid, state_size = excluded.state_size, state = excluded.state`)
	return time.Since(start).Seconds(), err
}
