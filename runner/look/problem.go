package look

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"relpack/runner/record"
)

// A Problem is a state that can't be decoded, or none.
type Problem struct {
	Zoid   int64
	Class  string
	Kind   string // opaque, salvaged or empty, as in relpack.problem, or uncurrent
	Reason string
	Offset int // the byte, -1 where none is at fault
}

// EachProblem hands on the live objects whose state can't be decoded, those first
// that keep relpack from deleting. It returns how many unreachable ones there are. One
// without a state whose creation was undone is none where old revisions alone refer to it,
// nor one that was set back to a revision that has a state.
func (g *Graph) EachProblem(ctx context.Context, every func(Problem) error) (dead int64, err error) {
	each := func(p Problem) error {
		if met, err := g.met(ctx, p); err != nil || !met {
			return err
		}
		return every(p)
	}
	attached, err := g.attached(ctx)
	if err != nil {
		return 0, err
	}
	for _, kind := range []string{"opaque", "salvaged", "empty"} {
		for after := int64(-1); ; {
			chunk, last, n, err := g.problems(ctx, kind, after, attached)
			if err != nil {
				return dead, fmt.Errorf("read relpack.problem: %w", err)
			}
			dead += n
			zoids := make([]int64, len(chunk))
			for i, p := range chunk {
				zoids[i] = p.Zoid
			}
			alive, err := g.stillAlive(ctx, zoids)
			if err != nil {
				return dead, err
			}
			for _, p := range chunk {
				if !alive[p.Zoid] {
					dead++
				} else if err := each(p); err != nil {
					return dead, err
				}
			}
			if last < 0 {
				break
			}
			after = last
		}
		if err := g.freshProblems(ctx, kind, each); err != nil {
			return dead, err
		}
	}
	return dead, nil
}

// met tells whether a client can meet a problem: an object without a state is none that
// nobody loads, or that is loaded in a revision that has one.
func (g *Graph) met(ctx context.Context, p Problem) (bool, error) {
	if p.Kind != "empty" || !g.KeepsHistory() {
		return true, nil
	}
	held, err := g.heldNow(ctx, p.Zoid)
	if err != nil || !held {
		return false, err
	}
	loaded, err := g.loaded(ctx, p.Zoid)
	return !loaded, err
}

// mostHolders is how many referrers of an object are looked at: each is read and decoded.
const mostHolders = 10_000

// heldNow tells whether a live object refers to another in the revision that is loaded. If
// more refer to it than are looked at, one of them may.
func (g *Graph) heldNow(ctx context.Context, zoid int64) (bool, error) {
	if zoid == 0 {
		return true, nil
	}
	edges, all, err := g.referrers(ctx, []int64{zoid}, mostHolders)
	if err != nil {
		return true, fmt.Errorf("list the referrers of zoid %d: %w", zoid, err)
	}
	for _, e := range edges {
		name, err := g.NameOf(ctx, e.from, zoid)
		if err != nil {
			return true, err
		}
		if name.Old {
			continue
		}
		if alive, err := g.IsAlive(ctx, e.from); err != nil || alive {
			return true, err
		}
	}
	return !all, nil
}

// loaded tells whether an object has a state in the revision that current_object names.
func (g *Graph) loaded(ctx context.Context, zoid int64) (has bool, err error) {
	if err = g.tx.QueryRow(ctx, `SELECT EXISTS (
		SELECT
		FROM public.current_object AS named
		CROSS JOIN LATERAL (
		    SELECT FROM relpack.stored() WHERE stored.zoid = named.zoid AND stored.tid BETWEEN named.tid AND named.tid AND stored.state <> '' OFFSET 0
		) AS loaded
		WHERE named.zoid = $1)`, zoid).Scan(&has); err != nil {
		err = fmt.Errorf("look at the current revision of object %d: %w", zoid, err)
	}
	return has, err
}

// EachUncurrent hands on live objects of a history-preserving storage that current_object
// does not name, some at a time. Call it in [Graph.Pause].
func (g *Graph) EachUncurrent(ctx context.Context, each func([]int64)) error {
	for after := new(int64(-1)); after != nil; {
		var zoids []int64
		if err := pgx.BeginTxFunc(ctx, g.conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '5s'; "+record.LockStorage); err != nil {
				return err
			}
			return tx.QueryRow(ctx, "SELECT last, zoids FROM relpack.uncurrent($1, $2)", *after, blobNodes).Scan(&after, &zoids)
		}); err != nil {
			return fmt.Errorf("look for objects without a current revision: %w", err)
		}
		each(zoids)
		g.progress.Add(blobNodes)
	}
	return nil
}

// NewlyAlive are what may be alive though the graph does not have it for that: it was
// written since the last pack, or attached again.
func (g *Graph) NewlyAlive(ctx context.Context) ([]int64, error) {
	attached, err := g.attached(ctx)
	return slices.AppendSeq(attached, maps.Keys(g.fresh.refs)), err
}

// StillUncurrent are those of some objects that are alive and that current_object does
// not name now.
func (g *Graph) StillUncurrent(ctx context.Context, zoids []int64) (still []Problem, err error) {
	for chunk := range slices.Chunk(zoids, lostChunk) {
		rows, err := g.tx.Query(ctx, "SELECT relpack.uncurrent_of($1)", chunk)
		if err != nil {
			return nil, fmt.Errorf("look for objects without a current revision: %w", err)
		}
		bare, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return nil, fmt.Errorf("look for objects without a current revision: %w", err)
		}
		objects, err := g.Objects(ctx, bare)
		if err != nil {
			return nil, err
		}
		alive, err := g.stillAlive(ctx, bare)
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			if alive[o.Zoid] && o.Stored() {
				still = append(still, Problem{Zoid: o.Zoid, Class: o.Class, Kind: "uncurrent", Offset: -1,
					Reason: "current_object names no revision of it that has a state: whoever loads it gets a POSKeyError"})
			}
		}
	}
	return still, nil
}

// ProblemOf tells what keeps an object's state from being decoded, if anything does.
func (g *Graph) ProblemOf(ctx context.Context, zoid int64) (p Problem, known bool, err error) {
	if p, known := g.fresh.problems[zoid]; known {
		met, err := g.met(ctx, p)
		return p, met, err
	}
	if _, written := g.fresh.refs[zoid]; written {
		return p, false, nil
	}
	p.Zoid = zoid
	err = g.tx.QueryRow(ctx, "SELECT kind, detail FROM relpack.problem WHERE zoid = $1", zoid).Scan(&p.Kind, &p.Reason)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, false, nil
	}
	if err != nil {
		return p, false, fmt.Errorf("read relpack.problem: %w", err)
	}
	p.Reason, p.Offset = cutOffset(p.Reason)
	met, err := g.met(ctx, p)
	return p, met, err
}

// freshProblems hands on those of what was written since the last pack.
func (g *Graph) freshProblems(ctx context.Context, kind string, each func(Problem) error) error {
	for _, zoid := range slices.Sorted(maps.Keys(g.fresh.problems)) {
		p := g.fresh.problems[zoid]
		if p.Kind != kind {
			continue
		}
		alive, err := g.IsAlive(ctx, zoid)
		if err != nil {
			return err
		}
		if !alive {
			continue
		}
		objects, err := g.Objects(ctx, []int64{zoid})
		if err != nil {
			return err
		}
		p.Class = objects[0].Class
		if err := each(p); err != nil {
			return err
		}
	}
	return nil
}

// problems reads a chunk of relpack.problem; last is -1 at the end.
func (g *Graph) problems(ctx context.Context, kind string, after int64, attached []int64) (live []Problem, last, dead int64, err error) {
	rows, err := g.tx.Query(ctx, `
		SELECT problem.zoid, coalesce(nullif(class.label, '(unknown)'), ''), problem.detail, object.parent IS NOT NULL OR object.zoid = ANY ($4::bigint[])
		FROM relpack.problem
		JOIN relpack.object ON object.zoid = problem.zoid
		JOIN relpack.class ON class.id = object.class
		WHERE problem.kind = $1 AND problem.zoid > $2
		ORDER BY problem.zoid
		LIMIT $3`, kind, after, lostChunk, attached)
	if err != nil {
		return nil, -1, 0, err
	}
	last = -1
	count := 0
	var alive bool
	p := Problem{Kind: kind}
	_, err = pgx.ForEachRow(rows, []any{&p.Zoid, &p.Class, &p.Reason, &alive}, func() error {
		count, last = count+1, p.Zoid
		_, written := g.fresh.refs[p.Zoid]
		_, again := g.fresh.problems[p.Zoid]
		switch p.Reason, p.Offset = cutOffset(p.Reason); {
		case g.fresh.has(p.Zoid) || again || written && kind == "empty":
		case alive:
			live = append(live, p)
		default:
			dead++
		}
		return nil
	})
	if count < lostChunk {
		last = -1
	}
	return live, last, dead, err
}

// cutOffset takes "reason at byte 12" apart.
func cutOffset(detail string) (reason string, offset int) {
	if i := strings.LastIndex(detail, " at byte "); i >= 0 {
		if n, err := strconv.Atoi(detail[i+len(" at byte "):]); err == nil {
			return detail[:i], n
		}
	}
	return detail, -1
}

// lookForUndecodable looks for live objects of which nobody knows what they refer to.
// What was written since the last pack is none of these any more.
func (g *Graph) lookForUndecodable(ctx context.Context) error {
	for after := int64(-1); g.Uncertain == ""; {
		rows, err := g.tx.Query(ctx, `
			SELECT problem.zoid, object.parent IS NULL
			FROM relpack.problem
			JOIN relpack.object ON object.zoid = problem.zoid
			WHERE problem.blocks AND problem.zoid > $1 AND (object.parent IS NOT NULL OR $2)
			ORDER BY problem.zoid
			LIMIT $3`, after, len(g.fresh.dead) > 0, lostChunk)
		if err != nil {
			return fmt.Errorf("look what keeps relpack from being certain: %w", err)
		}
		var live, dead []int64
		count, err := scanPairs(rows, func(zoid int64, detached bool) {
			switch after = zoid; {
			case g.fresh.has(zoid):
			case detached:
				dead = append(dead, zoid)
			default:
				live = append(live, zoid)
			}
		})
		if err != nil || count == 0 {
			return err
		}
		alive, err := g.stillAlive(ctx, live)
		if err != nil {
			return err
		}
		if len(dead) > 0 {
			if _, err := g.attached(ctx); err != nil {
				return err
			}
		}
		for _, zoid := range append(live, dead...) {
			if alive[zoid] || g.fresh.attached[zoid] {
				g.Uncertain = fmt.Sprintf("reachable objects can't be decoded, zoid %d for instance, and what they refer to is unknown: "+
					"restore them, or cut them off", zoid)
				return nil
			}
		}
	}
	return nil
}
