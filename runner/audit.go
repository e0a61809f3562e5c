package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/figures"
	"relpack/runner/record"
)

// auditTime bounds what a run spends on reading its share of the storage again.
const auditTime = 60 * time.Second

// Objects that an audit reads in one transaction, which is to take a second or
// so.
const (
	firstAudit = 500
	mostAudit  = 20_000
)

// auditLockTimeout: who has object_state for himself for longer is left alone.
// An audit's share falls to the next run then.
const auditLockTimeout = "2s"

// verification is what a pack verifies with: in its own session, counting apart.
func (p *pack) verification() *verification {
	return &verification{
		pack:   &pack{target: p.target, options: p.options, log: p.log, progress: p.progress, conn: p.conn, packer: p.packer, report: &Report{}},
		repair: true, maxEvents: maxEvents, report: &VerifyReport{},
		findings: &findingSet{mark: true, packer: p.packer, byKind: map[string]*Finding{}},
	}
}

// audit reads the share of the storage again that is due by the clock, and
// compares it with the graph: as long as the graph is right, nobody notices.
func (p *pack) audit(ctx context.Context, due int64) error {
	v := p.verification()
	v.lockTimeout = auditLockTimeout
	if due > 0 {
		err := p.phase("audit", func() error { return v.share(ctx, due) })
		p.report.Audited = figures.Count{Objects: v.counts.scanned.Load(), Bytes: v.counts.scannedBytes.Load()}
		if err == nil {
			err = p.stopAtDifference(ctx, v)
		}
		if err == nil {
			err = p.sayVerified(ctx)
		}
		return err
	}
	return nil
}

// sayVerified tells who is behind.
func (p *pack) sayVerified(ctx context.Context) error {
	since := &p.report.VerifiedSince
	if err := p.conn.QueryRow(ctx, "SELECT nullif(min(since), '-infinity') FROM relpack.audited").Scan(since); err != nil {
		return fmt.Errorf("read relpack.audited: %w", err)
	}
	if now := time.Now(); *since == nil || now.Sub(**since) > verifiedWithin {
		p.log.Warn("verified against the storage: " + verifiedText(*since, now))
	}
	return nil
}

// share goes on where the last audit ended.
func (v *verification) share(ctx context.Context, due int64) error {
	v.progress.Phase("audit", "objects", due)
	defer v.progress.End()
	var began time.Time
	// Most shares are so small that to connect would take longer than to read them.
	w := &verifyWorker{verification: v, reader: v.conn}
	if err := v.conn.QueryRow(ctx, "SELECT clock_timestamp(), listed_tid FROM relpack.storage").Scan(&began, &w.collected); err != nil {
		return fmt.Errorf("read relpack.storage: %w", err)
	}
	classes, err := record.NewClasses(ctx, v.conn)
	if err != nil {
		return err
	}
	classes.Open = w.beside
	w.Decoder = record.NewDecoder(classes)
	defer w.close()
	objects := firstAudit
	for done, start := int64(0), time.Now(); done < due && time.Since(start) < auditTime && len(v.findings.byKind) == 0; {
		if v.stopped() {
			return fault.Interrupted
		}
		piece := time.Now()
		more, read, err := w.piece(ctx, began, objects)
		if fault.IsState(err, "55P03") { // lock_not_available
			v.log.Info("object_state is locked: the next run verifies this run's share of it")
			return nil
		}
		if err != nil {
			return fmt.Errorf("verify a share of the storage: %w", err)
		}
		if !more {
			return nil
		}
		done += read
		v.progress.Add(read)
		if took := time.Since(piece); took > time.Second {
			objects = max(objects/2, 1)
		} else if took < time.Second/2 {
			objects = min(2*objects, mostAudit)
		}
	}
	return nil
}

// piece reads and compares the next range of zoids; false: there is none left.
func (w *verifyWorker) piece(ctx context.Context, began time.Time, objects int) (more bool, read int64, err error) {
	var first, last *int64
	var missing []int64
	err = w.looking(ctx, func() error {
		return w.conn.QueryRow(ctx, "SELECT first_zoid, last_zoid FROM relpack.audit_range($1, $2)", objects, began).Scan(&first, &last)
	})
	if err != nil || first == nil {
		return false, 0, err
	}
	before := w.counts.scanned.Load()
	if err := w.transaction(ctx, func() error {
		if _, err := w.reader.Exec(ctx, w.lockStorage()); err != nil {
			return err
		}
		return record.CopyStored(ctx, w.reader, fmt.Sprintf("zoid BETWEEN %d AND %d", *first, *last), w.collected,
			func(rec record.Row) error { return w.stage(ctx, rec) })
	}); err != nil {
		return false, 0, err
	}
	read = w.counts.scanned.Load() - before
	if err := w.looking(ctx, func() error {
		return w.conn.QueryRow(ctx, "SELECT missing FROM relpack.verify_nodes($1, $2)", *first-1, objects).Scan(&missing)
	}); err != nil {
		return false, 0, err
	}
	w.findings.add("other_than_stored", int64(len(missing)), missing)
	if err := w.findings.pend(ctx, w.conn, missing); err != nil {
		return false, 0, err
	}
	if err := w.tree(ctx, *first, *last); err != nil || len(w.findings.byKind) > 0 {
		return true, read, err
	}
	_, err = w.conn.Exec(ctx, "SELECT relpack.audit_done($1, $2, $3, $4)", *first, *last, began, read)
	return true, read, err
}

// tree checks parents in a range of zoids.
func (v *verification) tree(ctx context.Context, first, last int64) error {
	rows, err := v.conn.Query(ctx, "SELECT kind, zoid FROM relpack.audit_tree($1, $2)", first, last)
	if err != nil {
		return err
	}
	var kind string
	var zoid int64
	_, err = pgx.ForEachRow(rows, []any{&kind, &zoid}, func() error {
		v.findings.add(kind, 1, []int64{zoid})
		return nil
	})
	return err
}

// stopAtDifference notes what was found, so that nothing is deleted before it is
// mended, and mends it.
func (p *pack) stopAtDifference(ctx context.Context, v *verification) error {
	if len(v.findings.byKind) == 0 {
		return nil
	}
	found, err := v.inWords(ctx)
	if err != nil {
		return err
	}
	var texts []string
	for _, f := range found {
		if f.Severity == "error" && f.Kind != outOfForce {
			texts = append(texts, f.String())
		}
	}
	p.report.Mended = found
	return p.differs(ctx, strings.Join(texts, "; "))
}

// differs notes a difference and mends it.
func (p *pack) differs(ctx context.Context, difference string) error {
	if _, err := p.conn.Exec(ctx, "SELECT relpack.audit_differs($1)", difference); err != nil {
		return fmt.Errorf("note what differs in relpack.audit: %w", err)
	}
	p.log.Warn("the graph does not describe the storage: " + difference + ": everything is read again")
	return p.readAgain(ctx, difference)
}

// cutOff names the refusal of relpack.require_cut_off().
const cutOff = "what_is_deleted_is_cut_off"

// unlessHeld mends the graph if err is that live objects refer to what would be
// deleted.
func (p *pack) unlessHeld(ctx context.Context, err error) error {
	refusal, refused := fault.AsRefusal(err)
	if !refused || refusal.ConstraintName != cutOff || p.conn.IsClosed() {
		return err
	}
	return p.differs(ctx, strings.TrimPrefix(refusal.Message, "the graph does not describe the storage: "))
}

// mendDifference mends what an audit of an earlier run found. It returns how
// many objects this run has to audit.
func (p *pack) mendDifference(ctx context.Context) (due int64, err error) {
	var difference *string
	if err := p.conn.QueryRow(ctx, `SELECT objects, difference, (SELECT nullif(min(since), '-infinity') FROM relpack.audited)
		FROM relpack.audit_due()`).Scan(&due, &difference, &p.report.VerifiedSince); err != nil {
		return 0, fmt.Errorf("ask what is to be audited: %w", err)
	}
	if difference != nil {
		p.log.Warn("the graph did not describe the storage when a run before this one looked: " + *difference + ": everything is read again")
		return 0, p.readAgain(ctx, *difference)
	}
	return due, nil
}

// readAgain mends the graph as verify --repair does. It ends the run: where the
// graph was wrong, the next one deletes.
func (p *pack) readAgain(ctx context.Context, difference string) error {
	return p.phase("repair", func() error {
		v := p.verification()
		var began time.Time
		if err := v.conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&began); err != nil {
			return fmt.Errorf("ask for the time: %w", err)
		}
		if err := v.fewEvents(ctx); err != nil {
			return err
		}
		found, err := v.pass(ctx, true)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(found, func(f Finding) bool { return f.Kind == outOfForce }) {
			return off(found, "")
		}
		if err := v.mend(ctx); err != nil {
			return err
		}
		p.report.Mended = append(p.report.Mended, found...)
		if _, err := p.conn.Exec(ctx, "SELECT relpack.audit_whole($1)", began); err != nil {
			return fmt.Errorf("note that everything is verified: %w", err)
		}
		return &fault.Error{Code: fault.ExitRefused, Err: errors.New("the graph did not describe the storage: " + difference + ". It is mended now"),
			Hint: `Run "relpack pack" again: it deletes`}
	})
}
