package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/blobdir"
	"relpack/runner/fault"
	"relpack/runner/session"
)

// Blob files go in small groups, while no writer is in flight: so long does a
// group hold up a commit at most, but for the one file that it is at.
const (
	blobGroup    = 50
	blobDeadline = 50 * time.Millisecond
)

// blobList is how many blobs one durable commit serves.
const blobList = 5000

// A directory in which so many blobs can't be removed is left alone, and so many
// are named.
const (
	maxBlobFailures = 100
	namedBlobs      = 10
)

type removal struct {
	Zoid, Tid, Newest int64
}

// removeBlobs works off the outbox relpack.blob_removal.
func (p *pack) removeBlobs(ctx context.Context, dir *blobFiles) error {
	if p.nothingListed && p.report.Blobs == 0 {
		return nil
	}
	if p.blobsInDatabase {
		if _, err := p.conn.Exec(ctx, "SELECT relpack.discard_blob_removals()"); err != nil {
			return fmt.Errorf("empty relpack.blob_removal: %w", err)
		}
		return nil
	}
	if err := p.countBlobRemovals(ctx); err != nil || dir == nil {
		return err
	}
	p.progress.Phase("remove blob files", "blobs", p.report.BlobFiles.Waiting)
	defer p.progress.End()
	err := p.removeListed(ctx, dir)
	if counted := p.countBlobRemovals(ctx); err == nil {
		err = counted
	}
	if err == nil && dir.failed != nil {
		err = &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("blob directory: %w", dir.failed),
			Hint: "The objects are deleted, their files stay listed in relpack.blob_removal for the next run"}
	}
	if p.report.BlobFiles.Waiting > 0 && p.report.BlobFiles.Why == "" {
		p.report.BlobFiles.Why = dir.unproved()
	}
	return err
}

func (p *pack) countBlobRemovals(ctx context.Context) error {
	// Not those that live objects refer to: they wait for their rows to come back.
	err := p.conn.QueryRow(ctx, `SELECT count(*) FROM relpack.blob_removal AS removal
		WHERE NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = removal.zoid AND object.parent IS NOT NULL)`).Scan(&p.report.BlobFiles.Waiting)
	if err != nil {
		return fmt.Errorf("read relpack.blob_removal: %w", err)
	}
	return nil
}

// removeListed goes through the list once, whatever stays on it.
func (p *pack) removeListed(ctx context.Context, dir *blobFiles) error {
	last := removal{Zoid: -1}
	for {
		var list []removal
		if err := p.persist(ctx, "read relpack.blob_removal", func() (bool, error) {
			var err error
			list, err = session.Rows(ctx, p.conn, pgx.RowToStructByPos[removal],
				"SELECT zoid, tid, 0::bigint FROM relpack.listed_blobs($1, $2, $3)", last.Zoid, last.Tid, blobList)
			return err == nil, err
		}); err != nil {
			return err
		}
		if len(list) == 0 {
			return nil
		}
		last = list[len(list)-1]
		if why, err := p.makeDurable(ctx); err != nil || why != "" {
			p.report.BlobFiles.Why = why
			return err
		}
		var missing []removal
		for len(list) > 0 {
			if p.stopped() {
				return fault.Interrupted
			}
			if dir.failures > maxBlobFailures {
				return nil
			}
			var done group
			if err := p.persist(ctx, "remove blob files", func() (bool, error) {
				var err error
				done, err = p.removeGroup(ctx, dir, list[:min(blobGroup, len(list))])
				return err == nil, err
			}); err != nil {
				return err
			}
			list = append(done.rest, list[min(blobGroup, len(list)):]...)
			missing = append(missing, done.missing...)
			p.progress.Add(int64(done.removed))
		}
		if err := p.strikeMissing(ctx, dir, missing); err != nil {
			return err
		}
	}
}

// A group is what became of some blobs.
type group struct {
	removed int
	missing []removal // not found
	rest    []removal // not looked at
}

var errDeadline = errors.New("no time left for this group")

// removeGroup removes the files of some blobs in one transaction, which holds
// the writers' lock.
func (p *pack) removeGroup(ctx context.Context, dir *blobFiles, listed []removal) (group, error) {
	var done group
	err := pgx.BeginFunc(ctx, p.conn, func(tx pgx.Tx) error {
		done = group{}
		zoids, tids := keys(listed)
		rows, err := tx.Query(ctx, "SELECT zoid, tid, newest_zoid FROM relpack.blobs_next($1, $2)", zoids, tids)
		if err != nil {
			return err
		}
		removals, err := pgx.CollectRows(rows, pgx.RowToStructByPos[removal])
		if err != nil {
			return err
		}
		var gone []removal
		deadline, files := time.Now().Add(blobDeadline), 0
		for i, r := range removals {
			removed, err := dir.Remove(blobdir.Removal{Zoid: r.Zoid, Tid: r.Tid, Newest: r.Newest, Before: func() error {
				// One file at least, or a slow disk would let nothing go.
				if files++; files > 1 && time.Now().After(deadline) {
					return errDeadline
				}
				return nil
			}})
			p.report.BlobFiles.Files += int64(removed.Files)
			p.report.BlobFiles.Bytes += removed.Bytes
			if errors.Is(err, errDeadline) {
				done.rest = removals[i:]
				break
			}
			switch {
			case err != nil:
				p.couldNot(dir, r, err)
			case removed.Found:
				gone = append(gone, r)
				p.leftOthers(removed.Others)
			default:
				done.missing = append(done.missing, r)
			}
		}
		done.removed = len(gone)
		zoids, tids = keys(gone)
		_, err = tx.Exec(ctx, "SELECT relpack.blobs_removed($1, $2)", zoids, tids)
		return err
	})
	return done, err
}

// leftOthers notes files of other revisions of a removed blob.
func (p *pack) leftOthers(paths []string) {
	files := &p.report.BlobFiles
	for _, path := range paths {
		p.log.Debug("stays: " + path)
		if len(files.OtherFiles) < namedBlobs {
			files.OtherFiles = append(files.OtherFiles, path)
		}
	}
	files.Others += int64(len(paths))
}

// couldNot notes a blob whose files stay. What lies behind a link was put there
// by somebody who knows; the run has not failed for it.
func (p *pack) couldNot(dir *blobFiles, r removal, err error) {
	dir.failures++
	if dir.failures <= namedBlobs {
		p.report.BlobFiles.Skipped = append(p.report.BlobFiles.Skipped, fmt.Sprintf("blob %d: %v", r.Zoid, err))
	}
	if dir.failed == nil && !errors.Is(err, blobdir.ErrLink) {
		dir.failed = err
	}
}

// strikeMissing strikes off the list what is not in the directory, if that is
// proved to be the storage's.
func (p *pack) strikeMissing(ctx context.Context, dir *blobFiles, missing []removal) error {
	if len(missing) == 0 || !dir.believed() {
		return nil
	}
	return p.persist(ctx, "strike blobs off relpack.blob_removal", func() (bool, error) {
		zoids, tids := keys(missing)
		foundZoids, foundTids := keys(dir.found)
		_, err := p.conn.Exec(ctx, "SELECT relpack.blobs_not_found($1, $2, $3, $4)", zoids, tids, foundZoids, foundTids)
		return err == nil, err
	})
}

func keys(removals []removal) (zoids, tids []int64) {
	zoids, tids = make([]int64, len(removals)), make([]int64, len(removals))
	for i, r := range removals {
		zoids[i], tids[i] = r.Zoid, r.Tid
	}
	return zoids, tids
}
