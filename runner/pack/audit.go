package pack

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"relpack/runner/fault"
	"relpack/runner/figures"
	"relpack/runner/graph"
	"relpack/runner/inventory"
	"relpack/runner/verify"
)

// Audit is the part of a report about the graph: what was read again, and mended.
type Audit struct {
	Audited       figures.Count   `json:"audited"`          // states read again at the end and compared with the graph
	VerifiedSince *time.Time      `json:"verified_since"`   // every object has been since then; nil: never
	Mended        []graph.Finding `json:"mended,omitempty"` // what was wrong with the graph, and was mended
}

// auditLockTimeout: who has object_state for himself for longer is left alone.
// An audit's share falls to the next run then.
const auditLockTimeout = "2s"

// comparison is what a pack compares with: in its own session, counting apart.
func (p *pack) comparison() *graph.Comparison {
	return &graph.Comparison{Packer: p.Apart(), Findings: graph.NewFindings(), Mark: true, LockTimeout: auditLockTimeout}
}

// audit reads the share of the storage again that is due by the clock, and
// compares it with the graph: as long as the graph is right, nobody notices. What
// was known before is handed in.
func (p *pack) audit(ctx context.Context, due int64, a Audit) (Audit, error) {
	c := p.comparison()
	err := p.Phase("audit", func() error { return c.Share(ctx, due) })
	a.Audited = c.Scanned.Count()
	if err == nil {
		a.Mended, err = p.stopAtDifference(ctx, c)
	}
	if err == nil {
		a.VerifiedSince, err = p.sayVerified(ctx)
	}
	return a, err
}

// prove proves a sample of what is chosen the slow way, before the first object
// goes.
func (p *pack) prove(ctx context.Context) (mended []graph.Finding, err error) {
	c := p.comparison()
	if err := p.Phase("prove", func() error { return c.Sample(ctx) }); err != nil {
		return nil, err
	}
	return p.stopAtDifference(ctx, c)
}

// sayVerified warns where packs have not read all objects again in time.
func (p *pack) sayVerified(ctx context.Context) (since *time.Time, err error) {
	if since, err = inventory.VerifiedSince(ctx, p.Conn); err != nil {
		return nil, err
	}
	if now := time.Now(); since == nil || now.Sub(*since) > inventory.VerifiedWithin {
		p.Log.Warn("verified against the storage: " + inventory.VerifiedText(since, now))
	}
	return since, nil
}

// stopAtDifference notes what was found, so that nothing is deleted before it is
// mended, and mends it.
func (p *pack) stopAtDifference(ctx context.Context, c *graph.Comparison) (mended []graph.Finding, err error) {
	if c.Findings.None() {
		return nil, nil
	}
	found, err := c.InWords(ctx)
	if err != nil {
		return nil, err
	}
	var texts []string
	for _, f := range found {
		if f.Severity == "error" && f.Kind != graph.OutOfForce {
			texts = append(texts, f.String())
		}
	}
	mended, err = p.differs(ctx, strings.Join(texts, "; "))
	return append(found, mended...), err
}

// differs notes a difference and mends it.
func (p *pack) differs(ctx context.Context, difference string) (mended []graph.Finding, err error) {
	if _, err := p.Conn.Exec(ctx, "SELECT relpack.audit_differs($1)", difference); err != nil {
		return nil, fmt.Errorf("note what differs in relpack.audit: %w", err)
	}
	p.Log.Warn("the graph does not describe the storage: " + difference + ": everything is read again")
	return p.readAgain(ctx, difference)
}

// unlessHeld mends the graph if err is that live objects refer to what would be
// deleted.
func (p *pack) unlessHeld(ctx context.Context, err error) ([]graph.Finding, error) {
	refusal, refused := fault.AsRefusal(err)
	if !refused || refusal.ConstraintName != graph.CutOff || p.Conn.IsClosed() {
		return nil, err
	}
	return p.differs(ctx, strings.TrimPrefix(refusal.Message, "the graph does not describe the storage: "))
}

// mendDifference mends what an audit of an earlier run found. It returns how
// many objects this run has to audit.
func (p *pack) mendDifference(ctx context.Context) (due int64, a Audit, err error) {
	var difference *string
	if a.VerifiedSince, err = inventory.VerifiedSince(ctx, p.Conn); err != nil {
		return 0, a, err
	}
	if err := p.Conn.QueryRow(ctx, "SELECT objects, difference FROM relpack.audit_due()").Scan(&due, &difference); err != nil {
		return 0, a, fmt.Errorf("ask what is to be audited: %w", err)
	}
	if difference != nil {
		p.Log.Warn("the graph did not describe the storage when a run before this one looked: " + *difference + ": everything is read again")
		a.Mended, err = p.readAgain(ctx, *difference)
		return 0, a, err
	}
	return due, a, nil
}

// readAgain mends the graph as verify --repair does. It ends the run: where the
// graph was wrong, the next one deletes.
func (p *pack) readAgain(ctx context.Context, difference string) (mended []graph.Finding, err error) {
	err = p.Phase("repair", func() error {
		if mended, err = verify.Repair(ctx, p.Apart()); err != nil {
			return err
		}
		return &fault.Error{Code: fault.ExitRefused, Err: errors.New("the graph did not describe the storage: " + difference + ". It is mended now"),
			Hint: `Run "relpack pack" again: it deletes`}
	})
	return mended, err
}
