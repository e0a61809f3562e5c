package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/blobdir"
)

// blobFiles is the storage's shared blob directory.
type blobFiles struct{ *blobdir.Dir }

// Blob files go in small groups, while no writer is in flight.
const (
	blobGroup    = 50
	blobDeadline = time.Second // the server lets go of the lock after two
)

// openBlobDir opens the blob directory, so that a wrong one is found out
// before anything is deleted. Nil without one.
func (p *pack) openBlobDir() (*blobFiles, error) {
	if p.target.BlobDir == "" {
		return nil, nil
	}
	dir, err := blobdir.Open(p.target.BlobDir)
	if err != nil {
		return nil, &Error{Code: ExitFailure, Err: fmt.Errorf("blob directory: %w", err), Hint: "Nothing was changed"}
	}
	return &blobFiles{dir}, nil
}

type removal struct {
	Zoid, Tid, Newest int64
}

// removeBlobs works off the outbox relpack.blob_removal.
func (p *pack) removeBlobs(ctx context.Context, dir *blobFiles) error {
	if p.target.BlobsInDatabase {
		// Rows and large objects went with the objects; there are no files.
		if _, err := p.conn.Exec(ctx, "DELETE FROM relpack.blob_removal"); err != nil {
			return fmt.Errorf("empty relpack.blob_removal: %w", err)
		}
		return nil
	}
	var waiting int64
	if err := p.conn.QueryRow(ctx, "SELECT count(*) FROM relpack.blob_removal").Scan(&waiting); err != nil {
		return fmt.Errorf("read relpack.blob_removal: %w", err)
	}
	p.report.BlobFiles.Waiting = waiting
	if waiting == 0 || dir == nil {
		return nil
	}
	p.progress.Phase("remove blob files", "blobs", waiting)
	defer p.progress.End()
	// Deletions that were committed without waiting for the disk must be on it
	// before a file goes: this commit takes them along.
	if err := p.flush(ctx); err != nil {
		return fmt.Errorf("remove blob files: %w", err)
	}
	for {
		if p.stopped() {
			return errInterrupted
		}
		var listed, gone int
		err := p.persist(ctx, "remove blob files", func() (bool, error) {
			var err error
			listed, gone, err = p.removeGroup(ctx, dir)
			return err == nil, err
		})
		if err != nil {
			return err
		}
		if listed == 0 {
			break
		}
		p.progress.Add(int64(gone))
	}
	return p.conn.QueryRow(ctx, "SELECT count(*) FROM relpack.blob_removal").Scan(&p.report.BlobFiles.Waiting)
}

// flush commits something durably.
func (p *pack) flush(ctx context.Context) error {
	return pgx.BeginFunc(ctx, p.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "UPDATE relpack.run SET deleted = $2 WHERE id = $1", p.run, p.report.Deleted.Objects)
		return err
	})
}

var errDeadline = errors.New("no time left for this group")

// removeGroup removes the files of some blobs in one transaction, which holds
// the writers' lock; it returns how many the group had and how many are done.
func (p *pack) removeGroup(ctx context.Context, dir *blobFiles) (listed, gone int, err error) {
	err = pgx.BeginFunc(ctx, p.conn, func(tx pgx.Tx) error {
		deadline := time.Now().Add(blobDeadline)
		rows, err := tx.Query(ctx, "SELECT zoid, tid, newest_zoid FROM relpack.blob_removals($1)", blobGroup)
		if err != nil {
			return err
		}
		group, err := pgx.CollectRows(rows, pgx.RowToStructByPos[removal])
		if err != nil {
			return err
		}
		var zoids, tids []int64
		for _, r := range group {
			removed, err := dir.Remove(blobdir.Removal{Zoid: r.Zoid, Tid: r.Tid, Newest: r.Newest, Before: func() error {
				if time.Now().After(deadline) {
					return errDeadline
				}
				return nil
			}})
			p.report.BlobFiles.Files += int64(removed.Files)
			p.report.BlobFiles.Bytes += removed.Bytes
			if errors.Is(err, errDeadline) {
				break
			}
			if err != nil {
				return &Error{Code: ExitFailure, Err: fmt.Errorf("blob directory: %w", err),
					Hint: "The objects are deleted, their files stay listed in relpack.blob_removal for the next run"}
			}
			zoids, tids = append(zoids, r.Zoid), append(tids, r.Tid)
		}
		listed, gone = len(group), len(zoids)
		_, err = tx.Exec(ctx, `DELETE FROM relpack.blob_removal
			USING unnest($1::bigint[], $2::bigint[]) AS gone (zoid, tid)
			WHERE blob_removal.zoid = gone.zoid AND blob_removal.tid = gone.tid`, zoids, tids)
		return err
	})
	return listed, gone, err
}
