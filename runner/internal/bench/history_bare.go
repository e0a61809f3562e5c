package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// deletion is how long each part of the deletion of the same rows took, in seconds, as
// often as it was done.
type deletion struct {
	trim, sweep, transactions []float64 // relpack's phases
	afterDryRun               []float64 // trim, where a dry run had built the graph
	bare                      [3][]float64
	rows                      [3]int64  // that each bare statement deletes
	whole                     []float64 // relpack's first packs, with their starts
	prepack, theirs           []float64 // zodbpack's two parts, with their starts; none: it was not asked
}

// first takes what a first pack took.
func (d *deletion) first(p *packed) {
	d.trim = append(d.trim, p.phase("trim"))
	d.sweep = append(d.sweep, p.phase("sweep"))
	d.whole = append(d.whole, p.process)
}

// first takes what a first pack of zodbpack's takes.
func (p *peer) first(ctx context.Context, d *deletion) error {
	for _, part := range []struct {
		name, flag string
		seconds    *[]float64
	}{{"prepack", "--prepack", &d.prepack}, {"deletion", "--use-prepack-state", &d.theirs}} {
		step("zodbpack, " + part.name)
		if err := warm(ctx, p.dsn); err != nil {
			return err
		}
		seconds, _, err := p.pack(ctx, part.flag)
		if err != nil {
			return err
		}
		*part.seconds = append(*part.seconds, seconds)
	}
	return nil
}

// bareDeletions delete what relpack has deleted.
var bareDeletions = [3]struct{ what, sql string }{
	{"objects", "DELETE FROM current_object USING bare_object WHERE current_object.zoid = bare_object.zoid"},
	{"revisions", "DELETE FROM object_state USING bare_revision WHERE object_state.zoid = bare_revision.zoid AND object_state.tid = bare_revision.tid"},
	{"transactions", "DELETE FROM transaction USING bare_transaction WHERE transaction.tid = bare_transaction.tid"},
}

// bareHistory deletes in another database, which is as this one was before, what is gone
// here, by one statement for each table, with the keys and triggers of RelStorage alone.
func (s *realSite) bareHistory(ctx context.Context, dsn string, d *deletion) error {
	return connected(ctx, dsn, func(conn *pgx.Conn) error {
		if err := s.gone(ctx, conn); err != nil {
			return err
		}
		if err := warm(ctx, dsn); err != nil {
			return err
		}
		for i, deletion := range bareDeletions {
			start := time.Now()
			deleted, err := conn.Exec(ctx, deletion.sql)
			if err != nil {
				return fmt.Errorf("bare statements: %s: %w", deletion.what, err)
			}
			d.bare[i] = append(d.bare[i], time.Since(start).Seconds())
			d.rows[i] = deleted.RowsAffected()
		}
		return nil
	})
}

// inTurns deletes in copies of a database that is as this one was before any pack: by the
// bare statements, and in between by relpack and, where it was asked before, by zodbpack. A
// machine that is slower for a while is so for all. What is short is done more often.
func (s *realSite) inTurns(ctx context.Context, before string, times int, d *deletion) error {
	for i := range times {
		for range 3 {
			step("bare statements")
			if err := s.onCopyOf(ctx, before, func(dsn string) error { return s.bareHistory(ctx, dsn, d) }); err != nil {
				return err
			}
		}
		if i == times-1 {
			break
		}
		for range 2 {
			step("relpack, first pack")
			if err := s.onCopyOf(ctx, before, func(dsn string) error { return s.packTwice(ctx, dsn, d) }); err != nil {
				return err
			}
		}
		step("relpack, after a dry run")
		if err := s.onCopyOf(ctx, before, func(dsn string) error {
			p, err := s.packFirst(ctx, dsn, true)
			if err == nil {
				d.afterDryRun = append(d.afterDryRun, p.phase("trim"))
			}
			return err
		}); err != nil {
			return err
		}
		if len(d.theirs) == 0 {
			continue
		}
		if err := s.onCopyOf(ctx, before, func(dsn string) error {
			theirs, err := s.peer.on(dsn)
			if err != nil {
				return err
			}
			return theirs.first(ctx, d)
		}); err != nil {
			return err
		}
	}
	return nil
}

// packTwice packs for the first time, and a week later.
func (b *bench) packTwice(ctx context.Context, dsn string, d *deletion) error {
	first, err := b.packFirst(ctx, dsn, false)
	if err != nil {
		return err
	}
	d.first(first)
	old, err := b.weekLater(ctx, dsn)
	if err == nil {
		d.transactions = append(d.transactions, old.phase("transactions"))
	}
	return err
}

// packFirst installs relpack, and packs for the first time, after a dry run or at once.
func (b *bench) packFirst(ctx context.Context, dsn string, dryRun bool) (*packed, error) {
	if _, err := b.program(ctx, "migrate", "up", "--dsn", dsn, "--quiet"); err != nil {
		return nil, err
	}
	if dryRun {
		if _, err := b.pack(ctx, dsn, "--dry-run"); err != nil {
			return nil, err
		}
	}
	if err := ready(ctx, dsn); err != nil {
		return nil, err
	}
	return b.pack(ctx, dsn)
}

// gone enters what is gone here into tables of the other database.
func (s *realSite) gone(ctx context.Context, conn *pgx.Conn) error {
	var left [3][][]any
	if err := connected(ctx, s.bench.dsn, func(here *pgx.Conn) (err error) {
		for i, sql := range []string{"SELECT zoid FROM current_object", "SELECT zoid, tid FROM object_state", "SELECT tid FROM transaction"} {
			if left[i], err = rowsOf(ctx, here, sql); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for i, table := range []struct{ name, of, key string }{
		{"bare_object", "current_object", "zoid"}, {"bare_revision", "object_state", "zoid, tid"}, {"bare_transaction", "transaction", "tid"},
	} {
		if _, err := conn.Exec(ctx, fmt.Sprintf("CREATE TABLE here AS SELECT %s FROM %s LIMIT 0", table.key, table.of)); err != nil {
			return err
		}
		if _, err := conn.CopyFrom(ctx, pgx.Identifier{"here"}, strings.Split(table.key, ", "), pgx.CopyFromRows(left[i])); err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, fmt.Sprintf("CREATE TABLE %s AS SELECT %s FROM %s EXCEPT TABLE here; ANALYZE %[1]s; DROP TABLE here",
			table.name, table.key, table.of)); err != nil {
			return err
		}
	}
	return nil
}

// addDeletions compares their means. A machine is slower for some seconds at a time: of
// the fastest, a short one would be in such a time less often.
func (r *results) addDeletions(d deletion) {
	var bare float64
	for i, seconds := range d.bare {
		note := fmt.Sprintf("%d rows; %s", d.rows[i], spread(seconds))
		r.add(figure{Name: "bare DELETE of " + bareDeletions[i].what, Value: mean(seconds), Unit: "s", Note: note})
		bare += mean(seconds)
	}
	note := fmt.Sprintf("trim %.3g s (%s), sweep %.3g s, transactions %.3g s (%s), the graph included",
		mean(d.trim), spread(d.trim), mean(d.sweep), mean(d.transactions), spread(d.transactions))
	ours := mean(d.trim) + mean(d.sweep) + mean(d.transactions)
	r.add(figure{Name: "bare statements", Value: bare, Unit: "s"})
	r.add(figure{Name: "deletion", Value: ours, Unit: "s", Note: note})
	r.add(figure{Name: "deletion / bare statements", Value: ratio(ours, bare), Unit: "x", Must: 1.5})
	if len(d.afterDryRun) > 0 {
		r.add(figure{Name: "trim after a dry run / without", Value: ratio(mean(d.afterDryRun), mean(d.trim)), Unit: "x", Must: 1.25, Note: spread(d.afterDryRun)})
	}
	if len(d.theirs) == 0 {
		return
	}
	var both, whole []float64
	for i := range d.theirs {
		both = append(both, d.prepack[i]+d.theirs[i])
		whole = append(whole, d.whole[2*i]) // of the two in that turn the one closer to it
	}
	r.add(figure{Name: "zodbpack's prepack", Value: mean(d.prepack), Unit: "s", Note: spread(d.prepack)})
	r.add(figure{Name: "zodbpack's deletion", Value: mean(d.theirs), Unit: "s", Note: spread(d.theirs)})
	r.add(figure{Name: "deletion: how much faster than zodbpack", Value: ratio(mean(d.theirs), ours), Unit: "x", Must: 4, Higher: true})
	r.beside("first pack, with its start", whole, both, 5, 0, spread(d.whole))
}
