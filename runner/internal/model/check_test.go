package model

import (
	"context"
	"iter"
	"maps"
	"slices"

	"relpack/runner/fault"
	"relpack/runner/graph"
)

// What must hold after the steps of a history.

func (m *model) hasGarbage() bool {
	for _, node := range m.nodes {
		if node.garbage {
			return true
		}
	}
	return false
}

func (m *model) doomedNow() iter.Seq[int64] { return maps.Keys(m.doomed) }

func modelSet(zoids []int64) map[int64]bool {
	set := map[int64]bool{}
	for _, zoid := range zoids {
		set[zoid] = true
	}
	return set
}

// sound must hold in every state that a transaction leaves.
func (h *modelHistory) sound(found modelFound) error {
	if !slices.Equal(found.stored, slices.Sorted(maps.Keys(h.stored))) {
		return lossf("stored are %v, and should be %v", found.stored, slices.Sorted(maps.Keys(h.stored)))
	}
	removals := map[[2]int64]bool{}
	for i, zoid := range found.removals {
		removals[[2]int64{zoid, found.removalTids[i]}] = true
	}
	for file := range h.files {
		if !removals[file] {
			return lossf("blob %d of tid %d was deleted and is not in relpack.blob_removal", file[0], file[1])
		}
	}
	for file := range removals {
		if !h.files[file] && !h.maybeFiles[file] {
			return lossf("relpack.blob_removal has zoid %d, tid %d, which was no deleted blob", file[0], file[1])
		}
	}
	return nil
}

// checkNodes compares what relpack knows with what it must know. Where the
// model knows only bounds it learns.
func (h *modelHistory) checkNodes(found modelFound) error {
	if err := h.sound(found); err != nil {
		return err
	}
	found = h.believed(found)
	if zoids := slices.Sorted(maps.Keys(h.nodes)); !slices.Equal(found.zoids, zoids) {
		return lossf("relpack knows of %v, and should of %v", found.zoids, zoids)
	}
	if err := h.checkHoles(found); err != nil {
		return err
	}
	h.undecided = false
	for i, zoid := range found.zoids {
		node := h.nodes[zoid]
		detached := found.detached[i]
		switch {
		case node.tid != found.tids[i] && !h.blurred:
			return lossf("relpack has tid %d for object %d, and should %d", found.tids[i], zoid, node.tid)
		case node.garbage == found.attached[i]:
			return lossf("object %d is garbage: %v; relpack says: %v", zoid, node.garbage, !found.attached[i])
		case node.garbage && (detached < node.lo || detached > node.hi):
			return lossf("detached_tid of object %d is %d, and should be from %d to %d", zoid, detached, node.lo, node.hi)
		}
		node.lo, node.hi = detached, detached
		h.nodes[zoid] = node
	}
	return nil
}

// adopt takes over what relpack knows after it read a storage that changed
// meanwhile: some objects as they were at the watermark, some as they are now.
// Whatever could be reached at the watermark by references that were known, or
// are still there, must not count as garbage.
func (h *modelHistory) adopt(found modelFound, then modelStorage) error {
	if err := h.sound(found); err != nil {
		return err
	}
	found = h.believed(found)
	var known modelStorage
	if !h.dirty && !h.blurred && !h.building {
		known = h.view
	}
	steady := h.stored.steady(then, known).from(0)
	h.nodes, h.view, h.holes = map[int64]modelNode{}, maps.Clone(h.stored), map[int64]modelHole{}
	h.record(found)
	for _, zoid := range found.missing {
		h.holes[zoid] = h.recorded[zoid]
	}
	for i, zoid := range found.zoids {
		if !found.attached[i] && steady[zoid] {
			return lossf("object %d counts as garbage, and could be reached all along", zoid)
		}
		h.nodes[zoid] = modelNode{found.tids[i], !found.attached[i], found.detached[i], found.detached[i]}
	}
	h.blurred, h.dirty, h.settled = true, false, -1
	return nil
}

// checkDoomed compares what was chosen.
func (h *modelHistory) checkDoomed(found modelFound, packTid int64) error {
	if err := h.checkNodes(found); err != nil {
		return err
	}
	must, may := h.doom(packTid)
	chosen := modelSet(found.doomed)
	if !h.blurred && h.moment == h.settled {
		for zoid := range must {
			if !chosen[zoid] {
				return lossf("object %d is to be deleted (%+v, pack tid %d) and was not chosen", zoid, h.nodes[zoid], packTid)
			}
		}
		for zoid := range chosen {
			if !may[zoid] {
				return lossf("object %d is to stay (%+v, pack tid %d) and was chosen", zoid, h.nodes[zoid], packTid)
			}
		}
	}
	h.doomed, h.begunUntil = chosen, found.begunUntil
	return nil
}

// afterPack judges how a pack ended.
func (h *modelHistory) afterPack(ctx context.Context, s modelStep, failed error) error {
	switch {
	case failed == errAbandoned:
		h.w.counts["abandoned"]++
		return h.afterCrash(ctx, s)
	case fault.IsState(failed, fault.StateRefused):
		if err := h.checkRefused(ctx, s, failed); err != nil {
			return err
		}
		return h.afterCrash(ctx, s)
	case failed != nil:
		return failed
	}
	found, err := h.w.look(ctx)
	if err != nil {
		return err
	}
	if err := h.checkNodes(found); err != nil {
		return err
	}
	if !h.blurred && h.moment == h.settled {
		if err := h.checkForeign(ctx); err != nil {
			return err
		}
	}
	dangling, err := h.w.verify(ctx)
	if want := h.dangling(); err == nil && !h.blurred && h.moment == h.settled && dangling != want {
		err = lossf("relpack.verify() finds %d dangling references, and should %d", dangling, want)
	} else if err == nil && found.dangling != dangling {
		err = lossf("relpack.dangling_reference has %d rows, and relpack.verify() finds %d", found.dangling, dangling)
	}
	if err == nil && h.moment%4 == 0 {
		err = h.audit(ctx)
	}
	return err
}

// audit reads every state again, as packs do bit by bit: whatever the graph has
// been through, and whatever was written since, there must be no difference.
func (h *modelHistory) audit(ctx context.Context) error {
	h.w.counts["audited"]++
	var locked bool
	var due int64
	if err := h.w.app.QueryRow(ctx, "SELECT relpack.try_pack_lock()").Scan(&locked); err != nil || !locked {
		return err // the packer has it
	}
	defer func() { _, _ = h.w.app.Exec(ctx, "SELECT relpack.release_pack_lock()") }()
	if _, err := h.w.app.Exec(ctx, "UPDATE relpack.audit SET met = '-infinity'; DELETE FROM relpack.audited"); err != nil {
		return err
	}
	if err := h.w.app.QueryRow(ctx, "SELECT objects FROM relpack.audit_due()").Scan(&due); err != nil {
		return err
	}
	c := &graph.Comparison{Packer: h.w.packing(h.w.app), Findings: graph.NewFindings()}
	if err := c.Share(ctx, due); err != nil {
		return lossf("an audit ends with: %v", err)
	}
	if found, err := c.InWords(ctx); err != nil || len(found) > 0 {
		return lossf("an audit finds: %v (%v)", found, err)
	}
	var left int
	if err := h.w.app.QueryRow(ctx, "SELECT count(*) FROM relpack.audited").Scan(&left); err != nil {
		return err
	}
	return lossUnless(left == 1, "an audit did not come to its end")
}

// checkRefused: a pack is refused for an object that can't be decoded as it was
// when relpack read it. Meanwhile somebody may have written it anew: what it
// referred to when the storage was captured stays unknown to this run, and the
// next reads it again.
func (h *modelHistory) checkRefused(ctx context.Context, s modelStep, refused error) error {
	h.w.counts["refused"]++
	if s.is("init") || h.lost {
		if holes, err := h.checkRefusedInit(ctx); holes || err != nil {
			return err
		}
	}
	if isKept(refused) {
		return h.checkKept(ctx, refused)
	}
	if isDoubt(refused) {
		return h.checkDoubt(refused)
	}
	var blocking []int64
	if err := h.w.app.QueryRow(ctx, "SELECT coalesce(array_agg(zoid), '{}') FROM relpack.problem WHERE blocks").
		Scan(&blocking); err != nil {
		return err
	}
	for _, zoid := range blocking {
		row, stored := h.stored[zoid]
		if row.content.kind == "opaque" || (!stored && h.opaque[zoid]) {
			return nil
		}
		if h.opaque[zoid] && (h.blurred || h.moment != h.settled) {
			h.w.counts["refused for what was readable again"]++
			return nil
		}
	}
	return lossf("%v, and what can't be decoded is %v", refused, blocking)
}

func (h *modelHistory) hasOpaque() bool {
	for _, row := range h.stored {
		if row.content.kind == "opaque" {
			return true
		}
	}
	for _, hole := range h.holes {
		if hole.opaque {
			return true
		}
	}
	return false
}

// afterCrash finds out how far an abandoned run came, and spoils the scratch
// tables, which a lost session leaves filled, and a crash of the server empty.
func (h *modelHistory) afterCrash(ctx context.Context, s modelStep) error {
	if err := h.spoil(ctx, s.args["scratch"]); err != nil {
		return err
	}
	found, err := h.w.look(ctx)
	if err != nil {
		return err
	}
	trusted, err := h.w.trusted(ctx)
	if err != nil {
		return err
	}
	if h.moment%2 == 0 && !h.lost {
		if _, err := h.w.verify(ctx); err != nil {
			return err
		}
	}
	if err := h.sound(found); err != nil {
		return err
	}
	if found.graph == "reshaping" {
		h.w.counts["crash while reshaping"]++
		found.graph, found.suspects = "current", 1
	}
	h.undecided = found.suspects > 0
	known := modelSet(found.recorded)
	maps.DeleteFunc(h.nodes, func(zoid int64, _ modelNode) bool {
		_, stored := h.stored[zoid]
		return !stored && !known[zoid]
	})
	if h.dirty || h.blurred || h.building {
		h.record(found)
	}
	if err := h.notice(found.noticed, found.events == 0 && trusted && found.graph == "current"); err != nil {
		return err
	}
	h.abandoned = max(h.abandoned, found.watermark, found.noticed)
	h.building = h.building || (found.graph != "current" && found.graph != "doubtful")
	switch {
	case found.pending == 0 && found.events == 0 && found.applied == h.stored.maxTid() && found.graph == "current" && trusted:
		if h.settled != h.moment || h.building {
			h.dirty = h.dirty || h.building
			h.settle(h.building)
			h.building = false
		}
		if slices.ContainsFunc(found.missing, func(zoid int64) bool { _, hole := h.holes[zoid]; return !hole }) {
			// What vanished and nothing live refers to has yet to leave the graph.
			h.record(found)
		}
	case h.building:
		h.w.counts["build abandoned"]++
		h.dirty = true
		h.record(found)
	case found.pending > 0 || h.settled < 0:
		h.dirty = true
		h.record(found)
	}
	h.doomed, h.begunUntil = modelSet(found.doomed), found.begunUntil
	return nil
}

const modelSpoil = `
	INSERT INTO relpack.examined_object (zoid, tid, class, size) VALUES (0, NULL, 0, 0), (3, 77, 0, 9), (900, 5, 0, 0)
	ON CONFLICT DO NOTHING;
	INSERT INTO relpack.examined_inref (zoid, inref, guessed) VALUES (1, 0, true), (2, 900, false), (5, 3, false);
	INSERT INTO relpack.examined_problem (zoid, kind, detail) VALUES (3, 'opaque', 'spoilt');
	INSERT INTO relpack.examined_foreign (inref, zoid, database) VALUES (3, 7, 'spoilt');
	INSERT INTO relpack.spared (zoid, stage) VALUES (2, 'new'), (4, 'done') ON CONFLICT DO NOTHING`

func (h *modelHistory) spoil(ctx context.Context, how int64) error {
	statement := ""
	switch how {
	case 1:
		statement = modelSpoil
	case 2:
		statement = `DELETE FROM relpack.examined_object; DELETE FROM relpack.examined_inref;
			DELETE FROM relpack.examined_problem; DELETE FROM relpack.examined_foreign; DELETE FROM relpack.spared`
	}
	_, err := h.w.app.Exec(ctx, statement)
	return err
}
