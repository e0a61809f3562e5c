package orphans

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/blobdir"
	"relpack/runner/blobs"
	"relpack/runner/fault"
	"relpack/runner/figures"
	"relpack/runner/graph"
	"relpack/runner/session"
)

// Files go in small groups, while no writer is in flight: so long does a group hold
// up a commit at most, but for the one file that it is at.
const (
	groupFiles    = 50
	groupDeadline = 50 * time.Millisecond
)

// maxSkipped is after how many files that can't be removed nothing more is tried.
const maxSkipped = 100

// prove refuses a directory in which the exact files of less than nine of ten live
// blobs lie: another storage's, a copy, one that is not mounted.
func (l *look) prove(ctx context.Context, p *graph.Packer) error {
	var live []blobs.Blob
	if err := p.Retry(ctx, "look for live blobs", func() (err error) {
		live, err = session.Rows(ctx, l.conn, pgx.RowToStructByPos[blobs.Blob], "SELECT zoid, tid, 0::bigint FROM relpack.live_blobs()")
		return err
	}); err != nil {
		return err
	}
	found := 0
	for _, b := range live {
		layout, err := l.dir.Find(b.Zoid, b.Tid)
		if err != nil && !errors.Is(err, blobdir.ErrLink) {
			return &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("blob directory: %w", err)}
		}
		if layout != "" {
			found++
		}
	}
	if len(live) == 0 {
		return fault.Refuse("Nothing was removed. Pack first, or remove by hand what is listed without --remove",
			"nothing shows that %s is this storage's: no live blob is known whose file could be looked for", l.Target.BlobDir)
	}
	if 10*found < 9*len(live) {
		return fault.Refuse("Nothing was removed. Mount it, or name the right one; never that of the original for a copy",
			"blob directory %s: it holds the files of %d of %s that were looked for", l.Target.BlobDir, found, figures.Plural(int64(len(live)), "live blob"))
	}
	return nil
}

// removeOrphans removes what was listed, once nobody has a transaction open that
// began before: it may read what was stored then.
func (l *look) removeOrphans(ctx context.Context, p *graph.Packer) error {
	if l.report.Orphans.Files == 0 {
		return nil
	}
	var listed time.Time
	if err := l.conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&listed); err != nil {
		return fmt.Errorf("ask for the time: %w", err)
	}
	if err := l.Phase("wait", func() error { return l.outlast(ctx, p, listed) }); err != nil {
		return err
	}
	return l.Phase("remove", func() error {
		l.Progress.Phase("remove blob files", "files", l.report.Orphans.Files)
		defer l.Progress.End()
		return l.orphans.each(groupFiles, func(group []blobdir.Entry) error {
			if l.Stopped() {
				return fault.Interrupted
			}
			l.Progress.Add(int64(len(group)))
			return l.removeGroup(ctx, p, group)
		})
	})
}

// outlast waits for transactions that began before a moment.
func (l *look) outlast(ctx context.Context, p *graph.Packer, moment time.Time) error {
	err := p.Persist(ctx, "remove blob files", func() (over bool, err error) {
		err = l.conn.QueryRow(ctx, "SELECT coalesce(relpack.grace_oldest_transaction() > $1, true)", moment).Scan(&over)
		return over, err
	})
	if err == nil || fault.ExitCode(err) != fault.ExitFailure {
		return err
	}
	var oldest *string
	if asked := l.conn.QueryRow(ctx, "SELECT relpack.oldest_client()").Scan(&oldest); asked != nil || oldest == nil {
		return err
	}
	return &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("nothing was removed: an open transaction may still read these files: %s", *oldest),
		Hint: "Run relpack again when it has ended"}
}

// removeGroup removes some files.
func (l *look) removeGroup(ctx context.Context, p *graph.Packer, group []blobdir.Entry) error {
	sizes := map[[2]int64]int64{}
	var zoids, tids []int64
	for _, e := range group {
		if e.Kind == blobdir.Temporary {
			removed, err := l.dir.RemoveTemporary(e, l.day)
			if err := l.removed(e.Path, removed, e.Size, err); err != nil {
				return err
			}
			continue
		}
		sizes[[2]int64{e.Zoid, e.Tid}] = e.Size
		zoids, tids = append(zoids, e.Zoid), append(tids, e.Tid)
	}
	for len(zoids) > 0 {
		var done int
		if err := p.Retry(ctx, "remove blob files", func() (err error) {
			done, err = l.removeRevisions(ctx, zoids, tids)
			return err
		}); err != nil {
			return err
		}
		if done < 0 {
			return nil
		}
		zoids, tids = zoids[done:], tids[done:]
	}
	return nil
}

var errDeadline = errors.New("no time left for this group")

// removeRevisions removes as many of these as there is time for in one transaction,
// which holds the writers' lock. It returns how many of the list are done.
func (l *look) removeRevisions(ctx context.Context, zoids, tids []int64) (done int, err error) {
	err = pgx.BeginFunc(ctx, l.conn, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, "SELECT zoid, tid, newest_zoid FROM relpack.blobs_orphaned($1, $2, $3)", zoids, tids, l.until)
		if err != nil {
			return err
		}
		found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[blobs.Blob])
		if err != nil {
			return err
		}
		orphaned := map[[2]int64]blobs.Blob{}
		for _, b := range found {
			orphaned[[2]int64{b.Zoid, b.Tid}] = b
		}
		deadline, files := time.Now().Add(groupDeadline), 0
		for done = 0; done < len(zoids); done++ {
			b, still := orphaned[[2]int64{zoids[done], tids[done]}]
			if !still {
				continue
			}
			removed, err := l.dir.Remove(blobdir.Removal{Zoid: b.Zoid, Tid: b.Tid, Newest: b.Newest, Before: func() error {
				// One file at least, or a slow disk would let nothing go.
				if files++; files > 1 && time.Now().After(deadline) {
					return errDeadline
				}
				return nil
			}})
			if errors.Is(err, errDeadline) {
				return nil
			}
			if err := l.removed(l.dir.File(b.Zoid, b.Tid), removed.Files > 0, removed.Bytes, err); err != nil {
				return err
			}
		}
		return nil
	})
	return done, err
}

// removed counts a file that went, or names one that could not be removed.
func (l *look) removed(path string, went bool, bytes int64, err error) error {
	switch {
	case err != nil:
		if len(l.report.Skipped) < named {
			l.report.Skipped = append(l.report.Skipped, err.Error())
		}
		if l.skipped++; l.skipped > maxSkipped {
			return &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("remove %s: %w", path, err),
				Hint: "Too many files could not be removed; the rest was not tried"}
		}
	case went:
		l.report.Removed.add(bytes)
	}
	return nil
}
