package preserved

import (
	"context"
	"fmt"
	"slices"

	"relpack/runner/internal/revision"
	"relpack/runner/pickle"
)

// What is done to the tables by others than clients of the storage: restores,
// deletions and repairs.

// foreign does one of that. What vanished altogether leaves a ghost.
func (h *history) foreign(ctx context.Context, s step) error {
	then, err := revision.Load(ctx, h.site.Conn)
	if err != nil {
		return err
	}
	if s.verb == "reload" {
		if err := h.reload(ctx, s); err != nil {
			return err
		}
	} else if err := h.alter(ctx, s, then); err != nil {
		return err
	}
	now, err := revision.Load(ctx, h.site.Conn)
	if err != nil {
		return err
	}
	h.vanished(then, now)
	return nil
}

// vanished notes what is gone altogether, and for the graph was deleted by somebody else:
// a pack with pack-gc false does that, too. The graph may have what any of its revisions
// referred to, as those that were trimmed since.
func (h *history) vanished(then, now *revision.Storage) {
	h.remember(then)
	for zoid := range then.Revisions {
		if len(now.Revisions[zoid]) == 0 {
			h.ghosts[zoid] = h.ever[zoid]
		}
	}
}

// remember notes what objects refer to in any revision.
func (h *history) remember(s *revision.Storage) {
	for zoid, revisions := range s.Revisions {
		for _, r := range revisions {
			refs, _ := refsOf(r)
			for _, ref := range refs {
				if !slices.Contains(h.ever[zoid], ref) {
					h.ever[zoid] = append(h.ever[zoid], ref)
				}
			}
		}
	}
}

func (h *history) alter(ctx context.Context, s step, then *revision.Storage) error {
	zoid := s.args["zoid"]
	r, there := stored(then, zoid, s.args["n"])
	switch s.name() {
	case "restore:row":
		objects, chunks, err := h.records(ctx, s.writes)
		if err != nil || len(objects) == 0 {
			return err
		}
		return h.site.Restore(ctx, h.tidAt(s.args["age"])+7, s.is("packed"), objects, chunks)
	case "restore:old":
		if !there {
			return nil
		}
		return h.site.Restore(ctx, r.Tid, s.is("packed"), map[int64][]byte{zoid: r.State}, nil)
	case "alter:inplace":
		if zoid == 0 {
			return nil
		}
		return h.site.DeleteInPlace(ctx, zoid)
	}
	statement := ""
	switch s.name() {
	case "alter:state": // of an old revision, as who repairs it does
		var other int64
		for z := range then.Revisions {
			other = max(other, z)
		}
		if there && zoid != 0 {
			_, err := h.site.Conn.Exec(ctx, `UPDATE object_state SET state = $3::bytea, state_size = length($3::bytea), md5 = md5($3::bytea) WHERE zoid = $1 AND tid = $2`,
				zoid, r.Tid, h.state(write{kind: "plain", refs: []int64{other}}))
			return err
		}
	case "alter:forward":
		statement = "UPDATE current_object SET tid = (SELECT max(tid) FROM object_state WHERE zoid = $1) WHERE zoid = $1"
	case "alter:back":
		if there {
			_, err := h.site.Conn.Exec(ctx, "UPDATE current_object SET tid = $2 WHERE zoid = $1", zoid, r.Tid)
			return err
		}
	case "alter:uncurrent":
		statement = "DELETE FROM current_object WHERE zoid = $1 AND $1 <> 0"
	case "delete:object":
		statement = "WITH gone AS (DELETE FROM current_object WHERE zoid = $1 AND $1 <> 0) DELETE FROM object_state WHERE zoid = $1 AND $1 <> 0"
	case "delete:revision":
		if there && then.Current[zoid] != r.Tid {
			_, err := h.site.Conn.Exec(ctx, "DELETE FROM object_state WHERE zoid = $1 AND tid = $2", zoid, r.Tid)
			return err
		}
	case "delete:newest":
		if last, isThere := stored(then, zoid, 1); isThere {
			_, err := h.site.Conn.Exec(ctx, fmt.Sprintf(`UPDATE current_object SET tid = %d WHERE zoid = %d;
				DELETE FROM object_state WHERE zoid = %[2]d AND tid > %[1]d`, last.Tid, zoid))
			return err
		}
	default:
		return fmt.Errorf("unknown step %s", s)
	}
	if statement == "" || zoid == 0 && s.verb == "delete" {
		return nil
	}
	_, err := h.site.Conn.Exec(ctx, statement, zoid)
	return err
}

// refsOf are the references of a revision; false: nobody can tell.
func refsOf(r revision.Revision) ([]int64, bool) {
	if len(r.State) == 0 {
		return nil, true
	}
	var scanner pickle.Scanner
	if err := scanner.Scan(r.State); err != nil {
		return nil, false
	}
	return append([]int64(nil), scanner.Refs()...), true
}

// otherPack removes what zodbpack with pack-gc false does: it changes prev_tid of old
// revisions, and takes no row that something needs.
func (h *history) otherPack(ctx context.Context, tid int64) error {
	_, err := h.site.Conn.Exec(ctx, fmt.Sprintf(`
		UPDATE transaction SET packed = true WHERE tid > 0 AND tid <= %d;
		DELETE FROM object_state AS old
		USING current_object
		WHERE old.tid <= %[1]d AND current_object.zoid = old.zoid AND current_object.tid <> old.tid
		  AND EXISTS (SELECT FROM object_state AS newer WHERE newer.zoid = old.zoid AND newer.tid > old.tid AND newer.tid <= %[1]d)
		  AND NOT EXISTS (SELECT FROM object_state AS later WHERE later.zoid = old.zoid AND later.prev_tid = old.tid AND later.tid > %[1]d);
		UPDATE object_state SET prev_tid = 0
		WHERE tid <= %[1]d AND prev_tid <> 0 AND NOT EXISTS (SELECT FROM object_state AS other WHERE other.tid = object_state.prev_tid)`, tid))
	return err
}
