package model

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/jackc/pgx/v5"
)

// Writes that are no commits.

// restore writes rows with an old tid, as an operator does who mends a
// POSKeyError, and zodbconvert. With off=1 to 3 relpack's triggers don't see it.
// With replica=1 those fire that do for a replica.
func (h *modelHistory) restore(ctx context.Context, s modelStep) error {
	writes := h.writable(s.writes)
	tid := h.tid(s.args["age"])
	for h.used[tid] {
		tid++
	}
	h.used[tid] = true
	if s.is("replica") {
		if err := pgx.BeginFunc(ctx, h.w.app, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SET LOCAL session_replication_role = replica"); err != nil {
				return err
			}
			return modelStore(ctx, tx, tid, writes)
		}); err != nil {
			return err
		}
	} else if !s.is("off") {
		if err := modelStore(ctx, h.w.app, tid, writes); err != nil {
			return err
		}
	} else if err := h.untriggered(ctx, s.args["off"], func(tx pgx.Tx) error { return modelStore(ctx, tx, tid, writes) }); err != nil {
		return err
	}
	for _, name := range []string{"off", "replica"} {
		if n := s.args[name]; n > 0 {
			h.w.counts[fmt.Sprintf("restored, %s=%d", name, n)]++
		}
	}
	how := maybeReports
	if s.is("off") && len(writes) > 0 {
		how = sureReports
	}
	err := h.happens(ctx, how)
	h.write(tid, writes)
	return err
}

// modelTriggersOff are ways to write without relpack's triggers, and to put them
// in force again: those that report writes are off, or somebody drops them and
// makes them again.
var modelTriggersOff = map[int64][2]string{
	2: {`ALTER TABLE public.object_state DISABLE TRIGGER relpack_report_insert, DISABLE TRIGGER relpack_report_update`,
		`ALTER TABLE public.object_state ENABLE ALWAYS TRIGGER relpack_report_insert, ENABLE ALWAYS TRIGGER relpack_report_update`},
	3: {`DROP TRIGGER relpack_report_insert ON public.object_state; DROP TRIGGER relpack_report_update ON public.object_state`, `
		CREATE TRIGGER relpack_report_insert AFTER INSERT ON public.object_state REFERENCING NEW TABLE AS written
			FOR EACH STATEMENT EXECUTE FUNCTION relpack.trigger_write();
		CREATE TRIGGER relpack_report_update AFTER UPDATE ON public.object_state REFERENCING NEW TABLE AS written
			FOR EACH STATEMENT EXECUTE FUNCTION relpack.trigger_write();
		ALTER TABLE public.object_state ENABLE ALWAYS TRIGGER relpack_report_insert, ENABLE ALWAYS TRIGGER relpack_report_update`},
}

// untriggered writes while relpack's triggers are off: all of them, as pg_restore
// does with --disable-triggers, or as modelTriggersOff says.
func (h *modelHistory) untriggered(ctx context.Context, how int64, write func(pgx.Tx) error) error {
	statements, some := modelTriggersOff[how]
	if !some {
		statements = [2]string{"ALTER TABLE public.object_state DISABLE TRIGGER ALL", h.w.retriggered()}
	}
	// Whoever holds a snapshot of the table keeps others from altering it.
	if err := errors.Join(h.end(ctx), h.release(ctx)); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, h.w.app, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, statements[0]); err != nil {
			return err
		}
		if err := write(tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, statements[1])
		return err
	})
}

// retriggered is SQL that puts the triggers in force again: as relpack migrate
// does, or by a DBA's hand, which makes the sessions forget fewer of their plans.
func (w *modelWorker) retriggered() string {
	if !w.quick {
		return "SELECT relpack.create_triggers()"
	}
	return `ALTER TABLE public.object_state
		ENABLE ALWAYS TRIGGER relpack_lock_writer, ENABLE ALWAYS TRIGGER relpack_report_insert,
		ENABLE ALWAYS TRIGGER relpack_report_update, ENABLE ALWAYS TRIGGER relpack_report_delete,
		ENABLE ALWAYS TRIGGER relpack_report_truncate, ENABLE ALWAYS TRIGGER relpack_report_move,
		ENABLE REPLICA TRIGGER relpack_report_applied`
}

// reload replaces all rows by those of a snapshot, or by themselves.
func (h *modelHistory) reload(ctx context.Context, s modelStep) error {
	rows := h.stored
	if n := int(s.args["snapshot"]); n > 0 && n <= len(h.snapshots) {
		rows = h.snapshots[n-1]
		h.branch++
		h.w.counts["snapshot restored"]++
	}
	var zoids, tids []int64
	var states [][]byte
	for zoid, row := range rows {
		zoids, tids, states = append(zoids, zoid), append(tids, row.tid), append(states, row.content.state())
	}
	write := func(tx pgx.Tx) error {
		empty := "DELETE FROM public.object_state"
		if s.kind == "truncate" {
			empty = "TRUNCATE public.object_state CASCADE"
		}
		if _, err := tx.Exec(ctx, empty); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO public.object_state (zoid, tid, state_size, state)
			SELECT zoid, tid, coalesce(length(state), 0), state
			FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS saved (zoid, tid, state)`, zoids, tids, states)
		return err
	}
	err := errors.Join(h.happens(ctx, sureReports), h.end(ctx), h.release(ctx))
	switch {
	case err != nil:
	case s.kind == "untriggered":
		err = h.untriggered(ctx, 1, write)
	default:
		err = pgx.BeginFunc(ctx, h.w.app, write)
	}
	if err != nil {
		return err
	}
	if h.altered == sureReports {
		// A TRUNCATE is reason enough to compare, and has left an event.
		h.altered = maybeReports
	}
	h.change(func(stored modelStorage) {
		switch s.kind {
		case "truncate":
			clear(h.files)
			clear(h.maybeFiles)
		case "delete":
			for zoid, row := range stored {
				h.bury(zoid, row)
			}
		}
		saved := maps.Clone(rows)
		clear(stored)
		maps.Copy(stored, saved)
	})
	for zoid := range h.stored {
		h.touched[zoid] = true
	}
	return nil
}
