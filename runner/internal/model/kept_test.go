package model

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"relpack/runner/fault"
)

// Rows that somebody else does not let go: a BEFORE trigger returns NULL for
// them, or another table refers to them.

const modelKeep = `
	CREATE TABLE IF NOT EXISTS public.model_kept (zoid bigint);
	CREATE OR REPLACE FUNCTION public.model_keep() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF EXISTS (SELECT FROM public.model_kept WHERE model_kept.zoid = OLD.zoid) THEN
			RETURN NULL;
		END IF;
		RETURN OLD;
	END $$;
	CREATE OR REPLACE TRIGGER model_keep BEFORE DELETE ON public.object_state
		FOR EACH ROW EXECUTE FUNCTION public.model_keep()`

const modelRelease = `
	SET client_min_messages = warning;
	DROP TRIGGER IF EXISTS model_keep ON public.object_state;
	DROP TABLE IF EXISTS public.model_kept, public.model_bookmark;
	RESET client_min_messages`

// modelActions are those of a key that lets nothing go.
var modelActions = []string{"NO ACTION", "RESTRICT", "NO ACTION DEFERRABLE INITIALLY DEFERRED"}

// keep has some objects kept, by a trigger or by a key.
func (h *modelHistory) keep(ctx context.Context, s modelStep) error {
	if s.kind == "release" {
		// Trigger and table are no reason to refuse anything.
		for _, table := range []string{"model_kept", "model_bookmark"} {
			if _, err := h.w.app.Exec(ctx, "DO $$ BEGIN IF to_regclass('public."+table+"') IS NOT NULL THEN DELETE FROM public."+table+"; END IF; END $$"); err != nil {
				return err
			}
		}
		clear(h.kept)
		clear(h.held)
		return nil
	}
	into, sql, kept := "model_kept", modelKeep, h.kept
	if s.kind == "key" {
		into, kept = "model_bookmark", h.held
		sql = "CREATE TABLE IF NOT EXISTS public.model_bookmark (zoid bigint REFERENCES public.object_state ON DELETE " +
			modelActions[int(s.args["how"])%len(modelActions)] + ")"
	}
	h.w.foreign = true
	if _, err := h.w.app.Exec(ctx, sql); err != nil {
		return err
	}
	for _, w := range s.writes {
		if _, stored := h.stored[w.zoid]; !stored || w.zoid == 0 || kept[w.zoid] {
			continue
		}
		if _, err := h.w.app.Exec(ctx, "INSERT INTO public."+into+" VALUES ($1)", w.zoid); err != nil {
			return err
		}
		kept[w.zoid] = true
	}
	return nil
}

// release takes trigger and tables away again, where nobody reads object_state.
func (h *modelHistory) release(ctx context.Context) error {
	clear(h.kept)
	clear(h.held)
	return h.w.release(ctx)
}

func (w *modelWorker) release(ctx context.Context) error {
	if !w.foreign {
		return nil
	}
	_, err := w.app.Exec(ctx, modelRelease)
	w.foreign = err != nil
	return err
}

// heldBack is the garbage that a key holds, and all that it reaches.
func (h *modelHistory) heldBack() map[int64]bool {
	var held []int64
	for zoid := range h.held {
		if h.nodes[zoid].garbage {
			held = append(held, zoid)
		}
	}
	return h.view.from(held...)
}

// checkSwept compares what a quiet pack has deleted with what it chose. Of what
// a key holds back, groups larger than a batch may have lost a part before that
// was found.
func (h *modelHistory) checkSwept(deleted, expected []int64, back map[int64]bool, batch int64) error {
	want := slices.DeleteFunc(slices.Sorted(slices.Values(expected)), func(zoid int64) bool { return back[zoid] })
	if len(want) < len(expected) {
		h.w.counts["held by a key"]++
		if batch < 1000 {
			deleted = slices.DeleteFunc(deleted, func(zoid int64) bool { return back[zoid] && !h.held[zoid] })
		}
	}
	slices.Sort(deleted)
	return lossUnless(slices.Equal(deleted, want), fmt.Sprintf("swept %v of %v", deleted, want))
}

func isKept(err error) bool {
	return fault.IsState(err, fault.StateRefused) && strings.Contains(err.Error(), "a trigger on public.object_state keeps rows") ||
		fault.IsState(err, fault.StateRefused) && strings.Contains(err.Error(), "a trigger on object_state keeps rows")
}

// checkKept: a deletion is refused for a trigger only if that keeps garbage,
// which it names, and then it leaves everything as it was.
func (h *modelHistory) checkKept(ctx context.Context, refused error) error {
	h.w.counts["kept by a trigger"]++
	if !strings.Contains(refused.Error(), "model_keep") {
		return lossf("the trigger is not named: %v", refused)
	}
	garbage := slices.ContainsFunc(slices.Collect(maps.Keys(h.kept)), func(zoid int64) bool {
		return h.nodes[zoid].garbage || h.blurred
	})
	if !garbage {
		return lossf("%v, and it keeps %v", refused, h.kept)
	}
	found, err := h.w.look(ctx)
	if err != nil {
		return err
	}
	return h.sound(found)
}

// keptPlot: a part of some garbage is kept, until nobody wants that any more or
// until it is used again.
func (g *modelGenerator) keptPlot() []func() modelStep {
	one, two, three, other, last := g.fresh(), g.fresh(), g.fresh(), g.fresh(), g.fresh()
	circle := modelPlain(three, last)
	if g.chance(30) {
		circle = modelPlain(three, last, one)
	}
	kept := pick(g, one, two, two, three)
	remove := planned("pack", "steps", map[string]int64{"grace": -1, "chunk": 10000, "batch": pick[int64](g, 1, 1000, 1000)})
	switch {
	case g.chance(20):
		remove = planned("pack", "runner", map[string]int64{"grace": -1})
	case g.chance(40):
		remove = planned("sweep", "psql", map[string]int64{"batch": pick[int64](g, 1, 1000), "calls": 50})
	}
	keeping := func() modelStep {
		args := map[string]int64{}
		kind := pick(g, "trigger", "key")
		if kind == "key" {
			args["how"] = int64(g.IntN(len(modelActions)))
		}
		live := pick(g, g.live()...)
		return modelStep{verb: "keep", kind: kind, args: args, writes: []modelWrite{
			{kept, modelContent{kind: "kept"}}, {live, modelContent{kind: "kept"}}}}
	}
	plot := []func() modelStep{
		g.written("dirt", modelPlain(one, two), modelPlain(two, three), circle, modelPlain(last), modelPlain(other)), g.later("add"),
		planned("pack", "steps", lookOnly), keeping, remove,
	}
	switch g.IntN(4) {
	case 0:
		plot = append(plot, func() modelStep { return g.linking("regain", kept) })
	case 1:
		plot = append(plot, planned("delete", "garbage", nil, modelWrite{kept, modelContent{kind: "gone"}}))
	}
	if g.chance(80) {
		plot = append(plot, planned("keep", "release", nil))
	}
	return append(plot, planned("pack", "steps", deleteAll))
}
