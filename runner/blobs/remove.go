package blobs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"syscall"
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

// Remove works off the outbox relpack.blob_removal. This run has deleted so many
// objects, and so many blobs among them.
func (r *Remover) Remove(ctx context.Context, objects, blobs int64) (Count, error) {
	if r.nothingListed && blobs == 0 {
		return r.count, nil
	}
	r.deleted = objects
	err := r.remove(ctx)
	return r.count, err
}

func (r *Remover) remove(ctx context.Context) error {
	if r.inDatabase {
		if _, err := r.Conn.Exec(ctx, "SELECT relpack.discard_blob_removals()"); err != nil {
			return fmt.Errorf("empty relpack.blob_removal: %w", err)
		}
		return nil
	}
	if err := r.countWaiting(ctx); err != nil {
		return err
	}
	if err := r.stamp(ctx); err != nil || r.Dir == nil {
		return err
	}
	if why, known, err := r.awaited(ctx); err != nil || !known {
		r.count.Why = why
		return err
	}
	r.Progress.Phase("remove blob files", "blobs", r.count.Waiting+r.count.Missed)
	defer r.Progress.End()
	err := r.removeListed(ctx)
	if counted := r.countWaiting(ctx); err == nil {
		err = counted
	}
	if err == nil && r.Dir.failed != nil {
		err = &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("blob directory: %w", r.Dir.failed),
			Hint: "The objects are deleted, their files stay listed in relpack.blob_removal for the next run" + mayNot(r.Dir.failed)}
	}
	if err == nil {
		err = r.nameMissing(ctx)
	}
	if r.count.Waiting == 0 || r.count.Why != "" {
		return err
	}
	if r.count.Waiting == r.back {
		r.count.Why = "they were not there before, and came back within the grace"
		return err
	}
	if err == nil {
		r.count.Why, _, err = r.awaited(ctx)
	}
	if r.count.Why == "" {
		r.count.Why = r.Dir.unproved()
	}
	return err
}

// mayNot says what to do where this user may not write.
func mayNot(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return ". Run relpack as the user that owns the blob directory, or let this user write there"
	case errors.Is(err, syscall.EROFS):
		return ". Run relpack where it is mounted for writing"
	}
	return ""
}

// stamp has the server note that what a history has lost is committed. Who begins a
// transaction from here on sees none of it. What is noted already it notes anew where
// relpack's triggers were off since.
func (r *Remover) stamp(ctx context.Context) error {
	if !r.History || !r.unstamped {
		return nil
	}
	return r.Retry(ctx, "note since when blobs are removed", func() error {
		_, err := r.Conn.Exec(ctx, "SELECT relpack.blobs_stamp()")
		return err
	})
}

// awaited tells why blobs stay that a history has lost: a transaction may have seen them
// that is still open. Where the server may not say since when transactions are open, it
// is not known of any of them.
func (r *Remover) awaited(ctx context.Context) (why string, known bool, err error) {
	if !r.History {
		return "", true, nil
	}
	var waiting int64
	var client *string
	err = r.Conn.QueryRow(ctx, "SELECT blobs, client FROM relpack.blobs_awaited()").Scan(&waiting, &client)
	if message, refused := fault.Raised(err, fault.StateRefused); refused {
		return message, false, nil
	}
	switch {
	case err != nil:
		return "", false, fmt.Errorf("look for open transactions: %w", err)
	case waiting == 0:
		return "", true, nil
	case client == nil:
		return "a transaction was open that began before they were deleted", true, nil
	}
	return "a transaction is open that began before they were deleted: " + *client, true, nil
}

// WouldWait tells why the files of what a history would lose now were to stay.
func (r *Remover) WouldWait(ctx context.Context) (why string, err error) {
	var client *string
	err = r.Conn.QueryRow(ctx, "SELECT CASE WHEN relpack.grace_oldest_transaction() IS NOT NULL THEN relpack.oldest_client() END").Scan(&client)
	if message, refused := fault.Raised(err, fault.StateRefused); refused {
		return message, nil
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("look for open transactions: %w", err)
	case client == nil:
		return "", nil
	}
	return "a transaction is open that began before: " + *client, nil
}

func (r *Remover) countWaiting(ctx context.Context) error {
	// Not those that live objects refer to: they wait for their rows to come back.
	// OFFSET 0: looked up one by one, however many the planner believes there are.
	c := &r.count
	err := r.Conn.QueryRow(ctx, `SELECT count(*) FILTER (WHERE missed IS NULL), count(missed), min(missed),
		       count(*) FILTER (WHERE since IS NULL) > 0
		       OR (count(*) > 0 AND (SELECT stamped_triggers FROM relpack.storage) IS DISTINCT FROM relpack.trigger_identity())
		FROM relpack.blob_removal AS removal
		WHERE $1 OR NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = removal.zoid AND object.parent IS NOT NULL OFFSET 0)`,
		r.History).Scan(&c.Waiting, &c.Missed, &c.MissedSince, &r.unstamped)
	if err != nil {
		return fmt.Errorf("read relpack.blob_removal: %w", err)
	}
	c.Waiting, c.Missed = c.Waiting+r.back, c.Missed-r.back
	if c.Missed == 0 {
		c.MissedSince = nil
	}
	return nil
}

// nameMissing names some of the files that are missed.
func (r *Remover) nameMissing(ctx context.Context) error {
	if r.count.Missed == 0 {
		return nil
	}
	some, err := session.Rows(ctx, r.Conn, pgx.RowToStructByPos[listed], `SELECT zoid, tid, true FROM relpack.blob_removal AS removal
		WHERE missed IS NOT NULL
		  AND ($1 OR NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = removal.zoid AND object.parent IS NOT NULL OFFSET 0))
		ORDER BY zoid, tid LIMIT $2`, r.History, namedBlobs+r.back)
	if err != nil {
		return fmt.Errorf("read relpack.blob_removal: %w", err)
	}
	for _, blob := range some {
		if len(r.count.MissedFiles) < namedBlobs && r.again(blob) == isGone {
			r.count.MissedFiles = append(r.count.MissedFiles, r.Dir.File(blob.Zoid, blob.Tid))
		}
	}
	return nil
}

// listed is a blob of relpack.blob_removal. Missed: its file was not there before.
type listed struct {
	Zoid, Tid int64
	Missed    bool
}

// What became of a file that was missed.
type whereabouts int

const (
	isGone  whereabouts = iota
	isFresh             // within the grace
	isBack
)

// again looks for a file that was missed, without a lock. Who restores a blob puts the file
// there before the row: what came back stays for the grace. What can't be seen is looked
// for once more by who would remove it, and says why.
func (r *Remover) again(blob listed) whereabouts {
	if r.Dir.Absent(blob.Zoid, blob.Tid) {
		return isGone
	}
	file, err := r.Dir.Look(blob.Zoid, blob.Tid)
	switch {
	case err != nil:
		return isBack
	case file == nil:
		return isGone
	case r.Days > 0 && !file.Time.Before(time.Now().Add(-time.Duration(r.Days*float64(24*time.Hour)))):
		return isFresh
	}
	return isBack
}

// sort tells those that may go from those that are missing still.
func (r *Remover) sort(list []listed) (going, missing []Blob, err error) {
	for _, blob := range list {
		if r.Stopped() {
			return nil, nil, fault.Interrupted
		}
		where := isBack
		if blob.Missed {
			where = r.again(blob)
		}
		switch where {
		case isGone:
			missing = append(missing, Blob{Zoid: blob.Zoid, Tid: blob.Tid})
			r.Progress.Add(1)
		case isFresh:
			r.back++
			r.Progress.Add(1)
		case isBack:
			going = append(going, Blob{Zoid: blob.Zoid, Tid: blob.Tid})
		}
	}
	return going, missing, nil
}

// removeListed goes through the list once, whatever stays on it.
func (r *Remover) removeListed(ctx context.Context) error {
	last := listed{Zoid: math.MinInt64}
	for {
		var some []listed
		if err := r.Retry(ctx, "read relpack.blob_removal", func() (err error) {
			some, err = session.Rows(ctx, r.Conn, pgx.RowToStructByPos[listed],
				"SELECT zoid, tid, missed FROM relpack.listed_blobs($1, $2, $3)", last.Zoid, last.Tid, blobList)
			return err
		}); err != nil {
			return err
		}
		if len(some) == 0 {
			return nil
		}
		last = some[len(some)-1]
		list, missing, err := r.sort(some)
		if err != nil {
			return err
		}
		if len(list) > 0 {
			if why, err := r.makeDurable(ctx); err != nil || why != "" {
				r.count.Why = why
				return err
			}
		}
		for len(list) > 0 {
			if r.Stopped() {
				return fault.Interrupted
			}
			if r.Dir.failures > maxBlobFailures {
				return nil
			}
			var done group
			if err := r.Retry(ctx, "remove blob files", func() (err error) {
				done, err = r.removeGroup(ctx, list[:min(blobGroup, len(list))])
				return err
			}); err != nil {
				return err
			}
			list = append(done.rest, list[min(blobGroup, len(list)):]...)
			missing = append(missing, done.missing...)
			r.Progress.Add(int64(done.removed))
		}
		if err := r.noteMissing(ctx, missing); err != nil {
			return err
		}
	}
}

// A group is what became of some blobs.
type group struct {
	removed int
	missing []Blob // not found
	rest    []Blob // not looked at
}

// removeGroup removes the files of some blobs in one transaction, which holds
// the writers' lock. The server is asked when all of them are out of sight: what a
// writer puts back later is put back when they were gone already.
func (r *Remover) removeGroup(ctx context.Context, listed []Blob) (group, error) {
	var done group
	err := pgx.BeginFunc(ctx, r.Conn, func(tx pgx.Tx) error {
		done = group{}
		zoids, tids := keys(listed)
		rows, err := tx.Query(ctx, "SELECT zoid, tid, newest_zoid FROM relpack.blobs_next($1, $2)", zoids, tids)
		if err != nil {
			return err
		}
		removals, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Blob])
		if err != nil {
			return err
		}
		var asides []*blobdir.Aside
		var going, gone []Blob
		deadline := time.Now().Add(blobDeadline)
		for i, blob := range removals {
			// One file at least, or a slow disk would let nothing go.
			if len(asides) > 0 && time.Now().After(deadline) {
				done.rest = removals[i:]
				break
			}
			aside, err := r.Dir.SetAside(blobdir.Removal{Zoid: blob.Zoid, Tid: blob.Tid, Newest: blob.Newest})
			switch {
			case err != nil:
				r.couldNot(blob, err)
			case aside == nil:
				done.missing = append(done.missing, blob)
			default:
				asides, going = append(asides, aside), append(going, blob)
			}
		}
		// The server may have let go of the lock, and of writers who put rows back.
		if _, err := tx.Exec(ctx, "SELECT"); err != nil {
			err = fmt.Errorf("hold the writers' lock: %w", err)
			for _, aside := range asides {
				err = errors.Join(err, aside.PutBack())
			}
			return err
		}
		for i, aside := range asides {
			removed, err := aside.Finish()
			r.count.Files += int64(removed.Files)
			r.count.Bytes += removed.Bytes
			if err != nil {
				r.couldNot(going[i], err)
				continue
			}
			gone = append(gone, going[i])
			if !r.History { // there they are those of other rows
				r.leftOthers(removed.Others)
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
func (r *Remover) leftOthers(paths []string) {
	files := &r.count
	for _, path := range paths {
		r.Log.Debug("stays: " + path)
		if len(files.OtherFiles) < namedBlobs {
			files.OtherFiles = append(files.OtherFiles, path)
		}
	}
	files.Others += int64(len(paths))
}

// couldNot notes a blob whose files stay. What lies behind a link was put there
// by somebody who knows; the run has not failed for it.
func (r *Remover) couldNot(blob Blob, err error) {
	r.Dir.failures++
	if r.Dir.failures <= namedBlobs {
		r.count.Skipped = append(r.count.Skipped, fmt.Sprintf("blob %d: %v", blob.Zoid, err))
	}
	if r.Dir.failed == nil && !errors.Is(err, blobdir.ErrLink) {
		r.Dir.failed = err
	}
}

// noteMissing notes what is not in the directory, if that is proved to be the storage's,
// and strikes off the list what was not for long.
func (r *Remover) noteMissing(ctx context.Context, missing []Blob) error {
	if len(missing) == 0 || !r.Dir.trusted() {
		return nil
	}
	zoids, tids := keys(missing)
	foundZoids, foundTids := keys(r.Dir.found)
	var struck int64
	if err := r.Retry(ctx, "note which blob files are missing", func() error {
		return r.Conn.QueryRow(ctx, "SELECT relpack.blobs_not_found($1, $2, $3, $4)", zoids, tids, foundZoids, foundTids).Scan(&struck)
	}); err != nil {
		return err
	}
	r.count.StruckOff += struck
	return nil
}

func keys(removals []Blob) (zoids, tids []int64) {
	zoids, tids = make([]int64, len(removals)), make([]int64, len(removals))
	for i, r := range removals {
		zoids[i], tids[i] = r.Zoid, r.Tid
	}
	return zoids, tids
}
