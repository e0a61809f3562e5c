package look

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Lost is an object that is not stored, and that live ones refer to.
type Lost struct {
	Zoid    int64
	Class   string     // as last read; "" where relpack never read it
	Since   *time.Time // a pack found that its row had vanished; nil: relpack never saw the row, or not yet that it is gone
	Holders int64      // live objects that refer to it
	Some    []int64    // of them
}

// How many objects are looked up at once, and how many holders of each are looked
// at one by one.
const (
	lostChunk   = 1_000
	someHolders = 25
)

// EachLost hands on what live objects refer to and is not stored.
func (g *Graph) EachLost(ctx context.Context, each func(Lost) error) error {
	for after := int64(-1); ; {
		rows, err := g.tx.Query(ctx, `
			SELECT zoid FROM (
			    (SELECT zoid FROM relpack.dangling WHERE zoid > $1 ORDER BY zoid LIMIT $2)
			    UNION
			    (SELECT zoid FROM relpack.missing WHERE zoid > $1 ORDER BY zoid LIMIT $2)
			) AS lost
			ORDER BY zoid
			LIMIT $2`, after, lostChunk)
		if err != nil {
			return fmt.Errorf("look for references to what is not stored: %w", err)
		}
		zoids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return fmt.Errorf("look for references to what is not stored: %w", err)
		}
		if len(zoids) == 0 {
			return g.eachFreshLost(ctx, each)
		}
		after = zoids[len(zoids)-1]
		if err := g.lost(ctx, zoids, each); err != nil {
			return fmt.Errorf("look for references to what is not stored: %w", err)
		}
	}
}

// eachFreshLost hands on what nobody missed at the last pack.
func (g *Graph) eachFreshLost(ctx context.Context, each func(Lost) error) error {
	targets := slices.Clone(g.fresh.gone)
	for to := range g.fresh.by {
		targets = append(targets, to)
	}
	slices.Sort(targets)
	for chunk := range slices.Chunk(slices.Compact(targets), lostChunk) {
		rows, err := g.tx.Query(ctx, `
			SELECT target.zoid
			FROM unnest($1::bigint[]) AS target (zoid)
			WHERE NOT EXISTS (SELECT FROM relpack.dangling WHERE dangling.zoid = target.zoid OFFSET 0)
			  AND NOT EXISTS (SELECT FROM relpack.missing WHERE missing.zoid = target.zoid OFFSET 0)`, chunk)
		if err != nil {
			return err
		}
		zoids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return err
		}
		if err := g.lost(ctx, zoids, each); err != nil {
			return fmt.Errorf("look for references to what is not stored: %w", err)
		}
	}
	return nil
}

// lost hands on those of some objects that are not stored, and that live ones refer
// to.
func (g *Graph) lost(ctx context.Context, zoids []int64, each func(Lost) error) error {
	rows, err := g.tx.Query(ctx, `
		SELECT lost.zoid, coalesce(class.label, ''), missing.since, holder.count, holder.some
		FROM unnest($1::bigint[]) WITH ORDINALITY AS lost (zoid, place)
		LEFT JOIN relpack.missing ON missing.zoid = lost.zoid
		LEFT JOIN relpack.object ON object.zoid = lost.zoid
		LEFT JOIN relpack.class ON class.id = object.class
		CROSS JOIN LATERAL (
		    SELECT count(*) AS count,
		           coalesce(array_agg(live.inref) FILTER (WHERE live.place <= $2), '{}') AS some
		    FROM (
		        SELECT edge.inref, row_number() OVER () AS place
		        FROM (
		            SELECT object_inref.inref
		            FROM relpack.object_inref
		            WHERE object_inref.zoid = lost.zoid
		            ORDER BY object_inref.inref
		        ) AS edge
		        CROSS JOIN LATERAL (
		            SELECT FROM relpack.object WHERE object.zoid = edge.inref AND object.parent IS NOT NULL OFFSET 0
		        ) AS alive
		        WHERE NOT EXISTS (SELECT FROM relpack.missing AS other WHERE other.zoid = edge.inref)
		    ) AS live
		) AS holder
		WHERE NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = lost.zoid)
		ORDER BY lost.place`, zoids, someHolders)
	if err != nil {
		return err
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (l Lost, err error) {
		err = row.Scan(&l.Zoid, &l.Class, &l.Since, &l.Holders, &l.Some)
		return l, err
	})
	if err != nil {
		return err
	}
	for _, l := range found {
		if err := g.holdersNow(ctx, &l); err != nil {
			return err
		}
		if l.Holders == 0 {
			continue
		}
		if err := each(l); err != nil {
			return err
		}
	}
	return nil
}

// holdersNow has only those holders that are alive now, where few objects refer to
// the lost one.
func (g *Graph) holdersNow(ctx context.Context, l *Lost) error {
	if g.Fresh == 0 || l.Holders > someHolders {
		return nil
	}
	some := append(slices.DeleteFunc(l.Some, g.fresh.has), g.fresh.by[l.Zoid]...)
	l.Some = nil
	for _, zoid := range some {
		alive, err := g.IsAlive(ctx, zoid)
		if err != nil {
			return err
		}
		if alive {
			l.Some = append(l.Some, zoid)
		}
	}
	l.Holders = int64(len(l.Some))
	return nil
}

// IsAlive tells whether an object is stored and a way leads to it.
func (g *Graph) IsAlive(ctx context.Context, zoid int64) (bool, error) {
	objects, err := g.Objects(ctx, []int64{zoid})
	if err != nil {
		return false, err
	}
	verdicts, err := g.Judge(ctx, objects)
	if err != nil || verdicts[0] != Unknown {
		return err == nil && verdicts[0] == Alive, err
	}
	way, err := g.Way(ctx, zoid)
	return way.Zoids != nil, err
}

// A Problem is a state that can't be decoded, or none.
type Problem struct {
	Zoid   int64
	Class  string
	Kind   string // opaque, salvaged or empty, as in relpack.problem
	Reason string
	Offset int // the byte, -1 where none is at fault
}

// EachProblem hands on the live objects whose state can't be decoded, those first
// that keep relpack from deleting. It returns how many unreachable ones there are.
func (g *Graph) EachProblem(ctx context.Context, each func(Problem) error) (dead int64, err error) {
	for _, kind := range []string{"opaque", "salvaged", "empty"} {
		for after := int64(-1); ; {
			chunk, last, n, err := g.problems(ctx, kind, after)
			if err != nil {
				return dead, fmt.Errorf("read relpack.problem: %w", err)
			}
			dead += n
			for _, p := range chunk {
				if err := each(p); err != nil {
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
func (g *Graph) problems(ctx context.Context, kind string, after int64) (live []Problem, last, dead int64, err error) {
	rows, err := g.tx.Query(ctx, `
		SELECT problem.zoid, class.label, problem.detail, object.parent IS NOT NULL
		FROM relpack.problem
		JOIN relpack.object ON object.zoid = problem.zoid
		JOIN relpack.class ON class.id = object.class
		WHERE problem.kind = $1 AND problem.zoid > $2
		ORDER BY problem.zoid
		LIMIT $3`, kind, after, lostChunk)
	if err != nil {
		return nil, -1, 0, err
	}
	last = -1
	count := 0
	var alive bool
	p := Problem{Kind: kind}
	_, err = pgx.ForEachRow(rows, []any{&p.Zoid, &p.Class, &p.Reason, &alive}, func() error {
		count, last = count+1, p.Zoid
		switch p.Reason, p.Offset = cutOffset(p.Reason); {
		case g.fresh.has(p.Zoid):
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

// A Blob is a revision of one.
type Blob struct{ Zoid, Tid int64 }

// EachBlob hands on live blobs, some at a time.
func (g *Graph) EachBlob(ctx context.Context, each func([]Blob) error) error {
	for after := int64(-1); ; {
		var last *int64
		var zoids, tids []int64
		if err := g.tx.QueryRow(ctx, `
			WITH few AS MATERIALIZED (
			    SELECT object.zoid, object.class = 1 AND object.parent IS NOT NULL AS live
			    FROM relpack.object
			    WHERE object.zoid > $1
			    ORDER BY object.zoid
			    LIMIT $2
			)
			SELECT max(few.zoid), coalesce(array_agg(few.zoid) FILTER (WHERE stored.tid IS NOT NULL), '{}'),
			       coalesce(array_agg(stored.tid) FILTER (WHERE stored.tid IS NOT NULL), '{}')
			FROM few
			LEFT JOIN LATERAL (
			    SELECT stored.tid FROM relpack.stored() WHERE few.live AND stored.zoid = few.zoid OFFSET 0
			) AS stored ON true`, after, 50*lostChunk).Scan(&last, &zoids, &tids); err != nil {
			return fmt.Errorf("look for live blobs: %w", err)
		}
		if last == nil {
			return each(g.fresh.blobs)
		}
		var blobs []Blob
		for i, zoid := range zoids {
			if !g.fresh.has(zoid) {
				blobs = append(blobs, Blob{zoid, tids[i]})
			}
		}
		if err := each(blobs); err != nil {
			return err
		}
		g.progress.Add(50 * lostChunk)
		after = *last
	}
}

// BlobsWithoutLargeObject are live blobs with rows in blob_chunk whose large
// object is gone; seen is false where the role may not look.
func (g *Graph) BlobsWithoutLargeObject(ctx context.Context, most int) (count int64, first []int64, seen bool, err error) {
	if err := g.tx.QueryRow(ctx, "SELECT to_regclass('public.blob_chunk') IS NULL OR has_table_privilege(to_regclass('public.blob_chunk'), 'SELECT')").
		Scan(&seen); err != nil || !seen {
		return 0, nil, seen, err
	}
	err = g.tx.QueryRow(ctx, `SELECT count(*), coalesce((array_agg(zoid ORDER BY zoid))[:$1], '{}')
		FROM relpack.broken_blobs() AS broken (zoid)`, most).Scan(&count, &first)
	if err != nil {
		err = fmt.Errorf("look for the large objects of blobs: %w", err)
	}
	return count, first, seen, err
}

// A Foreign counts references of live objects to another database.
type Foreign struct {
	Database   string
	References int64
	First      int64 // an object that has one
}

// Foreigns counts references to other databases, as of the last pack.
func (g *Graph) Foreigns(ctx context.Context) ([]Foreign, error) {
	rows, err := g.tx.Query(ctx, `
		SELECT database, count(*), min(inref)
		FROM relpack.foreign_reference
		JOIN relpack.object ON object.zoid = foreign_reference.inref
		WHERE foreign_reference.zoid >= 0 AND object.parent IS NOT NULL
		GROUP BY database
		ORDER BY database`)
	if err != nil {
		return nil, fmt.Errorf("count references to other databases: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Foreign])
}

// StoredNow tells which of some blobs are stored at this very moment as they were:
// the transaction of the graph is over then.
func (g *Graph) StoredNow(ctx context.Context, blobs []Blob) ([]Blob, error) {
	if err := g.tx.Rollback(ctx); err != nil {
		return nil, err
	}
	zoids, tids := make([]int64, len(blobs)), make([]int64, len(blobs))
	for i, b := range blobs {
		zoids[i], tids[i] = b.Zoid, b.Tid
	}
	rows, err := g.conn.Query(ctx, `
		SELECT blob.zoid, blob.tid
		FROM unnest($1::bigint[], $2::bigint[]) AS blob (zoid, tid)
		WHERE EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = blob.zoid AND stored.tid = blob.tid OFFSET 0)`, zoids, tids)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Blob])
}
