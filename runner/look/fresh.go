package look

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"relpack/runner/pickle"
	"relpack/runner/record"
)

// freshRefs is how many references of an object written since the last pack are kept
// in memory on average.
const freshRefs = 5

// fresh is what was written since the graph was brought up to date.
type fresh struct {
	// history: the storage is a history-preserving one. There a commit takes no
	// reference away: old revisions have it as before.
	history bool
	// refs of each such object, of a history-preserving storage those of revisions that
	// the graph doesn't know; nil: it is not stored any more, or can't be decoded.
	refs map[int64][]int64
	by   map[int64][]int64 // who of them refers to an object
	// dead is what one of them refers to and the graph calls unreachable, and attached
	// what is alive of that, and below it: see Graph.attached; nil: nobody has asked.
	dead     []int64
	attached []int64
	classes  map[int64]string  // of those that can be decoded
	labels   map[string]string // each class once
	problems map[int64]Problem // of those that can't be decoded
	blobs    []Blob            // those that are blobs
	gone     []int64           // those that are not stored any more
}

// has tells whether the graph's references of an object are outdated.
func (f *fresh) has(zoid int64) bool {
	refs, known := f.refs[zoid]
	return known && (refs == nil || !f.history)
}

// readFresh reads what the next pack would.
func (g *Graph) readFresh(ctx context.Context) error {
	g.fresh = fresh{history: g.fresh.history, refs: map[int64][]int64{}, by: map[int64][]int64{}, problems: map[int64]Problem{}, classes: map[int64]string{}, labels: map[string]string{}}
	var truncated bool
	if err := g.tx.QueryRow(ctx, `SELECT count(*), EXISTS (SELECT FROM relpack.write_event WHERE kind = 'truncated')
		FROM (SELECT FROM relpack.unapplied() LIMIT $1) AS few`, g.limits.Fresh+1).Scan(&g.Fresh, &truncated); err != nil {
		return fmt.Errorf("look what was written since the last pack: %w", err)
	}
	switch {
	case truncated:
		g.Uncertain = "object_state was emptied since the last pack" + g.first()
		return nil
	case g.Fresh > int64(g.limits.Fresh):
		g.tooFresh()
		return nil
	case g.Fresh == 0:
		return nil
	}
	g.progress.Phase("read what is new", "objects", g.Fresh)
	defer g.progress.End()
	return g.decodeFresh(ctx)
}

func (g *Graph) tooFresh() {
	g.Uncertain = fmt.Sprintf("more was written since the last pack than is read for an answer (%d objects)", g.limits.Fresh) + g.first()
	g.fresh = fresh{history: g.fresh.history}
}

func (g *Graph) decodeFresh(ctx context.Context) error {
	refs := 0
	states := record.NewReader(nil, func(_ context.Context, row record.Row, found record.Decoded) error {
		g.progress.Add(1)
		if refs <= freshRefs*g.limits.Fresh {
			g.note(row, found)
			refs += len(found.Refs)
		}
		return nil
	})
	err := states.Query(ctx, g.conn, g.fresh.query())
	if err != nil {
		return fmt.Errorf("read what was written since the last pack: %w", err)
	}
	if refs > freshRefs*g.limits.Fresh {
		g.tooFresh()
		return nil
	}
	if err := g.keepHoles(ctx); err != nil {
		return err
	}
	for zoid, targets := range g.fresh.refs {
		slices.Sort(targets)
		for _, to := range slices.Compact(targets) {
			g.fresh.by[to] = append(g.fresh.by[to], zoid)
		}
	}
	targets := make([]int64, 0, len(g.fresh.by))
	for to := range g.fresh.by {
		targets = append(targets, to)
	}
	rows, err := g.tx.Query(ctx, `
		SELECT target.zoid
		FROM unnest($1::bigint[]) AS target (zoid)
		CROSS JOIN LATERAL (SELECT FROM relpack.object WHERE object.zoid = target.zoid AND object.parent IS NULL OFFSET 0) AS dead`, targets)
	if err == nil {
		g.fresh.dead, err = pgx.CollectRows(rows, pgx.RowTo[int64])
	}
	if err != nil {
		return fmt.Errorf("look whether garbage was attached again: %w", err)
	}
	return nil
}

// query is of what was written since. Of an object that events name or that is pending
// any of its revisions may be new.
func (f *fresh) query() string {
	if !f.history {
		return `SELECT fresh.zoid, stored.tid, stored.state
			FROM relpack.unapplied() AS fresh (zoid)
			LEFT JOIN LATERAL (SELECT tid, state FROM relpack.stored() WHERE stored.zoid = fresh.zoid OFFSET 0) AS stored ON true`
	}
	return `SELECT fresh.zoid, stored.tid, stored.state
		FROM (
		    SELECT written.zoid,
		           CASE WHEN EXISTS (SELECT FROM relpack.write_event WHERE write_event.zoid = written.zoid)
		                  OR EXISTS (SELECT FROM relpack.pending WHERE pending.zoid = written.zoid)
		                THEN -1 ELSE (SELECT applied_tid FROM relpack.storage) END AS since
		    FROM relpack.unapplied() AS written (zoid)
		) AS fresh
		LEFT JOIN LATERAL (
		    SELECT tid, state FROM relpack.stored() WHERE stored.zoid = fresh.zoid AND stored.tid > fresh.since ORDER BY stored.tid
		) AS stored ON true`
}

// note takes note of what an object is now. Of several revisions the newest comes last.
func (g *Graph) note(row record.Row, found record.Decoded) {
	f := &g.fresh
	refs := f.refs[row.Zoid]
	f.refs[row.Zoid] = nil
	delete(f.problems, row.Zoid)
	delete(f.classes, row.Zoid)
	switch {
	case row.Tid == 0:
		f.gone = append(f.gone, row.Zoid)
		return
	case found.Empty:
		f.refs[row.Zoid] = refs
		f.problems[row.Zoid] = Problem{Zoid: row.Zoid, Kind: found.Kind(), Reason: record.EmptyState, Offset: -1}
		return
	case found.Problem != nil:
		f.problems[row.Zoid] = Problem{Zoid: row.Zoid, Kind: found.Kind(), Reason: found.Problem.Reason, Offset: found.Problem.Offset}
		g.Uncertain = fmt.Sprintf("zoid %d was written since the last pack and can't be decoded (%v): what it refers to is unknown",
			row.Zoid, found.Problem)
		return
	}
	f.classes[row.Zoid] = f.label(found.Module, found.Name)
	if f.classes[row.Zoid] == "ZODB.blob.Blob" {
		if last := len(f.blobs) - 1; last >= 0 && f.blobs[last].Zoid == row.Zoid {
			f.blobs = f.blobs[:last]
		}
		f.blobs = append(f.blobs, Blob{row.Zoid, row.Tid})
	}
	if refs == nil {
		refs = []int64{}
	}
	f.refs[row.Zoid] = append(refs, found.Refs...)
}

// label is the name of a class, as relpack.class.label has it.
func (f *fresh) label(module, name []byte) string {
	key := string(module) + "." + string(name)
	label, known := f.labels[key]
	if known {
		return label
	}
	switch {
	case len(name) == 0:
		label = ""
	case len(module) == 0:
		label = pickle.Plain(name)
	default:
		label = pickle.Plain(module) + "." + pickle.Plain(name)
	}
	f.labels[key] = label
	return label
}

// keepHoles leaves rows that vanished their references, if a live object refers to
// them: so does the next pack, which takes nothing that hangs on them for garbage.
func (g *Graph) keepHoles(ctx context.Context) error {
	rows, err := g.tx.Query(ctx, `
		SELECT object.zoid
		FROM unnest($1::bigint[]) AS gone (zoid)
		CROSS JOIN LATERAL (
		    SELECT object.zoid FROM relpack.object WHERE object.zoid = gone.zoid AND object.parent IS NOT NULL OFFSET 0
		) AS object`, g.fresh.gone)
	if err != nil {
		return fmt.Errorf("look which rows vanished: %w", err)
	}
	holes, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	for _, zoid := range holes {
		delete(g.fresh.refs, zoid)
	}
	return err
}

// An edge is a reference.
type edge struct{ from, to int64 }

// referrers are the references that lead to objects, as they are now; at most so
// many.
func (g *Graph) referrers(ctx context.Context, zoids []int64, most int) ([]edge, error) {
	var edges []edge
	for _, zoid := range zoids {
		for _, from := range g.fresh.by[zoid] {
			edges = append(edges, edge{from, zoid})
		}
	}
	rows, err := g.tx.Query(ctx, `
		SELECT edge.inref, edge.zoid
		FROM unnest($1::bigint[]) AS target (zoid)
		CROSS JOIN LATERAL (
		    SELECT object_inref.inref, object_inref.zoid
		    FROM relpack.object_inref
		    WHERE object_inref.zoid = target.zoid
		    ORDER BY object_inref.inref
		    LIMIT $2
		) AS edge
		LIMIT $2`, zoids, most)
	if err != nil {
		return nil, err
	}
	var e edge
	_, err = pgx.ForEachRow(rows, []any{&e.from, &e.to}, func() error {
		if !g.fresh.has(e.from) && !slices.Contains(g.fresh.by[e.to], e.from) {
			edges = append(edges, e)
		}
		return nil
	})
	return edges, err
}

// holds tells whether an object refers to another, as far as the graph says that it
// did when it was last read.
func (g *Graph) holds(from, to int64) bool {
	return !g.fresh.has(from) || slices.Contains(g.fresh.refs[from], to)
}
