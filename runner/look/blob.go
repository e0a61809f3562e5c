package look

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

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

// LargeObjects are what blob_chunk says of live blobs.
type LargeObjects struct {
	Any     bool    // blob_chunk has rows
	Seen    bool    // else the role may not look
	Missing int64   // live blobs with rows whose large object is gone
	First   []int64 // of them
}

// LargeObjects looks for the large objects of live blobs.
func (g *Graph) LargeObjects(ctx context.Context, most int) (l LargeObjects, err error) {
	var table bool
	if err := g.tx.QueryRow(ctx, `
		SELECT to_regclass('public.blob_chunk') IS NOT NULL,
		       coalesce(has_table_privilege(to_regclass('public.blob_chunk'), 'SELECT'), true)`).Scan(&table, &l.Seen); err != nil || !l.Seen || !table {
		return l, err
	}
	if err = g.tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM public.blob_chunk), count(*), coalesce((array_agg(zoid ORDER BY zoid))[:$1], '{}')
		FROM relpack.broken_blobs() AS broken (zoid)`, most).Scan(&l.Any, &l.Missing, &l.First); err != nil {
		err = fmt.Errorf("look for the large objects of blobs: %w", err)
	}
	return l, err
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
