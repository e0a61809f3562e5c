package model

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// What must hold after a batch.

const modelPeek = `
	SELECT (SELECT coalesce(array_agg(zoid), '{}') FROM public.object_state),
	       (SELECT coalesce(max(tid), 0) FROM public.object_state),
	       (SELECT coalesce(array_agg(zoid), '{}') FROM relpack.doomed),
	       (SELECT begun_until FROM relpack.storage)`

// sweepOnce calls relpack.sweep, as psql or as relpack does, and looks at what it
// deleted. The outcome "last" is a batch after which nothing is left to do.
func (h *modelHistory) sweepOnce(ctx context.Context, conn *pgx.Conn, batch int64, packTime *time.Time, decode bool) (outcome string, gone []int64, err error) {
	packTid, err := h.packTid(ctx, packTime)
	if err != nil {
		return "", nil, err
	}
	b, err := h.w.packing(conn).SweepBatch(ctx, packTime, int(batch), decode)
	if err != nil {
		return "", nil, err
	}
	outcome = b.Outcome
	h.w.counts["batch "+outcome]++
	gone, err = h.afterSweep(ctx, packTid, batch)
	if left := int64(len(h.doomed)); err == nil && outcome == "swept" && b.Remaining != left {
		err = lossf("%d objects are left to delete, and a sweep says %d", left, b.Remaining)
	}
	if outcome == "swept" && b.Remaining == 0 {
		outcome = "last"
	}
	return outcome, gone, err
}

// afterSweep checks what is missing now, and forgets it. batch is the size of
// the only batch, or 0.
func (h *modelHistory) afterSweep(ctx context.Context, packTid, batch int64) (gone []int64, err error) {
	var stored, doomed []int64
	var highest, begun int64
	if err := h.w.app.QueryRow(ctx, modelPeek).Scan(&stored, &highest, &doomed, &begun); err != nil {
		return nil, err
	}
	left, chosen := modelSet(stored), modelSet(doomed)
	for zoid := range h.stored {
		if !left[zoid] {
			gone = append(gone, zoid)
		}
	}
	slices.Sort(gone)
	if err := h.checkGone(gone, chosen, packTid); err != nil {
		return nil, err
	}
	if highest < h.stored.maxTid() {
		return nil, lossf("the highest tid fell from %d to %d when %v were deleted", h.stored.maxTid(), highest, gone)
	}
	if err := h.checkBegun(gone, chosen, begun, batch); err != nil {
		return nil, err
	}
	h.forget(gone)
	h.doomed, h.begunUntil = chosen, begun
	return gone, nil
}

// checkBegun is what a batch that leaves others behind promises: that they are
// finished whatever the grace, and that it was closed under referrers unless
// those of one object alone are more than a batch.
func (h *modelHistory) checkBegun(gone []int64, left map[int64]bool, begun, batch int64) error {
	if len(gone) == 0 {
		return nil
	}
	if len(left) == 0 && begun != 0 {
		return lossf("%v were deleted, nothing is left, and the deletion is not over", gone)
	}
	torn := false
	for zoid := range left {
		node := h.nodes[zoid]
		// What was cut off in a future that was given up is asked for its age, as
		// is what was written ahead of the clock.
		if young := node.age(node.lo); young > begun && young <= min(max(h.stored.maxTid(), h.noticed), h.began) {
			return lossf("%v were deleted, %d is to follow, and its age would be asked for: %d, begun until %d", gone, zoid, young, begun)
		}
		torn = torn || slices.ContainsFunc(h.view.refs(zoid), func(ref int64) bool { return slices.Contains(gone, ref) })
	}
	if !torn || batch == 0 || h.blurred {
		return nil
	}
	h.w.counts["group torn"]++
	for _, zoid := range gone {
		if n := h.referring(zoid, func(z int64) bool { return left[z] || slices.Contains(gone, z) }); n > batch {
			return nil
		}
	}
	return lossf("%v were deleted without all that refer to them, which a batch of %d would hold", gone, batch)
}

// referring counts an object and those that refer to it, directly or not.
func (h *modelHistory) referring(zoid int64, among func(int64) bool) int64 {
	found := map[int64]bool{zoid: true}
	for more := true; more; {
		more = false
		for referrer := range h.view {
			if found[referrer] || !among(referrer) {
				continue
			}
			if slices.ContainsFunc(h.view.refs(referrer), func(ref int64) bool { return found[ref] }) {
				found[referrer], more = true, true
			}
		}
	}
	return int64(len(found))
}

// checkGone is what makes a deletion safe, whatever happened at the same time.
func (h *modelHistory) checkGone(gone []int64, doomed map[int64]bool, packTid int64) error {
	if len(gone) == 0 {
		return nil
	}
	reached, deleted := h.stored.from(0), modelSet(gone)
	for _, zoid := range gone {
		node, known := h.nodes[zoid]
		young := node.age(node.lo)
		switch {
		case reached[zoid]:
			return lossf("object %d was deleted and can be reached", zoid)
		case known && !node.garbage && !h.dirty:
			return lossf("object %d was deleted and is no garbage: it hangs on what is missing", zoid)
		case known && node.tid != h.stored[zoid].tid:
			return lossf("object %d was deleted in a revision that nobody had read", zoid)
		case known && young > packTid && (!h.doomed[zoid] || young > h.begunUntil):
			return lossf("object %d was deleted within the grace: %+v, pack tid %d", zoid, node, packTid)
		}
	}
	for zoid, row := range h.stored {
		if deleted[zoid] {
			continue
		}
		if row.content.kind == "opaque" && !doomed[zoid] {
			return lossf("%v were deleted, though nobody knows what %d refers to", gone, zoid)
		}
		for _, ref := range h.stored.refs(zoid) {
			if deleted[ref] && !doomed[zoid] {
				return lossf("object %d was deleted and %d, which stays, refers to it", ref, zoid)
			}
		}
	}
	return nil
}
