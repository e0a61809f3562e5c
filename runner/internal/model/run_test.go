package model

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/pack"
)

// packByRunner calls Pack itself. With crash=n it is stopped dead after its
// n-th statement.
func (h *modelHistory) packByRunner(ctx context.Context, s modelStep) error {
	lost, err := h.isLost(ctx, h.w.app)
	if err != nil {
		return err
	}
	if s.is("init") || lost {
		refused, err := h.checkRefusedInit(ctx)
		if err != nil {
			return err
		}
		if refused {
			_, err := pack.Run(ctx, h.w.target, modelOptions(s), modelLog)
			return lossUnless(fault.IsState(err, fault.StateRefused), fmt.Sprintf("objects are missing, and the graph is built anew: %v", err))
		}
		h.forgetGraph()
		h.building = true
	}
	if err := h.settleRecorded(ctx); err != nil {
		return err
	}
	before := h.knowledge()
	h.settle(h.building)
	h.building = false
	run, stop := context.WithCancel(ctx)
	defer stop()
	statements := &stopAfter{stop: stop}
	statements.left.Store(math.MaxInt64)
	if n := s.args["crash"]; n > 0 {
		statements.left.Store(n)
	}
	report, err := pack.Run(run, h.w.target, modelOptions(s), slog.New(statements))
	if statements.left.Load() <= 0 {
		if gone := h.awaitSessions(ctx); gone != nil {
			return gone
		}
	}
	if err != nil && h.altered == sureReports {
		// It may have compared before it ended.
		h.altered = maybeReports
	}
	packTid, capped := h.packTid(ctx, report.PackTime)
	if capped != nil {
		return capped
	}
	if _, checked := h.afterSweep(ctx, packTid, 0); checked != nil {
		return checked
	}
	if fault.ExitCode(err) == fault.ExitRefused && len(h.held) > 0 && strings.Contains(err.Error(), " set aside") {
		h.w.counts["set aside"]++
		err = nil
	}
	if err != nil && statements.left.Load() <= 0 {
		// How far it came is found by looking.
		h.w.counts["runner abandoned"]++
		h.unsettle(before)
		if lost {
			if err := h.w.app.QueryRow(ctx, "SELECT relpack.graph_lost() IS NOT NULL").Scan(&h.lost); err != nil {
				return err
			}
		}
		return h.afterCrash(ctx, s)
	}
	if err != nil {
		return h.afterPack(ctx, s, err)
	}
	var noticed int64
	if err := h.w.app.QueryRow(ctx, "SELECT noticed_tid FROM relpack.storage").Scan(&noticed); err != nil {
		return err
	}
	if err := h.notice(noticed, true); err != nil {
		return err
	}
	h.altered = noReports
	h.renew()
	if err := h.afterPack(ctx, s, nil); err != nil || s.is("dry") {
		return err
	}
	must, _ := h.doom(packTid)
	back := h.heldBack()
	maps.DeleteFunc(must, func(zoid int64, _ bool) bool { return back[zoid] })
	for zoid := range must {
		if h.moment == h.settled {
			return lossf("object %d is to be deleted (%+v) and was not", zoid, h.nodes[zoid])
		}
	}
	return nil
}

// stopAfter is the handler of a log with a line for each statement that ended.
type stopAfter struct {
	left atomic.Int64
	stop func()
}

func (*stopAfter) Enabled(context.Context, slog.Level) bool { return true }
func (s *stopAfter) WithAttrs([]slog.Attr) slog.Handler     { return s }
func (s *stopAfter) WithGroup(string) slog.Handler          { return s }
func (s *stopAfter) Handle(_ context.Context, r slog.Record) error {
	if r.NumAttrs() > 0 && s.left.Add(-1) == 0 {
		s.stop()
	}
	return nil
}

// awaitSessions waits until the server has noticed that a run is dead.
func (h *modelHistory) awaitSessions(ctx context.Context) error {
	for start := time.Now(); time.Since(start) < time.Minute; {
		var left int
		if err := h.w.app.QueryRow(ctx, `
			SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name LIKE 'relpack %' AND application_name <> 'relpack model'`).
			Scan(&left); err != nil || left == 0 {
			return err
		}
		time.Sleep(2 * time.Millisecond)
	}
	return errors.New("the sessions of a dead run live on")
}

// sweepByHand calls relpack.sweep as a DBA does in psql, without a pack before
// and whatever was committed since. With writes, another client commits them
// while the sweep has its rows deleted and waits for the lock.
func (h *modelHistory) sweepByHand(ctx context.Context, s modelStep) error {
	var packTime *time.Time
	if at, set := s.args["at"]; set {
		moment := h.base.Add(-time.Duration(at) * time.Minute)
		packTime = &moment
	}
	clean := h.settled == h.moment && !h.dirty && !h.building && !h.blurred && !h.undecided && !h.hasOpaque()
	begun, back := h.begunUntil, h.heldBack()
	patience := 20 // autovacuum may hold a table of ours for a moment
	for calls := max(s.args["calls"], 1); calls > 0; calls-- {
		outcome, _, err := h.sweepBeside(ctx, s, packTime)
		s.writes = nil
		switch {
		case h.altered != noReports && fault.IsState(err, fault.StateRefused):
			h.w.counts["sweep of an altered table refused"]++
			return nil
		case h.altered == sureReports:
			return lossf("a table was altered, and what a sweep in psql says is: %s %v", outcome, err)
		case isKept(err):
			return h.checkKept(ctx, err)
		case fault.IsState(err, fault.StateRefused) && !clean && !strings.Contains(err.Error(), "live objects refer to"):
			h.w.counts["sweep refused"]++
			return nil
		case err != nil:
			return err
		case outcome == "done" && !clean:
			return nil
		case outcome == "busy" && clean && h.moment == h.settled && patience > 0:
			patience--
			calls++
			time.Sleep(5 * time.Millisecond)
		case outcome == "stale" || outcome == "busy":
			return lossUnless(!clean || h.moment != h.settled || h.unread != noReports, "nothing was written, and the sweep says "+outcome)
		case outcome == "done" && clean && begun == 0 && h.settled == h.moment:
			packTid, err := h.packTid(ctx, packTime)
			if err != nil {
				return err
			}
			must, _ := h.doom(packTid)
			maps.DeleteFunc(must, func(zoid int64, _ bool) bool { return back[zoid] })
			for zoid := range must {
				return lossf("object %d is to be deleted (%+v) and is left", zoid, h.nodes[zoid])
			}
			return nil
		case outcome == "done":
			return nil
		}
	}
	return nil
}

// sweepBeside is one call, with a commit under way if the step has writes.
func (h *modelHistory) sweepBeside(ctx context.Context, s modelStep, packTime *time.Time) (string, []int64, error) {
	batch := max(s.args["batch"], 1)
	writes := h.writable(s.writes)
	if len(writes) == 0 {
		return h.sweepOnce(ctx, h.w.app, batch, packTime, false)
	}
	tid := h.nextTid(s)
	tx, err := h.w.writer.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return "", nil, err
	}
	if err := modelStore(ctx, tx, tid, writes); err != nil {
		return "", nil, errors.Join(err, tx.Rollback(ctx))
	}
	packTid, err := h.packTid(ctx, packTime)
	if err != nil {
		return "", nil, err
	}
	var outcome string
	var remaining int64
	swept := make(chan error, 1)
	go func() {
		swept <- h.w.app.QueryRow(ctx, "SELECT outcome, remaining FROM relpack.sweep($1, $2)", batch, packTime).
			Scan(&outcome, &remaining)
	}()
	waiting := ""
	for range 500 {
		if len(swept) > 0 || waiting == "PgSleep" {
			break
		}
		if err := h.w.packer.QueryRow(ctx, "SELECT coalesce(wait_event, '') FROM pg_stat_activity WHERE pid = $1",
			h.w.app.PgConn().PID()).Scan(&waiting); err != nil {
			return "", nil, err
		}
	}
	if waiting == "PgSleep" {
		h.w.counts["commit before the lock"]++
	}
	if err := tx.Commit(ctx); err != nil {
		return "", nil, err
	}
	h.write(tid, writes)
	if err := <-swept; err != nil {
		return "", nil, err
	}
	h.w.counts["batch "+outcome]++
	gone, err := h.afterSweep(ctx, packTid, 0)
	return outcome, gone, err
}
