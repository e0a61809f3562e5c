package inventory

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"relpack/runner/session"
)

// A Problem is an object whose state could not be decoded, or that has none.
type Problem struct {
	Zoid   int64  `json:"zoid"`
	Kind   string `json:"kind"`
	Detail string `json:"detail"`
	Blocks bool   `json:"blocks"` // it keeps relpack from deleting anything
}

// Lost tells whether the object has lost its state, and what it referred to with that.
func (p Problem) Lost() bool { return p.Kind == "empty" }

// String is for people.
func (p Problem) String() string {
	if p.Lost() {
		return fmt.Sprintf("zoid %d is reachable and %s. What it referred to counts as garbage, unless others refer to it, "+
			"and is deleted after the grace. Restore the row before that", p.Zoid, p.Detail)
	}
	return fmt.Sprintf("zoid %d could not be decoded (%s): %s", p.Zoid, p.Kind, p.Detail)
}

// ReadProblems reads some, what keeps relpack from deleting first. Garbage without
// a state is garbage, and no problem; of a history-preserving storage old revisions may
// refer to what was deleted since. OFFSET 0: or the planner, who may know nothing
// of the table, has all objects read.
func ReadProblems(ctx context.Context, db session.Querier, limit int) ([]Problem, error) {
	found, err := session.Rows(ctx, db, pgx.RowToStructByPos[Problem], `
		SELECT zoid, kind, detail, blocks AND live
		FROM relpack.problem
		CROSS JOIN LATERAL (
		    SELECT EXISTS (SELECT FROM relpack.object WHERE object.zoid = problem.zoid AND parent IS NOT NULL OFFSET 0)
		) AS found (live)
		WHERE kind <> 'empty' OR (live AND NOT EXISTS (SELECT FROM relpack.storage WHERE keeps_history))
		ORDER BY blocks DESC, kind = 'empty', zoid
		LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("read relpack.problem: %w", err)
	}
	return found, nil
}
