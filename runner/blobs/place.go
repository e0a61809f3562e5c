package blobs

import (
	"context"
	"fmt"

	"relpack/runner/session"
	"relpack/runner/target"
)

// A Place is where live blobs are, as far as the graph knows them.
type Place struct {
	Here      bool // blob_chunk has rows
	Elsewhere bool // it has none of some live blob, or this role may not see it
}

// Where asks where live blobs are.
func Where(ctx context.Context, db session.Querier) (p Place, err error) {
	// OFFSET 0: rows are looked up, and the first that is found will do.
	const live = `object.class = 1 AND object.parent IS NOT NULL
			  AND EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = object.zoid OFFSET 0)`
	query := "SELECT false, EXISTS (SELECT FROM relpack.object WHERE " + live + ")"
	var seen bool
	if err = db.QueryRow(ctx, "SELECT coalesce(has_table_privilege(to_regclass('public.blob_chunk'), 'SELECT'), false)").Scan(&seen); err == nil && seen {
		query = `SELECT EXISTS (SELECT FROM public.blob_chunk), EXISTS (
			SELECT FROM relpack.object
			WHERE NOT EXISTS (SELECT FROM public.blob_chunk WHERE blob_chunk.zoid = object.zoid OFFSET 0) AND ` + live + ")"
	}
	if err == nil {
		err = db.QueryRow(ctx, query).Scan(&p.Here, &p.Elsewhere)
	}
	if err != nil {
		err = fmt.Errorf("look where blobs are: %w", err)
	}
	return p, err
}

// NameDir says how to name a blob directory that is not known.
func NameDir(t target.Target) string {
	if t.File == nil {
		return "Name it with --blob-dir"
	}
	return `To name it, add "shared-blob-dir true" and "blob-dir" to its section of the file`
}
