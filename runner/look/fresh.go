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
	// whole are objects of a history-preserving storage of which all revisions that a pack
	// keeps were read, because others than the newest may have changed.
	whole map[int64]bool
	// refs of each such object, of a history-preserving storage those of revisions that
	// the graph doesn't know, if it isn't whole; nil: it is not stored any more, or can't be decoded.
	refs map[int64][]int64
	by   map[int64][]int64 // who of them refers to an object
	// dead is what one of them refers to and the graph calls unreachable, and attached
	// what is alive of that, and below it: see Graph.attached; nil: nobody has asked.
	dead     []int64
	attached map[int64]bool
	flowed   bool              // see Graph.flow
	classes  map[int64]string  // of those that can be decoded
	labels   map[string]string // each class once
	problems map[int64]Problem // of those that can't be decoded
	blobs    []Blob            // those that are blobs
	foreign  []foreignRef      // what those that can be decoded refer to in other databases
	gone     []int64           // those that are not stored any more
}

// has tells whether the graph's references of an object are outdated.
func (f *fresh) has(zoid int64) bool {
	_, known := f.refs[zoid]
	return known && (!f.history || f.whole[zoid])
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
	if err := g.findWhole(ctx); err != nil {
		return err
	}
	refs := 0
	states := record.NewReader(nil, func(_ context.Context, row record.Row, found record.Decoded) error {
		g.progress.Add(1)
		if refs <= freshRefs*g.limits.Fresh {
			g.note(row, found)
			refs += len(found.Refs) + len(found.Foreign)
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
		if targets == nil {
			continue
		}
		slices.Sort(targets)
		g.fresh.refs[zoid] = slices.Compact(targets)
		for _, to := range g.fresh.refs[zoid] {
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

// findWhole finds the objects of a history-preserving storage of which more changed than
// that there are new revisions: events name them, or they are pending, or were set back.
func (g *Graph) findWhole(ctx context.Context) error {
	g.fresh.whole = map[int64]bool{}
	if !g.fresh.history {
		return nil
	}
	rows, err := g.tx.Query(ctx, `
		SELECT zoid FROM relpack.write_event WHERE zoid IS NOT NULL
		UNION
		SELECT zoid FROM relpack.pending
		UNION
		SELECT zoid FROM relpack.to_trim WHERE alone`)
	if err == nil {
		var zoid int64
		_, err = pgx.ForEachRow(rows, []any{&zoid}, func() error {
			g.fresh.whole[zoid] = true
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("look of which objects old revisions may have changed: %w", err)
	}
	return nil
}

// query is of what was written since: of a history-preserving storage new revisions, and
// all that a pack keeps of what is whole (see findWhole).
func (f *fresh) query() string {
	if !f.history {
		return `SELECT fresh.zoid, stored.tid, stored.state
			FROM relpack.unapplied() AS fresh (zoid)
			LEFT JOIN LATERAL (SELECT tid, state FROM relpack.stored() WHERE stored.zoid = fresh.zoid OFFSET 0) AS stored ON true`
	}
	return `SELECT fresh.zoid, stored.tid, stored.state
		FROM (
		    SELECT written.zoid,
		           EXISTS (SELECT FROM relpack.write_event WHERE write_event.zoid = written.zoid)
		           OR EXISTS (SELECT FROM relpack.pending WHERE pending.zoid = written.zoid)
		           OR EXISTS (SELECT FROM relpack.to_trim WHERE to_trim.zoid = written.zoid AND to_trim.alone) AS whole
		    FROM relpack.unapplied() AS written (zoid)
		) AS fresh
		CROSS JOIN (SELECT applied_tid, horizon_tid FROM relpack.storage) AS storage
		LEFT JOIN LATERAL (
		    SELECT stored.tid, stored.state
		    FROM relpack.stored()
		    WHERE NOT fresh.whole AND stored.zoid = fresh.zoid AND stored.tid > storage.applied_tid
		    UNION ALL
		    SELECT stored.tid, stored.state
		    FROM relpack.trim_kept(CASE WHEN fresh.whole THEN fresh.zoid END, storage.horizon_tid) AS kept (tid)
		    CROSS JOIN LATERAL (
		        SELECT stored.tid, stored.state
		        FROM relpack.stored()
		        WHERE stored.zoid = fresh.zoid AND stored.tid BETWEEN kept.tid AND kept.tid
		        OFFSET 0
		    ) AS stored
		    ORDER BY tid
		) AS stored ON true`
}

// note takes note of what an object is now. Of several revisions the newest comes last.
func (g *Graph) note(row record.Row, found record.Decoded) {
	f := &g.fresh
	refs := f.refs[row.Zoid]
	if refs == nil && f.history {
		refs = []int64{}
	}
	f.refs[row.Zoid] = nil
	delete(f.classes, row.Zoid)
	// It may have been set back from one without a state: see Revisions.
	if last := len(f.blobs) - 1; last >= 0 && f.blobs[last].Zoid == row.Zoid && !found.Empty {
		f.blobs = f.blobs[:last]
	}
	// Of an older revision, too, it must be known what it refers to.
	older := f.problems[row.Zoid]
	if older.Kind == "empty" {
		delete(f.problems, row.Zoid)
	}
	switch {
	case row.Tid == 0:
		f.gone = append(f.gone, row.Zoid)
		return
	case found.Empty:
		f.refs[row.Zoid] = refs
		if older.Kind == "" || older.Kind == "empty" {
			f.problems[row.Zoid] = Problem{Zoid: row.Zoid, Kind: found.Kind(), Reason: record.EmptyState, Offset: -1}
		}
		return
	case found.Problem != nil:
		if f.history {
			f.refs[row.Zoid] = refs
		}
		if older.Kind != "opaque" {
			f.problems[row.Zoid] = Problem{Zoid: row.Zoid, Kind: found.Kind(), Reason: found.Problem.Reason, Offset: found.Problem.Offset}
		}
		g.Uncertain = fmt.Sprintf("zoid %d was written since the last pack and can't be decoded (%v): what it refers to is unknown",
			row.Zoid, found.Problem)
		return
	}
	f.classes[row.Zoid] = f.label(found.Module, found.Name)
	if f.classes[row.Zoid] == blobClass {
		f.blobs = append(f.blobs, Blob{row.Zoid, row.Tid})
	}
	if refs == nil {
		refs = []int64{}
	}
	f.refs[row.Zoid] = append(refs, found.Refs...)
	for _, ref := range found.Foreign {
		if ref.Oid >= 0 {
			f.foreign = append(f.foreign, foreignRef{row.Zoid, ref.Oid, pickle.Plain(ref.Database)})
		}
	}
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

// referrers are the references that lead to objects, as they are now; of the graph's at
// most so many are looked at: all tells whether there are no more.
func (g *Graph) referrers(ctx context.Context, zoids []int64, most int) (edges []edge, all bool, err error) {
	for _, zoid := range zoids {
		for _, from := range g.fresh.by[zoid] {
			if !g.left(from, zoid) {
				edges = append(edges, edge{from, zoid})
			}
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
		return nil, false, err
	}
	looked, err := scanPairs(rows, func(from, to int64) {
		if g.fresh.has(from) || g.left(from, to) {
			return
		}
		if _, again := slices.BinarySearch(g.fresh.refs[from], to); !again {
			edges = append(edges, edge{from, to})
		}
	})
	return edges, looked < int64(most), err
}

// holds tells whether an object refers to another, as far as the graph says that it
// did when it was last read.
func (g *Graph) holds(from, to int64) bool {
	if g.left(from, to) {
		return false
	}
	if !g.fresh.has(from) {
		return true
	}
	_, found := slices.BinarySearch(g.fresh.refs[from], to)
	return found
}
