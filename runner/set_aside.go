package runner

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
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

// sawSetAside reads what can't be deleted. That is an error at the end of a run
// that has deleted all the rest.
func (p *pack) sawSetAside(ctx context.Context) error {
	r := p.report
	if r.Unreachable.Objects == 0 {
		return nil
	}
	err := p.conn.QueryRow(ctx, countSetAside).Scan(&r.HeldBack.Objects, &r.HeldBack.Bytes)
	if err == nil && r.HeldBack.Objects > 0 {
		r.SetAside, err = pgxRows(ctx, p.conn, pgx.RowToStructByPos[SetAside], readSetAside, namedSetAside)
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
	first, rest := r.SetAside[0], "is"
	if r.DryRun {
		rest = "would be"
	}
	return Refuse(first.Remedy, "%s set aside, the rest %s deleted: zoid %d: %s",
		plural(r.HeldBack.Objects, "unreachable object"), rest, first.Zoid, first.Reason)
}
