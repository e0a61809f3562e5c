package blobs

import (
	"context"
	"errors"

	"relpack/runner/blobdir"
	"relpack/runner/session"

	"github.com/jackc/pgx/v5"
)

// Sizes hands on how long these revisions of blobs are, as far as that is known: those whose
// file is there, or whose large objects this role may read.
func (r *Remover) Sizes(ctx context.Context, zoids, tids []int64, each func(zoid, bytes int64)) error {
	if r.inDatabase || r.Dir == nil { // where they are is found out when some are to go
		type size struct {
			Zoid  int64
			Bytes *int64
		}
		sizes, err := session.Rows(ctx, r.Conn, pgx.RowToStructByPos[size],
			"SELECT zoid, bytes FROM relpack.blobs_going($1, $2, NULL) WHERE large > 0", zoids, tids)
		for _, s := range sizes {
			if s.Bytes != nil {
				each(s.Zoid, *s.Bytes)
			}
		}
		return err
	}
	for i, zoid := range zoids {
		bytes, found, err := r.Dir.Size(zoid, tids[i])
		if err != nil && !errors.Is(err, blobdir.ErrLink) {
			return err
		}
		if found {
			each(zoid, bytes)
		}
	}
	return nil
}

// Unplaced tells whether files of blobs go with what is deleted, or were to go before, and
// no directory is known.
func (r *Remover) Unplaced() bool { return r.unplaced }

// InDatabase tells whether blobs are in the database, after Survey.
func (r *Remover) InDatabase() bool { return r.inDatabase }
