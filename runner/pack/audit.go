package pack

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"relpack/runner/fault"
	"relpack/runner/graph"
	"relpack/runner/inventory"
	"relpack/runner/verify"
)

// auditLockTimeout: who has object_state for himself for longer is left alone.
// An audit's share falls to the next run then.
const auditLockTimeout = "2s"

// comparison is what a pack compares with: in its own session, counting apart.
func (p *pack) comparison() *graph.Comparison {
	return &graph.Comparison{Packer: p.Apart(), Findings: graph.NewFindings(), Mark: true, LockTimeout: auditLockTimeout}
}

// audit reads the share of the storage again that is due by the clock, and
// compares it with the graph: as long as the graph is right, nobody notices.
func (p *pack) audit(ctx context.Context, due int64) error {
	if due == 0 {
		return nil
	}
	c := p.comparison()
	err := p.Phase("audit", func() error { return c.Share(ctx, due) })
	p.report.Audited = c.Scanned.Count()
	if err == nil {
		err = p.stopAtDifference(ctx, c)
	}
	if err == nil {
		err = p.sayVerified(ctx)
	}
	return err
}

// prove proves a sample of what is chosen the slow way, before the first object
// goes.
func (p *pack) prove(ctx context.Context) error {
	if p.report.Chosen.Objects == 0 || p.Stopped() {
		return nil
	}
	c := p.comparison()
	if err := p.Phase("prove", func() error { return c.Sample(ctx) }); err != nil {
		return err
	}
	return p.stopAtDifference(ctx, c)
}

// sayVerified tells who is behind.
func (p *pack) sayVerified(ctx context.Context) error {
	since, err := inventory.VerifiedSince(ctx, p.Conn)
	if p.report.VerifiedSince = since; err != nil {
		return err
	}
	if now := time.Now(); since == nil || now.Sub(*since) > inventory.VerifiedWithin {
		p.Log.Warn("verified against the storage: " + inventory.VerifiedText(since, now))
	}
	return nil
}

// stopAtDifference notes what was found, so that nothing is deleted before it is
// mended, and mends it.
func (p *pack) stopAtDifference(ctx context.Context, c *graph.Comparison) error {
	if c.Findings.None() {
		return nil
	}
	found, err := c.InWords(ctx)
	if err != nil {
		return err
	}
	var texts []string
	for _, f := range found {
		if f.Severity == "error" && f.Kind != graph.OutOfForce {
			texts = append(texts, f.String())
		}
	}
	p.report.Mended = found
	return p.differs(ctx, strings.Join(texts, "; "))
}

// differs notes a difference and mends it.
func (p *pack) differs(ctx context.Context, difference string) error {
	if _, err := p.Conn.Exec(ctx, "SELECT relpack.audit_differs($1)", difference); err != nil {
		return fmt.Errorf("note what differs in relpack.audit: %w", err)
	}
	p.Log.Warn("the graph does not describe the storage: " + difference + ": everything is read again")
	return p.readAgain(ctx, difference)
}

// unlessHeld mends the graph if err is that live objects refer to what would be
// deleted.
func (p *pack) unlessHeld(ctx context.Context, err error) error {
	refusal, refused := fault.AsRefusal(err)
	if !refused || refusal.ConstraintName != graph.CutOff || p.Conn.IsClosed() {
		return err
	}
	return p.differs(ctx, strings.TrimPrefix(refusal.Message, "the graph does not describe the storage: "))
}

// mendDifference mends what an audit of an earlier run found. It returns how
// many objects this run has to audit.
func (p *pack) mendDifference(ctx context.Context) (due int64, err error) {
	var difference *string
	if p.report.VerifiedSince, err = inventory.VerifiedSince(ctx, p.Conn); err != nil {
		return 0, err
	}
	if err := p.Conn.QueryRow(ctx, "SELECT objects, difference FROM relpack.audit_due()").Scan(&due, &difference); err != nil {
		return 0, fmt.Errorf("ask what is to be audited: %w", err)
	}
	if difference != nil {
		p.Log.Warn("the graph did not describe the storage when a run before this one looked: " + *difference + ": everything is read again")
		return 0, p.readAgain(ctx, *difference)
	}
	return due, nil
}

// readAgain mends the graph as verify --repair does. It ends the run: where the
// graph was wrong, the next one deletes.
func (p *pack) readAgain(ctx context.Context, difference string) error {
	return p.Phase("repair", func() error {
		found, err := verify.Repair(ctx, p.Apart())
		p.report.Mended = append(p.report.Mended, found...)
		if err != nil {
			return err
		}
		return &fault.Error{Code: fault.ExitRefused, Err: errors.New("the graph did not describe the storage: " + difference + ". It is mended now"),
			Hint: `Run "relpack pack" again: it deletes`}
	})
}
