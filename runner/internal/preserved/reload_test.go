package preserved

import (
	"context"
	"strings"

	"relpack/runner/fault"
	"relpack/runner/internal/revision"
	"relpack/runner/internal/zodbtest"
)

// snapshot is a backup. Of blobs it has the objects alone.
func (h *history) snapshot(ctx context.Context) error {
	h.snapshots++
	_, err := h.site.Conn.Exec(ctx, `DROP SCHEMA IF EXISTS backup CASCADE; CREATE SCHEMA backup;
		CREATE TABLE backup.of_transaction AS SELECT * FROM transaction;
		CREATE TABLE backup.of_object_state AS SELECT * FROM object_state;
		CREATE TABLE backup.of_current_object AS SELECT * FROM current_object`)
	return err
}

// reload restores the backup, in one transaction.
func (h *history) reload(ctx context.Context, s step) error {
	if h.snapshots == 0 || h.open != nil {
		return nil
	}
	h.known, h.horizon = nil, 0 // what is garbage is so from now on
	h.trimmed = 0
	statements := []string{"BEGIN"}
	if s.kind == "untriggered" {
		statements = append(statements, "ALTER TABLE object_state DISABLE TRIGGER USER")
	}
	if s.kind == "delete" {
		statements = append(statements, "DELETE FROM current_object", "DELETE FROM object_state", "DELETE FROM transaction")
	} else {
		statements = append(statements, "TRUNCATE current_object, object_state, blob_chunk, transaction")
	}
	for _, table := range []string{"transaction", "object_state", "current_object"} {
		statements = append(statements, "INSERT INTO "+table+" SELECT * FROM backup.of_"+table)
	}
	if s.kind == "untriggered" {
		statements = append(statements, "SELECT relpack.create_triggers()")
	}
	_, err := h.site.Conn.Exec(ctx, strings.Join(append(statements, "COMMIT"), "; "))
	return err
}

// sweep is what somebody does in psql, whatever was done before: what is chosen goes
// (psql), or what was chosen by another run (doomed). What the rule keeps stays.
func (h *history) sweep(ctx context.Context, s step) error {
	r := &run{history: h, step: s}
	if _, ok := h.w.packs.(product); !ok {
		return nil
	}
	var err error
	if r.before, err = revision.Load(ctx, h.site.Conn); err != nil {
		return err
	}
	until, moment := newestOf(r.before), "NULL"
	if s.args["grace"] >= 0 {
		if until = h.tidAt(s.args["grace"]); until > newestOf(r.before) {
			until = newestOf(r.before)
		}
		moment = "'" + zodbtest.TidTime(h.tidAt(s.args["grace"])).UTC().Format("2006-01-02 15:04:05.999999Z") + "'"
	}
	calls := []string{"SELECT relpack.try_pack_lock()", "SELECT relpack.trim_settle()"}
	if s.kind == "psql" {
		calls = append(calls, "SELECT relpack.doom("+moment+")")
	}
	calls = append(calls, "SELECT outcome FROM relpack.sweep(3, "+moment+")", "SELECT outcome FROM relpack.sweep(100, "+moment+")")
	for _, call := range calls {
		if _, err = h.site.Conn.Exec(ctx, call); err != nil {
			break
		}
	}
	if _, unlocked := h.site.Conn.Exec(ctx, "SELECT relpack.release_pack_lock()"); unlocked != nil {
		return unlocked
	}
	switch {
	case fault.IsState(err, fault.StateRefused):
		h.w.counts["sweep refused"]++
	case err != nil:
		return lossf("a sweep fails: %v", err)
	default:
		h.w.counts["swept"]++
	}
	after, err := revision.Load(ctx, h.site.Conn)
	if err != nil {
		return err
	}
	if gone := len(r.before.Keys()) - len(after.Keys()); gone > 0 {
		h.w.counts["swept in psql"] += gone
	}
	return r.atLeast(after, until, false)
}
