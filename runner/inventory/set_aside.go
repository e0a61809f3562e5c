package inventory

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"relpack/runner/figures"
	"relpack/runner/session"
)

// A SetAside is an unreachable object that can't be deleted.
type SetAside struct {
	Zoid   int64  `json:"zoid"`
	Reason string `json:"reason"`
	Remedy string `json:"remedy"`
}

// Where it is reachable again, nothing was to be deleted. One by one: the planner
// may know nothing of the table, and would rather read all objects.
const (
	unreachableSetAside = `relpack.set_aside
		CROSS JOIN LATERAL (
		    SELECT object.size FROM relpack.object WHERE object.zoid = set_aside.zoid AND object.parent IS NULL OFFSET 0
		) AS object`
	countSetAside = `SELECT count(*), coalesce(sum(size), 0)::bigint FROM ` + unreachableSetAside
	readSetAside  = `SELECT zoid, reason, remedy FROM ` + unreachableSetAside + ` ORDER BY zoid LIMIT $1`
)

// countHanging counts what set aside objects refer to, near and far, as far as
// it is worth telling.
const countHanging = `
	WITH RECURSIVE held (zoid, size) AS (
	    SELECT zoid, 0::bigint FROM ` + unreachableSetAside + `
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

// ReadSetAside counts what can't be deleted, and names some.
func ReadSetAside(ctx context.Context, db session.Querier, limit int) (held figures.Count, some []SetAside, err error) {
	some = []SetAside{}
	err = db.QueryRow(ctx, countSetAside).Scan(&held.Objects, &held.Bytes)
	if err == nil && held.Objects > 0 {
		some, err = session.Rows(ctx, db, pgx.RowToStructByPos[SetAside], readSetAside, limit)
	}
	if err != nil {
		return held, nil, fmt.Errorf("read relpack.set_aside: %w", err)
	}
	return held, some, nil
}

// CountHanging counts what objects that are set aside refer to, which stays with
// them.
func CountHanging(ctx context.Context, db session.Querier) (hung figures.Count, err error) {
	if err = db.QueryRow(ctx, countHanging).Scan(&hung.Objects, &hung.Bytes); err != nil {
		err = fmt.Errorf("read relpack.set_aside: %w", err)
	}
	return hung, err
}
