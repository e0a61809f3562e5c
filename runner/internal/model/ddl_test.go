package model

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"relpack/runner/fault"
	"relpack/runner/internal/zodbtest"
)

// What is done to object_state as a table. None of it changes a row by a
// statement that fires a trigger; some of it is not MVCC-safe: who looks with an
// older snapshot finds the table empty.

// modelAlterations are statements of one transaction.
var modelAlterations = map[string]string{
	"note": `ALTER TABLE public.object_state ADD COLUMN note double precision DEFAULT random();
		ALTER TABLE public.object_state DROP COLUMN note`,
	"retype": "ALTER TABLE public.object_state ALTER state_size TYPE bigint USING state_size + 0",
	"states": "ALTER TABLE public.object_state ALTER state TYPE bytea USING %s",
	"swap":   zodbtest.SwapFiles + "; DROP TABLE copied",
	"vacuum": "VACUUM FULL public.object_state",
}

// modelNotes bounds how often a table gets a column: of 1,600, those that were
// dropped count.
const modelNotes = 1000

// alteration is the SQL of one, with the states that it writes.
func (h *modelHistory) alteration(kind string, writes []modelWrite) string {
	if kind == "note" {
		if h.w.notes++; h.w.notes > modelNotes {
			kind = "swap"
		}
	}
	sql := modelAlterations[kind]
	if kind != "states" {
		return sql
	}
	states := "CASE zoid"
	for _, w := range writes {
		states += fmt.Sprintf(` WHEN %d THEN '\x%x'::bytea`, w.zoid, w.content.state())
	}
	return fmt.Sprintf(sql, states+" ELSE state END")
}

// alter is DDL between two packs. What it writes keeps its tid, and is told by
// nobody: the next pack must read every state again.
func (h *modelHistory) alter(ctx context.Context, s modelStep) error {
	// Whoever has read the table keeps others from altering it.
	if err := h.end(ctx); err != nil {
		return err
	}
	var writes []modelWrite
	for _, w := range s.writes {
		if row, stored := h.stored[w.zoid]; stored && row.content.kind == "plain" {
			writes = append(writes, w)
		}
	}
	if s.kind == "states" && len(writes) == 0 {
		return nil
	}
	if _, err := h.w.alter.Exec(ctx, h.alteration(s.kind, writes)); err != nil {
		return err
	}
	if len(writes) > 0 {
		h.change(func(stored modelStorage) {
			for _, w := range writes {
				tid := stored[w.zoid].tid
				stored[w.zoid] = modelRow{tid, w.content}
				// Whoever puts rows back without triggers has no other state of this
				// tid: that is for an audit to find, some day.
				for _, snapshot := range h.snapshots {
					if snapshot[w.zoid].tid == tid {
						snapshot[w.zoid] = modelRow{tid, w.content}
					}
				}
			}
		})
		// What is read again is pending, as after an abandoned run.
		h.dirty = true
	}
	h.altered = sureReports
	if s.kind != "retype" && s.kind != "states" {
		// Another file is what a TRUNCATE gives too, whose event is reason enough
		// to compare: a sweep that finds nothing to delete need not ask.
		var truncated bool
		if err := h.w.app.QueryRow(ctx, "SELECT EXISTS (SELECT FROM relpack.write_event WHERE kind = 'truncated')").
			Scan(&truncated); err != nil {
			return err
		}
		if truncated {
			h.altered = maybeReports
		}
	}
	return h.happens(ctx, sureReports)
}

// modelGivesWay ends as soon as somebody waits for the table, or nobody does.
const modelGivesWay = `
	DO $$
	BEGIN
		FOR tries IN 1 .. 60 LOOP
			EXIT WHEN EXISTS (SELECT FROM pg_locks WHERE relation = 'public.object_state'::regclass AND NOT granted);
			PERFORM pg_sleep(0.0005);
		END LOOP;
	END $$;
	COMMIT`

// modelBeside are the alterations that a pack meets.
var modelBeside = []string{"note", "retype", "swap"}

// alterBeside alters the table before a step of a pack, which has to wait for
// that to be committed.
func (r *modelRun) alterBeside(ctx context.Context) error {
	if err := r.modelHistory.end(ctx); err != nil {
		return err
	}
	kind := modelBeside[int(r.step.args["how"])%len(modelBeside)]
	if _, err := r.w.alter.Exec(ctx, "BEGIN; "+r.alteration(kind, nil)); err != nil {
		return err
	}
	r.altering = make(chan error, 1)
	go func() {
		_, err := r.w.alter.Exec(ctx, modelGivesWay)
		r.altering <- err
	}()
	r.w.counts["altered beside a pack"]++
	r.altered, r.alteredBeside = maybeReports, true
	r.dirty = r.dirty || r.building
	return r.happens(ctx, maybeReports)
}

// awaitAlteration waits until it is committed.
func (r *modelRun) awaitAlteration() error {
	if r.altering == nil {
		return nil
	}
	err := <-r.altering
	r.altering = nil
	return err
}

// believed leaves out what leaves a graph only once it is believed again: missing
// rows that nothing live refers to.
func (h *modelHistory) believed(found modelFound) modelFound {
	if h.altered == noReports {
		return found
	}
	missing, all := modelSet(found.missing), found
	found.zoids, found.tids, found.attached, found.detached = nil, nil, nil, nil
	for i, zoid := range all.zoids {
		if missing[zoid] && !all.attached[i] {
			delete(missing, zoid)
			continue
		}
		found.zoids, found.tids = append(found.zoids, zoid), append(found.tids, all.tids[i])
		found.attached, found.detached = append(found.attached, all.attached[i]), append(found.detached, all.detached[i])
	}
	found.missing = slices.Sorted(maps.Keys(missing))
	return found
}

// checkDoubt: a graph is not believed only if something was altered.
func (h *modelHistory) checkDoubt(refused error) error {
	return lossUnless(h.altered != noReports, fmt.Sprintf("%v, and nothing was altered", refused))
}

func isDoubt(err error) bool {
	return fault.IsState(err, fault.StateRefused) && strings.Contains(err.Error(), "the graph may not match the storage")
}

// unlessRewrittenModel is graph.Packer.UnlessRewritten.
func (r *modelRun) unlessRewrittenModel(ctx context.Context, do func() error) error {
	err := do()
	if err == nil || errors.Is(err, errAbandoned) || !r.Rewritten(ctx, err) {
		return err
	}
	if err := r.checkDoubt(err); err != nil {
		return err
	}
	r.w.counts["rewritten, and packed in the same run"]++
	if err := r.catchUpModel(ctx); err != nil {
		return err
	}
	return do()
}

// rereadModel is graph.Packer.Reread, where a capture has found columns altered.
func (r *modelRun) rereadModel(ctx context.Context) error {
	var reread bool
	if err := r.w.packer.QueryRow(ctx, "SELECT reread FROM relpack.storage").Scan(&reread); err != nil || !reread {
		return err
	}
	if err := r.next(ctx, "reread"); err != nil {
		return err
	}
	if err := r.checkDoubt(errors.New("every state is read again")); err != nil {
		return err
	}
	r.w.counts["read again"]++
	if err := r.Reread(ctx); err != nil {
		return err
	}
	// What was found to differ is pending, as after an abandoned run.
	var differs bool
	if err := r.w.packer.QueryRow(ctx, "SELECT EXISTS (SELECT FROM relpack.pending)").Scan(&differs); err != nil {
		return err
	}
	r.dirty = r.dirty || differs
	return nil
}
