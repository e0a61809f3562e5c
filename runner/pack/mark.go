package pack

import (
	"context"
	"fmt"

	"relpack/runner/fault"
)

// mark keeps the transactions from being undone whose predecessors go. Those of before
// the last trim are marked.
func (t *trimming) mark(ctx context.Context) error {
	var since int64
	if err := t.Retry(ctx, "look for the last trim", func() error {
		return t.Conn.QueryRow(ctx, "SELECT relpack.trim_since()").Scan(&since)
	}); err != nil {
		return err
	}
	return t.markSince(ctx, since)
}

// markSince marks those later than a transaction; 0: all of them.
func (t *trimming) markSince(ctx context.Context, tid int64) error {
	var since int64
	for last := &tid; last != nil; {
		if t.Stopped() {
			return fault.Interrupted
		}
		var marked int64
		after := *last
		if err := t.Retry(ctx, "mark transactions", func() error {
			return t.Conn.QueryRow(ctx, "SELECT marked, last_tid FROM relpack.trim_mark($1, $2, $3)", t.UntilTid, after, markBatch).
				Scan(&marked, &last)
		}); err != nil {
			return err
		}
		t.Marked += marked
		if since += marked; since > markVacuum || (last == nil && since > markBatch) {
			since = 0
			// Who may not is told so by a warning, and goes on.
			if _, err := t.Conn.Exec(ctx, "VACUUM public.transaction"); err != nil {
				return fmt.Errorf("vacuum transaction: %w", err)
			}
		}
	}
	return nil
}

// markAgain marks what somebody has restored meanwhile: undos can begin when the pack
// lock is let go of.
func (t *trimming) markAgain(ctx context.Context) error {
	if t.Revisions+t.Whiteouts == 0 {
		return nil
	}
	return t.mark(ctx)
}
