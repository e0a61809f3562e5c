package pack

import (
	"context"
	"fmt"

	"relpack/runner/fault"
)

// mark keeps the transactions from being undone whose predecessors go, or went with an
// earlier trim, which may have come further: who restores one that is there already makes
// no event. VACUUM would keep commits waiting that lock the table. A dry run counts them.
func (t *trimming) mark(ctx context.Context) error {
	if t.dry {
		return t.wouldMark(ctx)
	}
	t.marked = false
	var since int64
	for last := new(int64); last != nil; {
		if t.Stopped() {
			return fault.Interrupted
		}
		var marked int64
		after := *last
		if err := t.Retry(ctx, "mark transactions", func() error {
			return t.Conn.QueryRow(ctx, "SELECT marked, last_tid FROM relpack.trim_mark($1, $2, $3)", t.UntilTid, after, t.atMost(markBatch)).
				Scan(&marked, &last)
		}); err != nil {
			return err
		}
		t.Marked += marked
		if since += marked; !t.tables && (since > markVacuum || (last == nil && since > markBatch)) {
			since = 0
			// Who may not is told so by a warning, and goes on. The planner is told, too, that
			// few are left to be marked.
			if _, err := t.Conn.Exec(ctx, "VACUUM (ANALYZE) public.transaction"); err != nil {
				return fmt.Errorf("vacuum transaction: %w", err)
			}
		}
	}
	t.marked = true
	return nil
}

func (t *trimming) wouldMark(ctx context.Context) error {
	return t.Retry(ctx, "count transactions that can be undone", func() error {
		return t.Conn.QueryRow(ctx, "SELECT count(*) FROM public.transaction WHERE tid > 0 AND tid <= (SELECT relpack.trim_marks($1)) AND packed IS NOT TRUE", t.UntilTid).Scan(&t.Marked)
	})
}

// markAgain marks what somebody has restored meanwhile, where anything went: undos can
// begin when the pack lock is let go of.
func (t *trimming) markAgain(ctx context.Context) error {
	if t.Revisions+t.Whiteouts+t.report.Deleted.Objects == 0 {
		return nil
	}
	return t.mark(ctx)
}
