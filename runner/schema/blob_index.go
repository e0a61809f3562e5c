package schema

import (
	"context"
	"fmt"
	"time"

	"relpack/runner/fault"
)

// BlobIndex is the index on blob_chunk (chunk) that relpack creates where blobs
// are in the database and nobody else has made one: RelStorage's trigger looks
// for the large object of each row that is deleted. Goose is not told of it: it
// is created beside the site, which no transaction can do.
const BlobIndex = "relpack_blob_chunk_chunk"

// CreateBlobIndex and its like are statements.
const (
	CreateBlobIndex = "CREATE INDEX CONCURRENTLY " + BlobIndex + " ON public.blob_chunk (chunk)"
	dropBlobIndex   = "DROP INDEX CONCURRENTLY IF EXISTS public." + BlobIndex
	nameBlobIndex   = "COMMENT ON INDEX public." + BlobIndex + ` IS
		'relpack: RelStorage''s trigger looks here for each blob that is deleted or overwritten. Dropped by "relpack migrate down".'`
)

// WorthIndexing is how many pages blob_chunk has, at least, where a pack or a
// status tells that the index is missing.
const WorthIndexing = 8

// ensureBlobIndex creates the index where it is of use and missing.
func (m *migrator) ensureBlobIndex(ctx context.Context) error {
	if m.target.NoBlobIndex {
		return nil
	}
	var missing, readable, used bool
	err := m.conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM relpack.missing_blob_index),
		coalesce(has_table_privilege(to_regclass('public.blob_chunk'), 'SELECT'), false)`).Scan(&missing, &readable)
	if err == nil && missing && readable {
		err = m.conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM public.blob_chunk)").Scan(&used)
	}
	if err != nil {
		return fmt.Errorf("look at blob_chunk: %w", err)
	}
	if !missing || (!used && !m.target.BlobsInDatabase) {
		return nil
	}
	m.log.Info("creating an index on blob_chunk (chunk), without which deleting blobs is slow; the site goes on")
	// One that is invalid is what an interruption has left.
	return m.beside(ctx, "create an index on blob_chunk (chunk)", dropBlobIndex, CreateBlobIndex, nameBlobIndex)
}

// dropBlobIndex removes it, valid or not.
func (m *migrator) dropBlobIndex(ctx context.Context) error {
	var exists bool
	if err := m.conn.QueryRow(ctx, "SELECT to_regclass('public."+BlobIndex+"') IS NOT NULL").Scan(&exists); err != nil || !exists {
		return err
	}
	return m.beside(ctx, "drop relpack's index on blob_chunk (chunk)", dropBlobIndex)
}

// beside executes statements that wait for open transactions and keep nobody
// waiting in the meantime.
func (m *migrator) beside(ctx context.Context, what string, statements ...string) error {
	if _, err := m.db.ExecContext(ctx, fmt.Sprintf("SET lock_timeout = %d", m.target.CommitLockTimeout.Milliseconds())); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	start := time.Now()
	for _, statement := range statements {
		_, err := m.db.ExecContext(ctx, statement)
		switch {
		case err == nil:
		case fault.IsState(err, "55P03"): // lock_not_available
			return &fault.Error{Code: fault.ExitFailure,
				Err:  fmt.Errorf("%s: a transaction was open for all of %s", what, time.Since(start).Round(time.Second/10)),
				Hint: `Run "relpack migrate" again when it has ended`}
		case fault.IsState(err, "42501"): // insufficient_privilege
			hint := "Let the owner of blob_chunk run: " + statement
			if statement == CreateBlobIndex {
				hint += "; or use --no-blob-index"
			}
			return &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("%s: %w", what, err), Hint: hint}
		default:
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	_, err := m.db.ExecContext(ctx, "SET lock_timeout = "+migrationPatience)
	return err
}
