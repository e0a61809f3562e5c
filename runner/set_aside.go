package runner

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/figures"
	"relpack/runner/session"
)

// A SetAside is an unreachable object that can't be deleted.
type SetAside struct {
	Zoid   int64  `json:"zoid"`
	Reason string `json:"reason"`
	Remedy string `json:"remedy"`
}

// namedSetAside is how many a report has.
const namedSetAside = 10

// Where it is reachable again, nothing was to be deleted.
const (
	countSetAside = `SELECT count(*), coalesce(sum(size), 0)::bigint
		FROM relpack.set_aside JOIN relpack.object USING (zoid) WHERE parent IS NULL`
	readSetAside = `SELECT zoid, reason, remedy FROM relpack.set_aside JOIN relpack.object USING (zoid)
		WHERE parent IS NULL ORDER BY zoid LIMIT $1`
)

// countHanging counts what set aside objects refer to, near and far, as far as
// it is worth telling. Node by node: the planner may know nothing of the tables.
const countHanging = `
	WITH RECURSIVE held (zoid, size) AS (
	    SELECT zoid, 0::bigint FROM relpack.set_aside JOIN relpack.object USING (zoid) WHERE parent IS NULL
	    UNION
	    SELECT object.zoid, object.size
	    FROM held
	    CROSS JOIN LATERAL (
	        SELECT object_inref.zoid FROM relpack.object_inref WHERE object_inref.inref = held.zoid OFFSET 0
	    ) AS ref
	    CROSS JOIN LATERAL (
	        SELECT object.zoid, object.size::bigint AS size FROM relpack.object
	        WHERE object.zoid = ref.zoid AND object.parent IS NULL OFFSET 0
	    ) AS object
	    WHERE NOT EXISTS (SELECT FROM relpack.set_aside WHERE set_aside.zoid = object.zoid)
	)
	SELECT count(*), coalesce(sum(size), 0)::bigint
	FROM (SELECT zoid, size FROM held LIMIT 100000) AS hung
	WHERE NOT EXISTS (SELECT FROM relpack.set_aside WHERE set_aside.zoid = hung.zoid)`

// sawSetAside reads what can't be deleted. That is an error at the end of a run
// that has deleted all the rest.
func (p *pack) sawSetAside(ctx context.Context) error {
	r := p.report
	if r.Unreachable.Objects == 0 {
		return nil
	}
	r.HangsOn, r.SetAside = figures.Count{}, []SetAside{}
	err := p.conn.QueryRow(ctx, countSetAside).Scan(&r.HeldBack.Objects, &r.HeldBack.Bytes)
	if err == nil && r.HeldBack.Objects > 0 {
		r.SetAside, err = session.Rows(ctx, p.conn, pgx.RowToStructByPos[SetAside], readSetAside, namedSetAside)
		if err == nil {
			err = p.conn.QueryRow(ctx, countHanging).Scan(&r.HangsOn.Objects, &r.HangsOn.Bytes)
		}
	}
	if err != nil {
		return fmt.Errorf("read relpack.set_aside: %w", err)
	}
	return nil
}

// setAside is the error for what can't be deleted, or nil.
func (r *Report) setAside() error {
	if len(r.SetAside) == 0 {
		return nil
	}
	first, text := r.SetAside[0], figures.Plural(r.HeldBack.Objects, "unreachable object")+" set aside"
	switch n := r.HangsOn.Objects; {
	case n == 1:
		text += ", 1 object that hangs on it stays too"
	case n > 1:
		text += fmt.Sprintf(", %s that hang on it stay too", figures.Plural(n, "object"))
	}
	is, gone := "is", r.Deleted.Objects
	if r.DryRun {
		is, gone = "would be", r.Chosen.Objects
	}
	switch {
	case gone > 0 && r.young.Objects > 0:
		text += ", the rest that is older than the grace " + is + " deleted"
	case gone > 0:
		text += ", the rest " + is + " deleted"
	}
	return fault.Refuse(first.Remedy, "%s: zoid %d: %s", text, first.Zoid, first.Reason)
}
