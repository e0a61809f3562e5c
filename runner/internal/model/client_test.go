package model

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
)

// openTransaction begins another client's: it has a snapshot from now on, and
// what it read before may be written at its end.
func (h *modelHistory) openTransaction(ctx context.Context) error {
	if h.open != nil {
		return nil
	}
	tx, err := h.w.other.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		return err
	}
	h.open = tx
	return tx.QueryRow(ctx, "SELECT now() FROM (SELECT count(*) FROM public.object_state) AS look").Scan(&h.openSince)
}

// closeTransaction ends it; if it has something to write, then now, with a tid
// old or new. What others wrote meanwhile makes it fail, as it should.
func (h *modelHistory) closeTransaction(ctx context.Context, s modelStep) error {
	if h.open == nil {
		return nil
	}
	defer func() { h.open = nil }()
	writes := h.writable(s.writes)
	if len(writes) == 0 {
		return h.open.Commit(ctx)
	}
	tid := h.tid(s.args["age"]) + h.branch
	if s.kind == "commit" {
		tid = h.nextTid(s)
	}
	for h.used[tid] && s.kind != "commit" {
		tid++
	}
	h.used[tid] = true
	if err := modelStore(ctx, h.open, tid, writes); err != nil {
		if fault.IsState(err, "40001") {
			return h.open.Rollback(ctx)
		}
		return err
	}
	if err := h.open.Commit(ctx); err != nil {
		return err
	}
	err := h.happens(ctx, sureReports)
	h.write(tid, writes)
	return err
}

// rootless takes the root away for a moment: a pack must refuse.
func (h *modelHistory) rootless(ctx context.Context) error {
	root := h.stored[0]
	if err := h.happens(ctx, sureReports); err != nil {
		return err
	}
	if _, err := h.w.app.Exec(ctx, "DELETE FROM public.object_state WHERE zoid = 0"); err != nil {
		return err
	}
	refused := h.steps(ctx, modelStep{verb: "pack", kind: "steps", args: map[string]int64{"grace": -1}}, nil)
	if err := modelStore(ctx, h.w.app, root.tid, []modelWrite{{0, root.content}}); err != nil {
		return err
	}
	why := "no root"
	if len(h.stored) == 1 { // nothing was left
		why = "the storage is empty"
	}
	if !fault.IsState(refused, fault.StateRefused) || !strings.Contains(refused.Error(), why) {
		return lossf("a storage without root was packed: %v", refused)
	}
	h.touched[0] = true
	return nil
}
