package model

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/graph"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/job"
	"relpack/runner/record"
)

// A modelRun is a pack whose steps, each a transaction of the real one, are
// carried out one by one, over sessions that are kept. It can be abandoned
// before any of them, as by kill -9: the pack lock is lost, everything else
// stays as it is.
type modelRun struct {
	*modelHistory
	*graph.Packer
	step     modelStep
	packTime *time.Time
	steps    int          // so far
	captured int          // the moment of the watermark
	then     modelStorage // what was stored at that moment
	late     bool         // something was written between capture and apply
	applied  bool

	altering      chan error // the COMMIT of an alteration
	alteredBeside bool
}

var errAbandoned = errors.New("abandoned")

// next is called before each step.
func (r *modelRun) next(ctx context.Context, what string) error {
	r.steps++
	if err := r.awaitAlteration(); err != nil {
		return err
	}
	if r.step.args["crash"] == int64(r.steps) {
		r.w.counts["crash before "+what]++
		return errAbandoned
	}
	if r.step.args["between"] == int64(r.steps) && len(r.step.writes) > 0 {
		r.late = r.captured > 0 && !r.applied
		r.w.counts["between"]++
		r.reported(maybeReports)
		return r.commit(ctx, r.step)
	}
	if r.step.args["alter"] == int64(r.steps) {
		return r.alterBeside(ctx)
	}
	return nil
}

// sql is one step in SQL that yields a value.
func modelDo[T any](ctx context.Context, r *modelRun, sql string, args ...any) (value T, err error) {
	_, what, _ := strings.Cut(sql, "relpack.")
	what, _, _ = strings.Cut(what, "(")
	if err = r.next(ctx, what); err != nil {
		return value, err
	}
	// Autovacuum may have a table for a moment; see job.Persist.
	for range 20 {
		if err = r.w.packer.QueryRow(ctx, sql, args...).Scan(&value); !fault.IsState(err, "55P03") {
			break
		}
	}
	return value, err
}

// steps packs step by step.
func (h *modelHistory) steps(ctx context.Context, s modelStep, done func(*modelRun) error) (err error) {
	r := &modelRun{modelHistory: h, step: s, Packer: h.w.packing(h.w.packer)}
	defer func() {
		if _, lost := h.w.packer.Exec(ctx, "SELECT relpack.release_pack_lock()"); lost != nil && err == nil {
			err = lost
		}
	}()
	defer func() {
		if lost := r.awaitAlteration(); lost != nil {
			err = errors.Join(err, lost)
		}
	}()
	if err := r.tryLock(ctx, "SELECT relpack.try_pack_lock()"); err != nil {
		return err
	}
	if err := r.buildGraph(ctx); err != nil {
		return err
	}
	if err := r.settleSuspects(ctx); err != nil {
		return err
	}
	if err := r.recordAgain(ctx); err != nil {
		return err
	}
	if r.renewed > 0 {
		if err := r.w.packer.QueryRow(ctx, "SELECT noticed_tid FROM relpack.storage").Scan(&r.noticed); err != nil {
			return err
		}
	}
	if err := r.catchUpModel(ctx); err != nil {
		return err
	}
	if done != nil {
		return done(r)
	}
	return nil
}

// tryLock is a step that needs a lock, which nobody else holds here.
func (r *modelRun) tryLock(ctx context.Context, sql string) error {
	got, err := modelDo[bool](ctx, r, sql)
	if err == nil && !got {
		err = lossf("%s: there was no lock to be had", sql)
	}
	return err
}

func lossUnless(ok bool, what string) error {
	if ok {
		return nil
	}
	return lossf("%s", what)
}

// settleSuspects is pack.reach, or one call of relpack.reach().
func (r *modelRun) settleSuspects(ctx context.Context) (err error) {
	if r.step.is("atonce") {
		_, err = modelDo[int64](ctx, r, "SELECT relpack.reach()")
		return err
	}
	for more := true; more && err == nil; {
		more, err = modelDo[bool](ctx, r, "SELECT relpack.reach_step()")
	}
	return err
}

// keepShallowModel is pack.keepShallow, where the tree seems to have become deep.
func (r *modelRun) keepShallowModel(ctx context.Context) error {
	if !r.step.is("deep") {
		return nil
	}
	if _, err := r.w.packer.Exec(ctx, "UPDATE relpack.storage SET shaped_depth = 0.1, depth_looked_at = '-infinity'"); err != nil {
		return err
	}
	deep, err := modelDo[bool](ctx, r, "SELECT relpack.reshape_if_deep()")
	if err != nil || !deep {
		return err
	}
	r.w.counts["made shallow"]++
	return r.settleSuspects(ctx)
}

// catchUpModel is pack.catchUp. When everything pending is applied, what is
// reachable is decided, though it has still to be found.
func (r *modelRun) catchUpModel(ctx context.Context) error {
	if err := r.captureBeside(ctx); err != nil {
		return err
	}
	if err := r.tryLock(ctx, "SELECT relpack.capture_watermark()"); err != nil {
		return err
	}
	r.captured, r.then, r.late, r.applied = r.moment, maps.Clone(r.stored), false, false
	if err := r.rereadModel(ctx); err != nil {
		return err
	}
	pending, err := modelDo[int64](ctx, r, "SELECT relpack.capture_list()")
	if err != nil {
		return err
	}
	var noticed int64
	if err := r.w.packer.QueryRow(ctx, "SELECT noticed_tid FROM relpack.storage").Scan(&noticed); err != nil {
		return err
	}
	if err := r.notice(noticed, true); err != nil {
		return err
	}
	r.altered = noReports
	if r.alteredBeside {
		r.altered = maybeReports
	}
	if r.alteredBeside || r.renewed > 0 {
		r.reported(maybeReports)
	}
	if r.late {
		// What is found overtaken makes an event.
		r.reported(maybeReports)
	}
	x := graph.NewExaminer(r.Packer, record.NoClasses(r.w.class))
	x.Limit = int(max(r.step.args["chunk"], 1))
	x.Second = job.Given(r.w.reader)
	for pending > 0 {
		if err := r.next(ctx, "chunk"); err != nil {
			return err
		}
		if pending, err = x.Chunk(ctx); err != nil {
			return err
		}
		r.w.counts["chunk"]++
	}
	r.applied = true
	if !r.late {
		r.settle(r.building)
		r.building = false
	}
	if err := r.settleSuspects(ctx); err != nil {
		return err
	}
	if err := r.keepShallowModel(ctx); err != nil {
		return err
	}
	found, err := r.w.look(ctx)
	if err != nil {
		return err
	}
	if r.late {
		r.building = false
		return r.adopt(found, r.then)
	}
	r.renew()
	return r.checkNodes(found)
}

// captureBeside tries to capture while a write is in flight: a later commit may
// be visible already. The watermark must not pass it by.
func (r *modelRun) captureBeside(ctx context.Context) error {
	writes := r.writable(r.step.writes)
	if !r.step.is("inflight") || len(writes) == 0 || r.captured > 0 {
		return nil
	}
	tid := r.nextTid(r.step)
	if err := pgx.BeginFunc(ctx, r.w.writer, func(tx pgx.Tx) error {
		if err := modelStore(ctx, tx, tid, writes); err != nil {
			return err
		}
		var got bool
		if err := r.w.packer.QueryRow(ctx, "SELECT relpack.capture_watermark()").Scan(&got); err != nil {
			return err
		}
		r.w.counts["capture beside a write"]++
		return lossUnless(!got, "the watermark was set while a write was in flight")
	}); err != nil {
		return err
	}
	r.write(tid, writes)
	return nil
}

// choose is pack.survey.
func (r *modelRun) chooseModel(ctx context.Context) (err error) {
	if at, set := r.step.args["at"]; set {
		moment := r.base.Add(-time.Duration(at) * time.Minute)
		r.packTime = &moment
	} else if r.packTime, err = r.PackTime(ctx, modelOptions(r.step).Days); err != nil {
		return err
	}
	if err := r.doomLive(ctx); err != nil {
		return err
	}
	if !r.hasGarbage() {
		return nil
	}
	if err := r.unlessRewrittenModel(ctx, func() error {
		_, err := modelDo[int64](ctx, r, "SELECT relpack.doom($1)", r.packTime)
		return err
	}); err != nil {
		return err
	}
	found, err := r.w.look(ctx)
	if err != nil {
		return err
	}
	packTid, err := r.packTid(ctx, r.packTime)
	if err != nil {
		return err
	}
	return r.checkDoomed(found, packTid)
}

// packTid is the pack time that counts: no later than the oldest transaction,
// and before any capture since that began. Which captures there were is read
// from the database; open_test.go in runner is about what they protect.
func (h *modelHistory) packTid(ctx context.Context, moment *time.Time) (int64, error) {
	if moment == nil {
		return 1<<63 - 1, nil
	}
	tid := zodbtest.TimeTid(*moment)
	if now := zodbtest.TimeTid(time.Now()); now < tid {
		tid = now
	}
	if h.open == nil {
		return tid, nil
	}
	if since := zodbtest.TimeTid(h.openSince); since < tid {
		h.w.counts["capped"]++
		tid = since
	}
	var captured int64
	if err := h.w.writer.QueryRow(ctx, `SELECT coalesce(min(greatest(watermark - 1, 0)), $2) FROM relpack.capture
		WHERE read_until >= $1`, h.openSince, tid).Scan(&captured); err != nil {
		return 0, err
	}
	if captured < tid {
		h.w.counts["capped by a capture"]++
		tid = captured
	}
	return tid, nil
}

// sweepModel is pack.sweep, with small batches.
func (r *modelRun) sweepModel(ctx context.Context) error {
	expected, back := slices.Collect(r.doomedNow()), r.heldBack()
	var deleted []int64
	quiet := !r.step.is("alter")
	for tries := 0; ; tries++ {
		if tries > 300 {
			return lossf("the sweep does not come to an end")
		}
		if tries > 0 && r.step.args["torn"] == int64(tries) {
			r.w.counts["crash before sweep"]++
			return errAbandoned
		}
		if err := r.next(ctx, "sweep"); err != nil {
			return err
		}
		var outcome string
		var gone []int64
		if err := r.unlessRewrittenModel(ctx, func() (err error) {
			outcome, gone, err = r.sweepOnce(ctx, r.w.packer, max(r.step.args["batch"], 1), r.packTime, r.steps%2 == 0)
			return err
		}); err != nil {
			return err
		}
		deleted = append(deleted, gone...)
		switch outcome {
		case "stale":
			quiet = false
			if err := r.catchUpModel(ctx); err != nil {
				return err
			}
		case "done", "last":
			if quiet && !r.blurred && r.moment == r.settled {
				return r.checkSwept(deleted, expected, back, max(r.step.args["batch"], 1))
			}
			return nil
		}
	}
}

// packBySteps is a whole pack, or the beginning of one.
func (h *modelHistory) packBySteps(ctx context.Context, s modelStep) error {
	err := h.steps(ctx, s, func(r *modelRun) error {
		if err := r.chooseModel(ctx); err != nil || s.is("dry") || !r.hasGarbage() {
			return err
		}
		if err := r.proveWrong(ctx); err != nil {
			return err
		}
		if !s.is("alter") && len(h.kept)+len(h.held) == 0 {
			if err := r.sweepReferred(ctx); err != nil {
				return err
			}
		}
		return r.sweepModel(ctx)
	})
	return h.afterPack(ctx, s, err)
}
