package look

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"relpack/runner/blobs"
	"relpack/runner/record"
)

// A Blob is a revision of one.
type Blob struct{ Zoid, Tid int64 }

// blobNodes is how many nodes of the graph are looked through for blobs in one
// transaction.
const blobNodes = 50_000

// EachBlob hands on the live blobs of the graph, some at a time, with the tids that are
// stored: the newest of each, or all, the newest first. Call it in [Graph.Pause]: to look
// for a million files takes a while.
func (g *Graph) EachBlob(ctx context.Context, all bool, each func([]Blob) error) error {
	most := new(1)
	if all {
		most = nil
	}
	for after := int64(-1); ; {
		blobs, last, err := g.nextBlobs(ctx, after, most)
		if err != nil {
			return fmt.Errorf("look for live blobs: %w", err)
		}
		if last == nil {
			return nil
		}
		if err := each(blobs); err != nil {
			return err
		}
		g.progress.Add(blobNodes)
		after = *last
	}
}

// nextBlobs reads those among the next nodes, of each so many revisions at most; last is the
// highest of these nodes. What has no state is broken otherwise: nobody asks for its file.
func (g *Graph) nextBlobs(ctx context.Context, after int64, most *int) (blobs []Blob, last *int64, err error) {
	err = pgx.BeginTxFunc(ctx, g.conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '5s'; "+record.LockStorage); err != nil {
			return err
		}
		var zoids, tids []int64
		err := tx.QueryRow(ctx, `
			WITH few AS MATERIALIZED (
			    SELECT object.zoid, object.class = 1 AND object.parent IS NOT NULL AS live
			    FROM relpack.object
			    WHERE object.zoid > $1
			    ORDER BY object.zoid
			    LIMIT $2
			)
			SELECT max(few.zoid), coalesce(array_agg(few.zoid ORDER BY few.zoid, stored.tid DESC) FILTER (WHERE stored.bytes > 0), '{}'),
			       coalesce(array_agg(stored.tid ORDER BY few.zoid, stored.tid DESC) FILTER (WHERE stored.bytes > 0), '{}')
			FROM few
			LEFT JOIN LATERAL (
			    SELECT stored.tid, octet_length(stored.state) AS bytes
			    FROM relpack.stored()
			    WHERE few.live AND stored.zoid = few.zoid AND `+g.loadable("few.zoid")+`
			    ORDER BY stored.tid DESC
			    LIMIT $3
			) AS stored ON true`, after, blobNodes, most).Scan(&last, &zoids, &tids)
		for i, zoid := range zoids {
			blobs = append(blobs, Blob{zoid, tids[i]})
		}
		return err
	})
	return blobs, last, err
}

// loadable is the condition that an object's newest revision has a state, or the one that
// it was set back to.
func (g *Graph) loadable(zoid string) string {
	condition := "(SELECT octet_length(newest.state) > 0 FROM relpack.stored() AS newest WHERE newest.zoid = " + zoid + " ORDER BY newest.tid DESC LIMIT 1)"
	if !g.KeepsHistory() {
		return condition
	}
	return "(" + condition + ` OR EXISTS (
		SELECT
		FROM public.current_object AS named
		CROSS JOIN LATERAL (
		    SELECT
		    FROM relpack.stored()
		    WHERE stored.zoid = named.zoid AND stored.tid BETWEEN named.tid AND named.tid AND octet_length(stored.state) > 0
		    OFFSET 0
		) AS loaded
		WHERE named.zoid = ` + zoid + "))"
}

// NewBlobs are live ones that the graph does not have for live blobs: they were stored, or
// attached again, since the last pack. Of each all revisions are told, the newest first.
func (g *Graph) NewBlobs(ctx context.Context) ([]Blob, error) {
	var live []int64
	written := make([]int64, len(g.fresh.blobs))
	for i, b := range g.fresh.blobs {
		written[i] = b.Zoid
	}
	for chunk := range slices.Chunk(written, lostChunk) {
		objects, err := g.Objects(ctx, chunk)
		if err != nil {
			return nil, err
		}
		alive, err := g.areAlive(ctx, objects)
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			if (o.dead || !o.blob) && alive[o.Zoid] {
				live = append(live, o.Zoid)
			}
		}
	}
	attached, err := g.attached(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := g.tx.Query(ctx, `
		SELECT object.zoid
		FROM unnest($1::bigint[]) AS attached (zoid)
		CROSS JOIN LATERAL (SELECT zoid FROM relpack.object WHERE object.zoid = attached.zoid AND object.class = 1 OFFSET 0) AS object
		WHERE object.zoid <> ALL ($2::bigint[])`, attached, written)
	if err != nil {
		return nil, fmt.Errorf("look for blobs that were attached again: %w", err)
	}
	again, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("look for blobs that were attached again: %w", err)
	}
	return g.Revisions(ctx, append(live, again...))
}

// Revisions are those of some blobs that are stored and have a state, by zoid, the newest
// of each first. What was deleted has none: nobody asks for its files.
func (g *Graph) Revisions(ctx context.Context, zoids []int64) ([]Blob, error) {
	rows, err := g.tx.Query(ctx, `
		SELECT blob.zoid, stored.tid
		FROM unnest($1::bigint[]) AS blob (zoid)
		CROSS JOIN LATERAL (
		    SELECT stored.tid, octet_length(stored.state) AS bytes
		    FROM relpack.stored()
		    WHERE stored.zoid = blob.zoid AND `+g.loadable("blob.zoid")+`
		    OFFSET 0
		) AS stored
		WHERE stored.bytes > 0
		ORDER BY blob.zoid, stored.tid DESC`, zoids)
	if err != nil {
		return nil, fmt.Errorf("look for the revisions of blobs: %w", err)
	}
	revisions, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Blob])
	if err != nil {
		return nil, fmt.Errorf("look for the revisions of blobs: %w", err)
	}
	return revisions, nil
}

// BlobPlace tells where live blobs are.
func (g *Graph) BlobPlace(ctx context.Context) (blobs.Place, error) {
	return blobs.Where(ctx, g.tx, false)
}

// LargeObjects are what blob_chunk says of live blobs.
type LargeObjects struct {
	Any     bool    // blob_chunk has rows
	Seen    bool    // else the role may not look
	Missing int64   // live blobs with rows whose large object is gone
	First   []int64 // of them
}

// Lacking is [blobs.Lacking], of what is alive now.
func (g *Graph) Lacking(ctx context.Context, all bool, most int) (n int64, first []int64, known bool, err error) {
	n, zoids, known, err := blobs.Lacking(ctx, g.tx, all, g.limits.Looked)
	if err != nil || len(zoids) == 0 {
		return n, nil, known, err
	}
	alive, first, err := g.countAlive(ctx, zoids, most)
	return n - int64(len(zoids)) + alive, first, true, err
}

// countAlive counts those that are alive now, and names some.
func (g *Graph) countAlive(ctx context.Context, zoids []int64, most int) (n int64, first []int64, err error) {
	for chunk := range slices.Chunk(zoids, lostChunk) {
		alive, err := g.stillAlive(ctx, chunk)
		if err != nil {
			return 0, nil, err
		}
		for _, zoid := range chunk {
			if !alive[zoid] {
				continue
			}
			if n++; len(first) < most {
				first = append(first, zoid)
			}
		}
	}
	return n, first, nil
}

// Chunks tells whether a blob has rows in blob_chunk, nil where this role may not look, and
// whether a large object that they name is gone.
func (g *Graph) Chunks(ctx context.Context, zoid int64) (rows *bool, gone bool, err error) {
	seen, err := blobs.SeesChunks(ctx, g.tx)
	if err == nil && seen {
		err = g.tx.QueryRow(ctx, `
			SELECT count(*) > 0, coalesce(bool_or(NOT EXISTS (SELECT FROM pg_largeobject_metadata WHERE oid = blob_chunk.chunk)), false)
			FROM public.blob_chunk
			WHERE blob_chunk.zoid = $1`, zoid).Scan(&rows, &gone)
	}
	if err != nil {
		err = fmt.Errorf("look for the large objects of a blob: %w", err)
	}
	return rows, gone, err
}

// LargeObjects looks for the large objects of live blobs.
func (g *Graph) LargeObjects(ctx context.Context, most int) (l LargeObjects, err error) {
	var table bool
	if err := g.tx.QueryRow(ctx, `
		SELECT to_regclass('public.blob_chunk') IS NOT NULL,
		       coalesce(has_table_privilege(to_regclass('public.blob_chunk'), 'SELECT'), true)`).Scan(&table, &l.Seen); err != nil || !l.Seen || !table {
		return l, err
	}
	attached, err := g.NewBlobs(ctx)
	if err != nil {
		return l, err
	}
	zoids := make([]int64, len(attached))
	for i, b := range attached {
		zoids[i] = b.Zoid
	}
	var broken []int64
	if err = g.tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM public.blob_chunk), coalesce(array_agg(zoid ORDER BY zoid), '{}')
		FROM relpack.broken_blobs($1) AS broken (zoid)`, zoids).Scan(&l.Any, &broken); err != nil {
		return l, fmt.Errorf("look for the large objects of blobs: %w", err)
	}
	l.Missing, l.First, err = g.countAlive(ctx, broken, most)
	return l, err
}
