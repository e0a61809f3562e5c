package record

import (
	"bytes"
	"context"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"relpack/runner/pickle"
)

// History reads a history-preserving storage: of each object the revisions that a pack
// up to relpack.storage.horizon_tid keeps, which are handed on as one.
type History bool

// kept is a query of what is kept of the objects that a query names, in its order, the
// oldest revision first: all of an object that a trim left alone, until a capture says that
// it is set back no more. Whoever sets it forward by hand may set it back again before what
// was read is applied. Of most it is the newest alone, and nobody has to ask further.
func (History) kept(zoids string) string {
	return `SELECT object.zoid, stored.tid, stored.state
		FROM (` + zoids + `) AS object
		CROSS JOIN LATERAL (
		    SELECT CASE WHEN EXISTS (SELECT FROM relpack.to_trim WHERE to_trim.zoid = object.zoid AND to_trim.alone) THEN 0
		                ELSE (SELECT horizon_tid FROM relpack.storage) END AS tid
		    OFFSET 0
		) AS until
		CROSS JOIN LATERAL (
		    SELECT found.tid, found.tid <= until.tid AND EXISTS (
		               SELECT FROM public.current_object WHERE current_object.zoid = object.zoid AND (current_object.tid = found.tid) IS TRUE) AS alone
		    FROM (SELECT max(stored.tid) AS tid FROM relpack.stored() WHERE stored.zoid = object.zoid) AS found
		    OFFSET 0
		) AS newest
		LEFT JOIN LATERAL (
		    SELECT kept.tid, revision.state
		    FROM (
		        SELECT newest.tid WHERE newest.alone
		        UNION ALL
		        SELECT several.tid FROM relpack.trim_kept(object.zoid, until.tid) AS several (tid) WHERE newest.alone IS NOT TRUE
		        OFFSET 0
		    ) AS kept
		    CROSS JOIN LATERAL (
		        SELECT stored.state FROM relpack.stored() WHERE stored.zoid = object.zoid AND stored.tid BETWEEN kept.tid AND kept.tid OFFSET 0
		    ) AS revision
		) AS stored ON true`
}

// Pending is a query of the next objects of relpack.pending, by index, whatever
// statistics say of a table that was empty a moment ago: a hash join reads all of
// object_state.
func (h History) Pending(limit int) string {
	pending := fmt.Sprintf("SELECT zoid FROM relpack.pending ORDER BY zoid LIMIT %d", limit)
	if h {
		return h.kept(pending)
	}
	return "SELECT pending.zoid, stored.tid, stored.state FROM (" + pending + ") AS pending" +
		" LEFT JOIN LATERAL (SELECT tid, state FROM relpack.stored() WHERE stored.zoid = pending.zoid OFFSET 0) AS stored ON true"
}

// Single reads a range of blocks as [Reader.Blocks] does, for a first build: of a
// history-preserving storage the objects of which one revision is kept, each where its
// newest one is, which is that. An object of which more are kept is handed on without
// tid and state.
func (r *Reader) Single(ctx context.Context, conn *pgx.Conn, b Blocks, last int64) error {
	if !r.History {
		return r.Blocks(ctx, conn, b, last)
	}
	return r.Query(ctx, conn, `SELECT newest.zoid, CASE WHEN NOT more.kept THEN newest.tid END, CASE WHEN NOT more.kept THEN newest.state END
		FROM (`+b.newest(last)+`) AS newest
		CROSS JOIN LATERAL (
		    SELECT (SELECT min(older.tid) FROM relpack.stored() AS older WHERE older.zoid = newest.zoid) < newest.tid
		           AND (newest.tid > (SELECT horizon_tid FROM relpack.storage)
		                OR NOT EXISTS (SELECT FROM public.current_object WHERE current_object.zoid = newest.zoid AND (current_object.tid = newest.tid) IS TRUE)) AS kept
		    OFFSET 0
		) AS more`)
}

// newest is a query of rows of a range that are the newest of their object, and no later
// than last. By index, whatever statistics say of a history of few objects: an anti join
// would read all of object_state for each row.
func (b Blocks) newest(last int64) string {
	return "SELECT newest.zoid, newest.tid, newest.state FROM (" + b.query(last) + ") AS newest" +
		" WHERE newest.tid = (SELECT max(stored.tid) FROM relpack.stored() WHERE stored.zoid = newest.zoid)"
}

// A folder makes one of the revisions of an object.
type folder struct {
	row     Row
	found   Decoded
	refs    map[int64]struct{}
	foreign map[string]struct{}
	open    bool
}

// fold reads what a query finds: rows of an object come one after the other, the oldest
// first.
func (r *Reader) fold(ctx context.Context, conn *pgx.Conn, query string) error {
	f := &folder{}
	err := Rows(ctx, conn, query, func(row Row) error {
		if f.open && row.Zoid != f.row.Zoid {
			if err := r.sink(ctx, f.row, f.found); err != nil {
				return err
			}
			f.open = false
		}
		var found Decoded
		if row.Tid != 0 {
			var err error
			if found, err = r.decode(ctx, row.State); err != nil {
				return fmt.Errorf("zoid %d: %w", row.Zoid, err)
			}
		}
		f.add(row, found)
		return nil
	})
	if err != nil || !f.open {
		return err
	}
	return r.sink(ctx, f.row, f.found)
}

// add adds a revision. What is not known of one is not known of the object; its class is
// that of the newest that has a state.
func (f *folder) add(row Row, found Decoded) {
	if !f.open {
		*f = folder{open: true, row: Row{Zoid: row.Zoid}, refs: map[int64]struct{}{}, foreign: map[string]struct{}{},
			found: Decoded{Refs: f.found.Refs[:0]}}
	}
	f.row.Tid = row.Tid
	f.row.Size = min(f.row.Size+int64(len(row.State)), math.MaxInt32)
	for _, ref := range found.Refs {
		if _, known := f.refs[ref]; !known {
			f.refs[ref] = struct{}{}
			f.found.Refs = append(f.found.Refs, ref)
		}
	}
	for _, ref := range found.Foreign {
		key := fmt.Sprintf("%d %s", ref.Oid, ref.Database)
		if _, known := f.foreign[key]; !known {
			f.foreign[key] = struct{}{}
			f.found.Foreign = append(f.found.Foreign, pickle.Foreign{Oid: ref.Oid, Database: bytes.Clone(ref.Database)})
		}
	}
	if !found.Empty {
		f.found.Class = found.Class
	}
	if found.Problem != nil {
		if found.Problem.Kind == pickle.Odd {
			f.found.Odd = append(f.found.Odd, row.Tid)
		}
		if f.found.Problem == nil || f.found.Problem.Kind == pickle.Odd {
			f.found.Problem, f.found.ProblemTid = found.Problem, row.Tid
		}
	}
	f.found.Empty = found.Empty && f.found.Problem == nil
}
