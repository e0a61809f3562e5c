package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/zodbtest"
)

// changesOfARound is how many scripts a round of changes runs.
const changesOfARound = 2

// onHistory measures relpack and zodbpack on a history-preserving site, which was changed
// and undone in many rounds, and later packs beside those of a history-free one.
func onHistory(ctx context.Context, args []string) error {
	rounds := 0
	return onSites(ctx, "bench history", args, func(f *flag.FlagSet) {
		f.IntVar(&rounds, "rounds", 20, "change 5 % of the site, and undo some of it, so many `times`")
	}, func(b *bench, cache string) error {
		site := &realSite{cache: cache, history: true, past: rounds}
		if err := b.onRealSite(ctx, site, func(s *realSite) error { return s.compareHistory(ctx) }); err != nil {
			return err
		}
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
	days := fmt.Sprintf("- %d", zodbtest.Earlier(time.Now(), 10*24*time.Hour))
	_, err := conn.Exec(ctx, `SET session_replication_role = replica;
		UPDATE transaction SET tid = tid `+days+` WHERE tid > 0;
		UPDATE object_state SET tid = tid `+days+`, prev_tid = CASE WHEN prev_tid > 0 THEN prev_tid `+days+` ELSE 0 END;
		UPDATE current_object SET tid = tid `+days)
	return err
}

// compareHistory measures first packs and deletions beside zodbpack and bare statements,
// then later packs beside those of zodbpack, and of a history-free site.
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
	s.changeBoth = s.change
	if err := s.secondOfBoth(ctx, s.peer, 5, 0); err != nil {
		return err
	}
	return s.besidePlain(ctx)
}

// besidePlain makes a history-free site, and packs both.
func (s *realSite) besidePlain(ctx context.Context) error {
	plain := &bench{options: s.options, results: newResults(s.options), maintenance: s.maintenance}
	return plain.onRealSite(ctx, &realSite{cache: s.cache}, func(p *realSite) error {
		step("a history-free site")
		if _, err := plain.packFirst(ctx, plain.dsn, false); err != nil {
			return err
		}
		return s.laterInTurns(ctx, versus{plain: plain, size: "as many objects", must: 1.5, here: s.editOnce, there: p.editOnce})
	})
}

// editOnce changes 0.1 % of the site.
func (s *realSite) editOnce(ctx context.Context, _ int) error {
	_, err := s.edit(ctx)
	return err
}

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
