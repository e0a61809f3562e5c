package blobs

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"relpack/runner/session"
	"relpack/runner/target"
)

// A Place is where live blobs are, as far as the graph knows them.
type Place struct {
	Here      bool // blob_chunk has rows
	Elsewhere bool // it has none of some live blobs, which may be in files, or this role may not see it
	// Lacking are live blobs that have no row there though they must have some.
	Lacking int64
	First   []int64 // of these at most 10
}

// firstLacking is how many are named.
const firstLacking = 10

// Where asks where live blobs are. all: the configuration says that they are in the database.
func Where(ctx context.Context, db session.Querier, all bool) (p Place, err error) {
	// OFFSET 0: rows are looked up, and the first that is found will do.
	const live = `object.class = 1 AND object.parent IS NOT NULL
			  AND EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = object.zoid OFFSET 0)`
	query := "SELECT false, EXISTS (SELECT FROM relpack.object WHERE " + live + ")"
	seen, err := SeesChunks(ctx, db)
	if err == nil && seen {
		query = `SELECT EXISTS (SELECT FROM public.blob_chunk), EXISTS (
			SELECT FROM relpack.object
			WHERE NOT EXISTS (SELECT FROM public.blob_chunk WHERE blob_chunk.zoid = object.zoid OFFSET 0) AND ` + live + ")"
	}
	if err == nil {
		err = db.QueryRow(ctx, query).Scan(&p.Here, &p.Elsewhere)
	}
	if err != nil {
		return p, fmt.Errorf("look where blobs are: %w", err)
	}
	if !seen || !p.Elsewhere || !p.Here && !all {
		return p, nil
	}
	lacking, zoids, known, err := Lacking(ctx, db, all, firstLacking)
	if known {
		p.Elsewhere, p.Lacking, p.First = false, lacking, zoids
	}
	return p, err
}

// SeesChunks tells whether there is a blob_chunk that this role may read.
func SeesChunks(ctx context.Context, db session.Querier) (seen bool, err error) {
	err = db.QueryRow(ctx, "SELECT coalesce(has_table_privilege(to_regclass('public.blob_chunk'), 'SELECT'), false)").Scan(&seen)
	return seen, err
}

// Lacking counts live blobs without any row in blob_chunk, as the graph knows them, and names
// some. known is false where one in ten has none, unless all must have some: they may be
// elsewhere. What has no state is broken otherwise.
func Lacking(ctx context.Context, db session.Querier, all bool, most int) (n int64, zoids []int64, known bool, err error) {
	const live = `
		FROM relpack.object
		CROSS JOIN LATERAL (
		    SELECT NOT EXISTS (SELECT FROM public.blob_chunk WHERE blob_chunk.zoid = object.zoid OFFSET 0)
		           AND coalesce((
		               SELECT octet_length(stored.state) > 0
		               FROM relpack.stored()
		               WHERE stored.zoid = object.zoid
		               ORDER BY stored.tid DESC
		               LIMIT 1), false) AS lacks
		    OFFSET 0
		) AS blob
		WHERE object.class = 1 AND object.parent IS NOT NULL`
	seen, err := SeesChunks(ctx, db)
	if err == nil && !seen {
		return 0, nil, all, nil
	}
	var of int64
	if err == nil {
		err = db.QueryRow(ctx, "SELECT count(*), count(*) FILTER (WHERE blob.lacks)"+live).Scan(&of, &n)
	}
	if err != nil {
		return 0, nil, false, fmt.Errorf("look for blobs without large objects: %w", err)
	}
	if n == 0 || !all && 10*n > of {
		return n, nil, n == 0, nil
	}
	if zoids, err = session.Rows(ctx, db, pgx.RowTo[int64], "SELECT object.zoid"+live+" AND blob.lacks ORDER BY object.zoid LIMIT $1", most); err != nil {
		return 0, nil, false, fmt.Errorf("look for blobs without large objects: %w", err)
	}
	return n, zoids, true, nil
}

// NameDir says how to name a blob directory that is not known.
func NameDir(t target.Target) string {
	if t.File == nil {
		return "Name it with --blob-dir"
	}
	return `To name it, add "shared-blob-dir true" and "blob-dir" to its section of the file`
}
