package orphans

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
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

// alone refuses a directory that is not known, or that another section of the file
// uses as well: both have blobs of the same oids.
func (l *look) alone() error {
	if l.Target.BlobDir == "" {
		return fault.Refuse(`It is named by blob-dir with "shared-blob-dir true", or by --blob-dir`,
			"nothing can be removed: the blob directory is not known, or is but a cache of blobs in the database")
	}
	if users := l.Target.BlobDirUsers(); len(users) > 0 {
		return fault.Refuse("Give each storage a blob-dir of its own; a copy will do",
			"nothing can be removed: the blob directory %s is named by %s, too", l.Target.BlobDir, strings.Join(users, ", "))
	}
	return nil
}

// remove lists with the pack lock held, and removes what nobody needs.
func (l *look) remove(ctx context.Context) error {
	p, release, err := graph.Open(ctx, l.Job, &graph.Seen{}, "blobs", l.options.Migrations)
	if err != nil {
		return err
	}
	defer release(ctx)
	l.conn = p.Conn
	// What is referred to is known then, where a row has vanished.
	if err := l.Phase("reach", func() error { return p.Reach(ctx) }); err != nil {
		return err
	}
	if err := p.CatchUp(ctx); err != nil {
		return err
	}
	if _, err := l.conn.Exec(ctx, "SELECT relpack.require_settled()"); err != nil {
		return err
	}
	packTime, err := p.PackTime(ctx, l.options.Days)
	if err != nil {
		return err
	}
	if err := l.conn.QueryRow(ctx, "SELECT relpack.grace_cap($1)", packTime).Scan(&l.until); err != nil {
		return fmt.Errorf("look for open transactions: %w", err)
	}
	if l.orphans, err = newSpool(); err != nil {
		return err
	}
	defer l.orphans.close()
	if err := l.list(ctx); err != nil {
		return err
	}
	if err := l.trusted(); err != nil || l.report.Orphans.Files == 0 {
		return err
	}
	if err := l.Phase("wait", func() error { return l.outlast(ctx, p) }); err != nil {
		return err
	}
	return l.Phase("remove", func() error { return l.removeOrphans(ctx, p) })
}

// trusted refuses a directory that may be another storage's, or a copy's, or is not
// all there: what looks like an orphan may be needed.
func (l *look) trusted() error {
	r := l.report
	hint := "Nothing was removed. Name the right directory; never that of the original for a copy"
	switch later := l.later < math.MaxInt64; {
	case r.Doubt != "" && (!later || l.files["foreign"].Files.Files > 0):
		return fault.Refuse(hint, "blob directory %s: %s", l.Target.BlobDir, r.Doubt)
	case r.Doubt != "" && !l.options.Restored:
		return fault.Refuse("Nothing was removed. If an older backup was restored, and no other database uses the directory, add --restored: those files stay",
			"blob directory %s: %s", l.Target.BlobDir, r.Doubt)
	case r.Missing < 0:
		return fault.Refuse(`Nothing was removed. Run "relpack pack --dry-run"`, "it is not known which blobs are alive")
	case 10*r.Found < 9*(r.Found+r.Missing):
		return fault.Refuse(hint, "blob directory %s: it holds the files of %d of %s", l.Target.BlobDir, r.Found, figures.Plural(r.Found+r.Missing, "live blob"))
	}
	return nil
}

// outlast waits until nobody has a transaction open that began before all was listed:
// it may read what was stored then. What superseded is durable afterwards.
func (l *look) outlast(ctx context.Context, p *graph.Packer) error {
	var listed time.Time
	if err := l.conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&listed); err != nil {
		return fmt.Errorf("ask for the time: %w", err)
	}
	err := p.Persist(ctx, "remove blob files", func() (over bool, err error) {
		err = l.conn.QueryRow(ctx, "SELECT coalesce(relpack.grace_oldest_transaction() > $1, true)", listed).Scan(&over)
		return over, err
	})
	var oldest *string
	switch {
	case err == nil:
	case fault.ExitCode(err) != fault.ExitFailure:
		return err
	case l.conn.QueryRow(ctx, "SELECT relpack.oldest_client()").Scan(&oldest) != nil || oldest == nil:
		return err
	default:
		return &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("nothing was removed: an open transaction may still read these files: %s", *oldest),
			Hint: "Run relpack again when it has ended"}
	}
	why, err := blobs.CommitDurably(ctx, p, "SELECT relpack.commit_durably($1, id, deleted) FROM relpack.run ORDER BY id DESC LIMIT 1", p.PID)
	if err == nil && why != "" {
		err = &fault.Error{Code: fault.ExitFailure, Err: errors.New("nothing was removed: " + why), Hint: "Run relpack again when the standby is back"}
	}
	return err
}

// removeOrphans removes what was listed.
func (l *look) removeOrphans(ctx context.Context, p *graph.Packer) error {
	l.Progress.Phase("remove blob files", "files", l.report.Orphans.Files)
	defer l.Progress.End()
	err := l.orphans.each(groupFiles, func(group []blobdir.Entry) error {
		if l.Stopped() {
			return fault.Interrupted
		}
		l.Progress.Add(int64(len(group)))
		return l.removeGroup(ctx, p, group)
	})
	if err == nil && l.skipped > 0 {
		err = &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("%s could not be removed: %s", figures.Plural(int64(l.skipped), "file"), l.report.Skipped[0]),
			Hint: "The others are gone. Look at the permissions of the blob directory"}
	}
	return err
}

// removeGroup removes some files.
func (l *look) removeGroup(ctx context.Context, p *graph.Packer, group []blobdir.Entry) error {
	var revisions []blobdir.Entry
	for _, e := range group {
		if e.Kind == blobdir.Revision {
			revisions = append(revisions, e)
		} else if err := l.unlink(e, l.day); err != nil {
			return err
		}
	}
	for len(revisions) > 0 {
		var done int
		if err := p.Retry(ctx, "remove blob files", func() (err error) {
			done, err = l.removeRevisions(ctx, revisions)
			return err
		}); err != nil {
			return err
		}
		revisions = revisions[done:]
	}
	return nil
}

// An orphan is a row of relpack.blobs_orphaned.
type orphan struct {
	Zoid, Tid int64
	StoredTid *int64
	Newest    int64
}

// removeRevisions removes as many of these as there is time for in one transaction,
// which holds the writers' lock. It returns how many of the list are done.
func (l *look) removeRevisions(ctx context.Context, revisions []blobdir.Entry) (done int, err error) {
	zoids, tids := make([]int64, len(revisions)), make([]int64, len(revisions))
	for i, e := range revisions {
		zoids[i], tids[i] = e.Zoid, e.Tid
	}
	err = pgx.BeginFunc(ctx, l.conn, func(tx pgx.Tx) error {
		done = 0
		list, err := session.Rows(ctx, tx, pgx.RowToStructByPos[orphan],
			"SELECT zoid, tid, stored_tid, newest_zoid FROM relpack.blobs_orphaned($1, $2, $3, $4)", zoids, tids, l.until, l.later)
		if err != nil {
			return err
		}
		orphaned := map[[2]int64]orphan{}
		for _, o := range list {
			orphaned[[2]int64{o.Zoid, o.Tid}] = o
		}
		// One file at least, or a slow disk would let nothing go.
		for deadline := time.Now().Add(groupDeadline); done < len(revisions) && (done == 0 || time.Now().Before(deadline)); done++ {
			e := revisions[done]
			o, still := orphaned[[2]int64{e.Zoid, e.Tid}]
			if !still {
				l.report.Kept++
				continue
			}
			if err := l.removeRevision(e, o); err != nil {
				return err
			}
		}
		return nil
	})
	return done, err
}

// removeRevision removes a file, unless it is the last one of its blob by now.
func (l *look) removeRevision(e blobdir.Entry, o orphan) error {
	if o.StoredTid != nil {
		there, err := l.there(o.Zoid, *o.StoredTid)
		if err != nil {
			return err
		}
		if !there {
			l.report.Kept++
			return nil
		}
		return l.unlink(e, l.graceBegan())
	}
	if err := l.unlink(e, l.graceBegan()); err != nil {
		return err
	}
	if err := l.dir.Tidy(e.Layout, e.Zoid, o.Newest); err != nil {
		return l.skip(e, err)
	}
	return nil
}

// unlink removes a file that nothing has touched since a moment.
func (l *look) unlink(e blobdir.Entry, before time.Time) error {
	went, err := l.dir.Unlink(e, before)
	switch {
	case err != nil:
		return l.skip(e, err)
	case went:
		l.report.Removed.add(e.Size)
	default:
		l.report.Kept++
	}
	return nil
}

// skip notes a file that could not be removed.
func (l *look) skip(e blobdir.Entry, err error) error {
	if len(l.report.Skipped) < named {
		l.report.Skipped = append(l.report.Skipped, err.Error())
	}
	if l.skipped++; l.skipped > maxSkipped {
		return &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("remove %s: %w", e.Path, err),
			Hint: "Too many files could not be removed; the rest was not tried"}
	}
	return nil
}
