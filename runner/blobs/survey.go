package blobs

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"relpack/runner/graph"
	"relpack/runner/inventory"
	"relpack/runner/session"
)

// A Remover removes the files of deleted blobs.
type Remover struct {
	*graph.Packer
	Dir  *Dir    // nil: the directory is not known
	Run  int64   // relpack.run.id
	Days float64 // a file that was missed and came back stays for so long

	count         Count
	deleted       int64 // objects
	back          int64 // files that came back, and stay
	unstamped     bool  // it is not noted of all that are listed since when their removal is committed
	inDatabase    bool
	nothingListed bool // in relpack.blob_removal, before the deletion
	unplaced      bool // there are files to remove, and no directory
}

// Survey finds out where blobs are, if any are to go: whether in the database, and
// if not, whether the directory is the storage's. It returns the statement that
// creates the index which a deletion of blobs from the database lacks.
func (r *Remover) Survey(ctx context.Context, chosen int64) (missingIndex string, err error) {
	r.inDatabase = r.Target.BlobsInDatabase
	if chosen > 0 && (r.inDatabase || r.Dir == nil) {
		if missingIndex, err = inventory.MissingIndex(ctx, r.Conn); err != nil {
			return "", err
		}
	}
	if r.inDatabase {
		return missingIndex, nil
	}
	if chosen == 0 {
		var listed bool
		if err := r.Conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM relpack.blob_removal)").Scan(&listed); err != nil {
			return "", fmt.Errorf("read relpack.blob_removal: %w", err)
		}
		if r.nothingListed = !listed; r.nothingListed {
			return "", nil
		}
	}
	if r.Dir == nil {
		err = r.Retry(ctx, "look for blobs in the database", func() error {
			return r.Conn.QueryRow(ctx, "SELECT relpack.blobs_in_database()").Scan(&r.inDatabase)
		})
		r.unplaced = err == nil && !r.inDatabase
		return missingIndex, err
	}
	var live []Blob
	if err := r.Retry(ctx, "look for live blobs", func() (err error) {
		live, err = session.Rows(ctx, r.Conn, pgx.RowToStructByPos[Blob], "SELECT zoid, tid, 0::bigint FROM relpack.live_blobs()")
		return err
	}); err != nil {
		return "", err
	}
	deleted := "Nothing was deleted"
	if r.History {
		deleted = "No file was removed"
	}
	if err := r.Dir.prove(live, deleted); err != nil {
		return "", err
	}
	if layout := r.Dir.other; layout != "" {
		r.Log.Warn(fmt.Sprintf("%s: its .layout is missing or says %s, but blobs lie there as in %s", r.Dir.Path, r.Dir.Layout(), layout))
	}
	return "", nil
}
