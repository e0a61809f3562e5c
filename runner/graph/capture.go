package graph

import (
	"context"
	"fmt"
)

// CatchUp brings the graph up to the last commit: capture, examine, settle.
func (p *Packer) CatchUp(ctx context.Context) error {
	if err := p.Update(ctx); err != nil {
		return err
	}
	return p.Phase("reach", func() error { return p.Reach(ctx) })
}

// Update is CatchUp but for the last step: what is reachable is open.
func (p *Packer) Update(ctx context.Context) error {
	pending, err := p.Capture(ctx)
	if err != nil {
		return err
	}
	return p.examinePhase(ctx, pending)
}

// Capture lists what was written since the last one: so many objects are to be read.
func (p *Packer) Capture(ctx context.Context) (pending int64, err error) {
	var reread bool
	err = p.Phase("capture", func() error {
		doubt, err := p.AskDoubt(ctx)
		if err != nil {
			return err
		}
		err = p.Persist(ctx, "capture changes", func() (bool, error) {
			var got bool
			err := p.Conn.QueryRow(ctx, "SELECT relpack.capture_watermark()").Scan(&got)
			return got, err
		})
		if err != nil {
			return err
		}
		reread, err = p.sayDoubt(ctx, doubt)
		return err
	})
	if err != nil {
		return 0, err
	}
	if reread {
		if err := p.Reread(ctx); err != nil {
			return 0, err
		}
	}
	err = p.Phase("capture", func() error {
		if err := p.Conn.QueryRow(ctx, "SELECT relpack.capture_list()").Scan(&pending); err != nil {
			return fmt.Errorf("capture changes: %w", err)
		}
		return nil
	})
	return pending, err
}

func (p *Packer) examinePhase(ctx context.Context, pending int64) error {
	if pending == 0 {
		return nil
	}
	return p.Phase("apply", func() error { return p.examine(ctx, pending) })
}

// ApplyListed reads what is listed, and settles it. What was written since the last capture
// is left to the next one.
func (p *Packer) ApplyListed(ctx context.Context) error {
	var pending int64
	if err := p.Conn.QueryRow(ctx, "SELECT count(*) FROM relpack.pending").Scan(&pending); err != nil {
		return fmt.Errorf("look what is to be read: %w", err)
	}
	if err := p.examinePhase(ctx, pending); err != nil {
		return err
	}
	return p.Phase("reach", func() error { return p.Reach(ctx) })
}

// AskDoubt asks why the graph may not match the storage; "" when it does.
func (p *Packer) AskDoubt(ctx context.Context) (doubt string, err error) {
	if err := p.Conn.QueryRow(ctx, "SELECT coalesce(relpack.doubt(), '')").Scan(&doubt); err != nil {
		return "", fmt.Errorf("ask whether the graph is trusted: %w", err)
	}
	return doubt, nil
}

// sayDoubt tells that this run compares, and why. The reason was asked before
// the capture, which takes note of it and forgets it.
func (p *Packer) sayDoubt(ctx context.Context, doubt string) (reread bool, err error) {
	var graph string
	if err := p.Conn.QueryRow(ctx, "SELECT graph, reread FROM relpack.storage").Scan(&graph, &reread); err != nil {
		return false, fmt.Errorf("read relpack.storage: %w", err)
	}
	if graph != "doubtful" {
		return false, nil
	}
	if doubt == "" {
		// It came up in this moment.
		doubt = "the graph may not describe the storage any more"
	}
	how := ": every object's tid is compared"
	if reread || p.History {
		how = ": every state is read again and compared"
	}
	p.Log.Warn(doubt + how)
	p.Compared, p.Doubt = true, doubt
	return reread, nil
}

// Reread reads every state again, as verify does, and enters what differs into
// relpack.pending: after an ALTER TABLE a tid says nothing of its state.
func (p *Packer) Reread(ctx context.Context) error {
	if !p.History { // else capture_list lists all objects
		c := &Comparison{Packer: p, Mark: true}
		if err := p.Phase("verify", func() error { return c.AllStates(ctx) }); err != nil {
			return err
		}
	}
	if _, err := p.Conn.Exec(ctx, "SELECT relpack.reread_done()"); err != nil {
		return fmt.Errorf("read every state again: %w", err)
	}
	return nil
}

// Lower has the references of all revisions counted that are stored: other storages are
// told of them, and an undo can bring them back. It tells whether there is anything to
// read for that. In a history-free storage there is not.
func (p *Packer) Lower(ctx context.Context) (lower bool, err error) {
	if !p.History {
		return false, nil
	}
	err = p.Retry(ctx, "have old revisions read", func() error {
		return p.Conn.QueryRow(ctx, "SELECT relpack.horizon_lower()").Scan(&lower)
	})
	return lower, err
}

// Lowest is Lower until nothing is left to read.
func (p *Packer) Lowest(ctx context.Context) error {
	for {
		if lower, err := p.Lower(ctx); err != nil || !lower {
			return err
		}
		if err := p.CatchUp(ctx); err != nil {
			return err
		}
	}
}
