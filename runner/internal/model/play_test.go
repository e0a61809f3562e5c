package model

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/zodbtest"
)

// A modelHistory is a sequence of steps, carried out in a database and in the
// model at once.
type modelHistory struct {
	*model
	w      *modelWorker
	base   time.Time // the moment from which ages are counted
	used   map[int64]bool
	branch int64 // counts returns to an earlier moment
	script []modelStep
	// A transaction that another client holds open.
	open      pgx.Tx
	openSince time.Time
	kept      map[int64]bool // by a trigger
	held      map[int64]bool // by a key
	altered   modelReports   // whether the graph is to be doubted, for what was done to tables
}

// modelLoss is a check that failed: what a history is shortened for.
type modelLoss struct{ what string }

func (l modelLoss) Error() string { return l.what }

func lossf(format string, args ...any) error { return modelLoss{fmt.Sprintf(format, args...)} }

func beginHistory(ctx context.Context, w *modelWorker) (*modelHistory, error) {
	h := &modelHistory{model: newModel(), w: w, base: time.Now().Truncate(time.Minute), used: map[int64]bool{},
		kept: map[int64]bool{}, held: map[int64]bool{}}
	tid := h.tid(100 * 24 * 60)
	h.used[tid] = true
	h.began = zodbtest.TimeTid(h.base)
	h.clock = tid
	if err := w.reset(ctx, tid); err != nil {
		return nil, fmt.Errorf("reset: %w", err)
	}
	h.change(func(s modelStorage) { s[0] = modelRow{tid, modelContent{kind: "plain"}} })
	h.settle(false)
	return h, nil
}

// end leaves no transaction or lock behind.
func (h *modelHistory) end(ctx context.Context) error {
	if h.open != nil {
		if err := h.open.Rollback(ctx); err != nil {
			return err
		}
		h.open = nil
	}
	return nil
}

// tid is the first of the minute so long before the history.
func (h *modelHistory) tid(age int64) int64 {
	return zodbtest.TimeTid(h.base.Add(-time.Duration(age) * time.Minute))
}

// nextTid is that of a commit: later than all that is stored, and never used
// before, not even in a future that was given up.
func (h *modelHistory) nextTid(s modelStep) int64 {
	tid := h.tid(s.args["age"]) + h.branch
	if s.is("now") {
		tid = zodbtest.TimeTid(time.Now())
	}
	tid = max(tid, h.stored.maxTid()+1)
	for h.used[tid] {
		tid++
	}
	h.used[tid] = true
	return tid
}

// play carries out one step.
func (h *modelHistory) play(ctx context.Context, s modelStep) error {
	h.script = append(h.script, s)
	h.w.counts[s.name()]++
	err := h.do(ctx, s)
	if err != nil {
		return fmt.Errorf("step %d, %s: %w", len(h.script), s, err)
	}
	return nil
}

func (h *modelHistory) do(ctx context.Context, s modelStep) error {
	switch s.verb {
	case "limits":
		return h.w.setLimits(ctx, s)
	case "commit":
		return h.commit(ctx, s)
	case "delete":
		return h.deleteRows(ctx, s)
	case "restore":
		return h.restore(ctx, s)
	case "snapshot":
		h.snapshots = append(h.snapshots, maps.Clone(h.stored))
		return nil
	case "reload":
		return h.reload(ctx, s)
	case "open":
		return h.openTransaction(ctx)
	case "close":
		return h.closeTransaction(ctx, s)
	case "accept":
		return h.acceptMissing(ctx, s)
	case "ddl":
		return h.alter(ctx, s)
	case "keep":
		return h.keep(ctx, s)
	case "lose":
		return h.lose(ctx, s)
	case "rootless":
		return h.rootless(ctx)
	case "pack":
		h.countDays(s)
		if s.kind == "runner" {
			return h.packByRunner(ctx, s)
		}
		return h.packBySteps(ctx, s)
	case "sweep":
		return h.sweepByHand(ctx, s)
	}
	return fmt.Errorf("unknown step %q", s.verb)
}

// countDays notes what a pack asks for.
func (h *modelHistory) countDays(s modelStep) {
	what := "a fraction"
	switch grace := s.args["grace"]; {
	case s.args["at"] != 0:
		what = "up to a tid"
	case grace < 0:
		what = "negative"
	case grace == 0:
		what = "zero"
	case grace%(24*60) == 0:
		what = "whole"
	}
	h.w.counts["days "+what]++
}

// commit stores objects under a new tid. With rr=1 the writer's isolation is
// REPEATABLE READ, as that of no RelStorage but of other tools.
func (h *modelHistory) commit(ctx context.Context, s modelStep) error {
	writes := h.writable(s.writes)
	if len(writes) == 0 {
		return nil
	}
	tid := h.nextTid(s)
	if !s.is("rr") {
		if err := modelStore(ctx, h.w.app, tid, writes); err != nil {
			return err
		}
	} else if err := pgx.BeginTxFunc(ctx, h.w.app, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		return modelStore(ctx, tx, tid, writes)
	}); err != nil {
		return err
	} else if err := h.happens(ctx, sureReports); err != nil {
		return err
	}
	h.write(tid, writes)
	return nil
}

// happens sets the clock by which relpack dates what no tid shows: to some
// minutes after the last commit.
func (h *modelHistory) happens(ctx context.Context, how modelReports) error {
	h.reported(how)
	moment := zodbtest.TidTime(h.stored.maxTid()).Truncate(time.Minute).Add(20 * time.Minute)
	if moment.After(h.base) {
		moment = h.base
	}
	if tid := zodbtest.TimeTid(moment); tid > h.clock {
		h.clock = tid
		_, err := h.w.app.Exec(ctx, "UPDATE public.model_clock SET moment = $1", moment)
		return err
	}
	return nil
}

// writable drops what a shortened script can't do: the root is never undone.
func (h *modelHistory) writable(writes []modelWrite) []modelWrite {
	return slices.DeleteFunc(slices.Clone(writes), func(w modelWrite) bool {
		return w.zoid == 0 && w.content.kind != "plain"
	})
}

func (h *modelHistory) write(tid int64, writes []modelWrite) {
	h.change(func(s modelStorage) {
		for _, w := range writes {
			s[w.zoid] = modelRow{tid, w.content}
		}
	})
}

// deleteRows is what zc.zodbdgc and zodbpack do behind relpack's back.
func (h *modelHistory) deleteRows(ctx context.Context, s modelStep) error {
	var zoids []int64
	for _, w := range s.writes {
		if w.zoid != 0 && !h.held[w.zoid] {
			zoids = append(zoids, w.zoid)
		}
	}
	gone, err := h.w.app.Exec(ctx, "DELETE FROM public.object_state WHERE zoid = ANY ($1)", zoids)
	if err != nil {
		return err
	}
	if gone.RowsAffected() > 0 {
		if err := h.happens(ctx, sureReports); err != nil {
			return err
		}
	}
	zoids = slices.DeleteFunc(zoids, func(zoid int64) bool { return h.kept[zoid] })
	h.change(func(s modelStorage) {
		for _, zoid := range zoids {
			h.bury(zoid, s[zoid])
			delete(s, zoid)
		}
	})
	return nil
}
