package main

import (
	"context"
	"fmt"
	"slices"
)

// rounds lets the site grow and change, as it does in a day, and packs it, again and
// again. The tree is to stay shallow, and the last packs are to cost what the first
// ones did.
func (s *realSite) rounds(ctx context.Context, count int) error {
	step("first pack")
	if _, err := s.program(ctx, "migrate", "up", "--dsn", s.bench.dsn, "--quiet"); err != nil {
		return err
	}
	first, err := s.bench.pack(ctx, s.bench.dsn)
	if err != nil {
		return err
	}
	s.add(figure{Name: firstPack, Value: first.Seconds, Unit: "s", Note: "with the deletion; " + first.phases()})
	if err := s.depth(ctx, "the first pack"); err != nil {
		return err
	}
	var each []float64
	for i := 0; i < count && err == nil; i++ {
		var cost float64
		if cost, err = s.round(ctx, i+1); err == nil {
			each = append(each, cost)
		}
		if err == nil && i+1 == count/2 {
			err = s.depth(ctx, fmt.Sprintf("round %d", i+1))
		}
	}
	s.addRounds(each)
	if err != nil {
		return err
	}
	return s.depth(ctx, fmt.Sprintf("round %d", count))
}

// round returns what the pack cost for each object written, in microseconds: more than
// one with nothing to do, right after it. As the site changes, some days write less than
// others.
func (s *realSite) round(ctx context.Context, number int) (each float64, err error) {
	written, err := s.writing(ctx, func() error {
		if _, err := s.script(ctx, "grow_site.py", s.bench.dsn, "--seed", s.nextSeed()); err != nil {
			return err
		}
		_, err := s.script(ctx, "change_site.py", s.bench.dsn, "--fraction", "0.001", "--seed", s.nextSeed())
		return err
	})
	if err != nil {
		return 0, err
	}
	if err := warm(ctx, s.bench.dsn); err != nil {
		return 0, err
	}
	p, err := s.bench.pack(ctx, s.bench.dsn)
	if err != nil {
		return 0, err
	}
	idle, err := s.bench.pack(ctx, s.bench.dsn)
	if err != nil {
		return 0, err
	}
	each = 1e6 * ratio(p.Seconds-idle.Seconds, float64(written))
	step(fmt.Sprintf("round %d: %d objects written, %d deleted, %.3g s, with nothing to do %.3g s, %.0f µs for each written",
		number, written, p.Deleted.Objects, p.Seconds, idle.Seconds, each))
	return each, nil
}

// addRounds compares what a changed object cost in the last ten rounds, or in the
// last half of fewer than twenty, with the first ones.
func (r *results) addRounds(each []float64) {
	n := min(10, len(each)/2)
	if n == 0 {
		return
	}
	first, last := median(slices.Clone(each[:n])), median(slices.Clone(each[len(each)-n:]))
	r.add(figure{Name: fmt.Sprintf("a changed object, the first %d of %d rounds", n, len(each)), Value: first, Unit: "µs", Note: "median of the packs, beyond what one with nothing to do takes"})
	r.add(figure{Name: fmt.Sprintf("a changed object, the last %d of %d rounds", n, len(each)), Value: last, Unit: "µs"})
	r.add(figure{Name: fmt.Sprintf("a changed object, the last %d / the first %d", n, n), Value: ratio(last, first), Unit: "x", Must: 1.2})
}
