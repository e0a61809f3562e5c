package orphans

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/blobdir"
	"relpack/runner/fault"
	"relpack/runner/figures"
	"relpack/runner/graph"
	"relpack/runner/session"
)

// removeOrphans removes what was listed.
func (l *look) removeOrphans(ctx context.Context) error {
	l.Progress.Phase("remove blob files", "files", l.report.Orphans.Files)
	defer l.Progress.End()
	err := l.removal.orphans.each(groupFiles, func(group []doomed) error {
		if l.Stopped() {
			return fault.Interrupted
		}
		return l.removeGroup(ctx, group)
	})
	if err == nil && l.removal.skipped > 0 {
		hint := "Look at these, and at the permissions of the blob directory"
		if l.report.Removed.Files > 0 {
			hint = "The others are gone. " + hint
		}
		err = &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("%s could not be removed: %s", figures.Plural(int64(l.removal.skipped), "file"), l.report.Skipped[0]), Hint: hint}
	}
	return err
}

// removeGroup removes some files.
func (l *look) removeGroup(ctx context.Context, group []doomed) error {
	var revisions []doomed
	for _, e := range group {
		goes, err := l.beforehand(e)
		if err != nil {
			return err
		}
		if goes {
			revisions = append(revisions, e)
			continue
		}
		l.Progress.Add(1)
	}
	for len(revisions) > 0 {
		var done int
		err := l.removal.Retry(ctx, "remove blob files", func() (err error) {
			done, err = l.removeRevisions(ctx, revisions)
			return err
		})
		if err != nil && done > 0 && l.removal.tookLong() {
			err = l.reopen(ctx)
		}
		if err != nil {
			return err
		}
		revisions = revisions[done:]
	}
	return nil
}

// beforehand does what needs no lock: temporary files go, and a duplicate is compared with
// the file that stays: a disk that was full, or a power failure, may have spoiled the one or
// the other. It tells whether the file is to go while no writer is in flight.
func (l *look) beforehand(e doomed) (goes bool, err error) {
	if e.Kind != blobdir.Revision {
		return false, l.unlink(e)
	}
	if e.Why != "duplicate" {
		return true, nil
	}
	same, err := l.dir.SameContent(e.Entry)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.keep(e)
		return false, nil
	case err == nil && !same:
		err = fmt.Errorf("%s and %s differ", filepath.Join(l.Target.BlobDir, e.Path), l.dir.File(e.Zoid, e.Tid))
	}
	if err != nil {
		return false, l.skip(e, err)
	}
	return true, nil
}

// tookLong tells whether the session ended since one file took longer than the server
// lets it be silent: a large one, or a slow disk.
func (r *removal) tookLong() bool { return r.Conn.IsClosed() && time.Since(r.heard) >= silence }

// reopen goes on in another session. Each group is judged again, the claim too.
func (l *look) reopen(ctx context.Context) error {
	r := l.removal
	r.release(ctx)
	p, release, err := graph.Open(ctx, l.Job, &graph.Seen{}, "blobs", l.options.Migrations)
	if err != nil {
		r.release = func(context.Context) {}
		return err
	}
	r.Packer, r.release, l.conn = p, release, p.Conn
	return nil
}

// removeRevisions removes as many of these as there is time for in one transaction,
// which holds the writers' lock. It returns how many of the list are done.
func (l *look) removeRevisions(ctx context.Context, revisions []doomed) (done int, err error) {
	zoids, tids, sinces, kinds := make([]int64, len(revisions)), make([]int64, len(revisions)), make([]int64, len(revisions)), make([]string, len(revisions))
	for i, e := range revisions {
		zoids[i], tids[i], sinces[i], kinds[i] = e.Zoid, e.Tid, e.Since, e.Why
	}
	// Somebody may have removed the mark, or written another one.
	if l.mark, err = readMark(l.dir); err != nil {
		return 0, err
	}
	err = pgx.BeginFunc(ctx, l.conn, func(tx pgx.Tx) error {
		list, err := session.Rows(ctx, tx, pgx.RowToStructByPos[mayGo],
			"SELECT zoid, tid, kind, newest_zoid FROM relpack.blobs_orphaned($1, $2, $3, $4, $5, $6::jsonb, $7, $8, $9)",
			zoids, tids, sinces, kinds, l.until, l.mark.listed(), l.listed.At, l.listed.Version, l.options.GivenUp)
		if err != nil {
			return err
		}
		orphaned, newest := map[mayGo]bool{}, int64(0)
		for _, o := range list {
			orphaned[mayGo{o.Zoid, o.Tid, o.Why, 0}], newest = true, o.Newest
		}
		// One file at least, or a slow disk would let nothing go.
		l.removal.heard = time.Now()
		held := func() error {
			if _, err := tx.Exec(ctx, "SELECT"); err != nil {
				return fmt.Errorf("hold the writers' lock: %w", err)
			}
			l.removal.heard = time.Now()
			return nil
		}
		for deadline := time.Now().Add(groupDeadline); done < len(revisions) && (done == 0 || time.Now().Before(deadline)); {
			// The last one may have taken long: another would be put back.
			if time.Since(l.removal.heard) > silence/4 {
				if err := held(); err != nil {
					return err
				}
			}
			e := revisions[done]
			done++
			if !orphaned[mayGo{e.Zoid, e.Tid, e.Why, 0}] {
				l.keep(e)
				l.Progress.Add(1)
			} else if err := l.removeRevision(e, newest, held); err != nil {
				return err
			}
		}
		return nil
	})
	return done, err
}

// mayGo is a row of relpack.blobs_orphaned.
type mayGo struct {
	Zoid, Tid int64
	Why       string
	Newest    int64
}

// removeRevision removes a file, unless it is the last one of its blob by now. Of an
// object that is gone it may be. Then its directory goes, as that of the last duplicate.
// The server may let go of the writers' lock while the file is set aside: who puts its row
// back then finds it there again.
func (l *look) removeRevision(e doomed, newest int64, held func() error) error {
	goes, alone := true, true
	var err error
	switch e.Why {
	case "gone":
	case "duplicate":
		goes, err = l.duplicate(e.Entry, e.Since)
	default:
		var kind string
		kind, err = l.superseded(e.Entry, e.Since)
		goes, alone = kind == "superseded", false
	}
	if err != nil {
		return err
	}
	var aside *blobdir.Aside
	if goes {
		if aside, err = l.dir.SetFoundAside(e.Entry); err != nil {
			l.Progress.Add(1)
			return l.skip(e, err)
		}
	}
	l.Progress.Add(1)
	if aside == nil {
		l.keep(e)
		return nil
	}
	if err := held(); err != nil {
		l.keep(e)
		if back := aside.PutBack(); back != nil {
			return &fault.Error{Code: fault.ExitFailure, Err: errors.Join(back, err)}
		}
		return err
	}
	removed, err := aside.Finish()
	if removed.Files > 0 {
		l.report.Removed.add(e.Size)
	}
	if err == nil && alone {
		err = l.dir.RemoveEmpty(e.Entry, newest)
	}
	if err != nil {
		return l.skip(e, err)
	}
	return nil
}

// keep notes a file that stays, since it may be needed.
func (l *look) keep(e doomed) {
	l.report.Kept++
	l.leave(e)
}

// leave has the next removal not take for a newcomer what a later revision superseded.
func (l *look) leave(e doomed) {
	if e.Why == "superseded" || e.Why == "unnamed" {
		l.left = min(l.left, e.Since)
	}
}

// unlink removes a temporary file that is still what was listed.
func (l *look) unlink(e doomed) error {
	went, err := l.dir.Unlink(e.Entry)
	switch {
	case err != nil:
		return l.skip(e, err)
	case went:
		l.report.Removed.add(e.Size)
	default:
		l.keep(e)
	}
	return nil
}

// skip notes a file that could not be removed.
func (l *look) skip(e doomed, err error) error {
	if len(l.report.Skipped) < named {
		l.report.Skipped = append(l.report.Skipped, err.Error())
	}
	l.leave(e)
	if l.removal.skipped++; l.removal.skipped > maxSkipped {
		return &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("remove %s: %w", e.Path, err),
			Hint: "Too many files could not be removed; the rest was not tried"}
	}
	return nil
}
