package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// changesOfARound is how many scripts a round of changes runs.
const changesOfARound = 2

// onHistory measures relpack and zodbpack on a history-preserving site, which was changed
// and undone in many rounds, then a history-free one of that size.
func onHistory(ctx context.Context, args []string) error {
	rounds := 0
	return onSites(ctx, "bench history", args, func(f *flag.FlagSet) {
		f.IntVar(&rounds, "rounds", 20, "change 5 % of the site, and undo some of it, so many `times`")
	}, func(b *bench, cache string) error {
		site := &realSite{cache: cache, history: true, past: rounds}
		if err := b.onRealSite(ctx, site, func(s *realSite) error { return s.compareHistory(ctx) }); err != nil {
			return err
		}
		plain := &bench{options: b.options, results: newResults(b.options), maintenance: b.maintenance}
		plain.Relpack = b.Relpack
		if err := plain.onRealSite(ctx, &realSite{cache: cache}, func(s *realSite) error { return s.later(ctx) }); err != nil {
			return err
		}
		b.addPlain(plain.results)
		return site.scale()
	})
}

// live gives the site its past.
func (s *realSite) live(ctx context.Context) error {
	if !s.history {
		return nil
	}
	for round := range s.past {
		step(fmt.Sprintf("round %d of %d", round+1, s.past))
		if _, err := s.script(ctx, "change_site.py", s.peer.dsn, "--fraction", "0.05", "--seed", s.nextSeed()); err != nil {
			return err
		}
		if _, err := s.script(ctx, "undo_site.py", s.peer.dsn, "--count", "10", "--seed", s.nextSeed()); err != nil {
			return err
		}
	}
	return connected(ctx, s.peer.dsn, func(conn *pgx.Conn) error { return s.age(ctx, conn) })
}

// age makes it ten days older: relpack removes no transaction of today.
func (s *realSite) age(ctx context.Context, conn *pgx.Conn) error {
	const days = "- (10::bigint * 24 * 60 << 32)"
	_, err := conn.Exec(ctx, `SET session_replication_role = replica;
		UPDATE transaction SET tid = tid `+days+` WHERE tid > 0;
		UPDATE object_state SET tid = tid `+days+`, prev_tid = CASE WHEN prev_tid > 0 THEN prev_tid `+days+` ELSE 0 END;
		UPDATE current_object SET tid = tid `+days)
	return err
}

// compareHistory measures first packs and deletions beside zodbpack and bare statements,
// then packs with nothing to do, and later ones.
func (s *realSite) compareHistory(ctx context.Context) (err error) {
	if err := s.addRevisions(ctx, "", s.bench.dsn); err != nil {
		return err
	}
	before := s.database + "_before"
	if err := s.copyDatabase(ctx, s.database, before); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.dropDatabase(context.WithoutCancel(ctx), before)) }()
	d := deletion{}
	if err := s.firstOfHistory(ctx, &d); err != nil {
		return err
	}
	if err := s.weekLaterHere(ctx, &d); err != nil {
		return err
	}
	if err := s.inTurns(ctx, before, 5, &d); err != nil {
		return err
	}
	s.addDeletions(d)
	if err := s.idle(ctx); err != nil {
		return err
	}
	s.changeBoth = s.change
	return s.secondOfBoth(ctx, s.peer, 5, 0)
}

// The figures that are compared with those of a history-free site.
const (
	nothingToDo = "nothing to do"
	afterEdits  = "after 0.1 % changed: relpack"
)

// firstOfHistory packs with both; relpack goes first.
func (s *realSite) firstOfHistory(ctx context.Context, d *deletion) error {
	step("relpack, first pack")
	first, err := s.packFirst(ctx, s.bench.dsn, false)
	if err != nil {
		return err
	}
	d.first(first)
	s.add(figure{Name: firstPack, Value: first.Seconds, Unit: "s", Note: fmt.Sprintf("%d revisions and %d objects deleted; %s",
		first.Trimmed.Revisions, first.Deleted.Objects, first.phases())})
	if err := s.addRevisions(ctx, " left by relpack", s.bench.dsn); err != nil {
		return err
	}
	if err := s.peer.first(ctx, d); err != nil {
		return err
	}
	return s.addRevisions(ctx, " left by zodbpack", s.peer.dsn)
}

// weekLater packs when the transactions may go that no revision names any more.
func (b *bench) weekLater(ctx context.Context, dsn string) (*packed, error) {
	step("relpack, a week later")
	if err := connected(ctx, dsn, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "UPDATE relpack.emptied SET since = since - interval '8 days'")
		return err
	}); err != nil {
		return nil, err
	}
	if err := warm(ctx, dsn); err != nil {
		return nil, err
	}
	return b.pack(ctx, dsn)
}

// weekLaterHere does so in the database that was packed first.
func (b *bench) weekLaterHere(ctx context.Context, d *deletion) error {
	p, err := b.weekLater(ctx, b.dsn)
	if err != nil {
		return err
	}
	d.transactions = append(d.transactions, p.phase("transactions"))
	b.add(figure{Name: "a week later", Value: p.Seconds, Unit: "s", Note: fmt.Sprintf("%d transactions deleted; %s", p.Trimmed.Transactions, p.phases())})
	return nil
}

// addRevisions counts what is stored.
func (s *realSite) addRevisions(ctx context.Context, whose, dsn string) error {
	return connected(ctx, dsn, func(conn *pgx.Conn) error {
		var revisions, transactions, objects, bytes int64
		if err := conn.QueryRow(ctx, `SELECT count(*), count(DISTINCT zoid), sum(state_size), (SELECT count(*) FROM transaction) FROM object_state`).
			Scan(&revisions, &objects, &bytes, &transactions); err != nil {
			return fmt.Errorf("count revisions: %w", err)
		}
		s.add(figure{Name: "revisions" + whose, Value: float64(revisions), Unit: "rows",
			Note: fmt.Sprintf("of %d objects, in %d transactions, states of %s", objects, transactions, quantity(float64(bytes), "B"))})
		return nil
	})
}

// later packs a history-free site, again when there is nothing to do, and each time when
// 0.1 % was changed.
func (s *realSite) later(ctx context.Context) error {
	step("a history-free site")
	if _, err := s.program(ctx, "migrate", "up", "--dsn", s.bench.dsn, "--quiet"); err != nil {
		return err
	}
	if _, err := s.bench.pack(ctx, s.bench.dsn); err != nil {
		return err
	}
	if err := warm(ctx, s.bench.dsn); err != nil {
		return err
	}
	if err := s.idle(ctx); err != nil {
		return err
	}
	var times []float64
	for range secondPacks {
		if _, err := s.edit(ctx); err != nil {
			return err
		}
		if err := warm(ctx, s.bench.dsn); err != nil {
			return err
		}
		p, err := s.bench.pack(ctx, s.bench.dsn)
		if err != nil {
			return err
		}
		times = append(times, p.process)
	}
	s.add(figure{Name: afterEdits, Value: median(times), Unit: "s", Note: spread(times)})
	return nil
}

// addPlain compares with a history-free site of the size.
func (r *results) addPlain(plain *results) {
	for _, name := range []string{nothingToDo, afterEdits} {
		r.add(figure{Name: name + " / without history", Value: ratio(r.value(name), plain.value(name)), Unit: "x", Must: 1.5,
			Note: fmt.Sprintf("%s with %d objects", quantity(plain.value(name), "s"), plain.Objects)})
	}
}
