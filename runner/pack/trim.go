package pack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"relpack/runner/blobs"
	"relpack/runner/fault"
	"relpack/runner/inventory"
	"relpack/runner/record"
	"relpack/runner/schema"
)

// Trimmed is the part of a report about the history of a history-preserving storage.
type Trimmed struct {
	UntilTid      int64      `json:"until_tid"` // the pack time as relpack caps it
	Until         *time.Time `json:"until"`
	Oldest        *time.Time `json:"oldest"`    // revision that is kept
	Marked        int64      `json:"marked"`    // transactions that can't be undone any more, or could not
	Revisions     int64      `json:"revisions"` // that go, or would
	Bytes         int64      `json:"bytes"`     // of their states
	Whiteouts     int64      `json:"whiteouts"` // objects that go: they have no state
	Transactions  int64      `json:"transactions"`
	Emptied       int64      `json:"emptied"`    // transactions that no revision names, which go when a week is over
	LeftAlone     int64      `json:"left_alone"` // objects that stay as they are
	SomeLeftAlone []int64    `json:"some_left_alone"`
	// ByClass are the revisions that go, or would, the classes with the most bytes first.
	ByClass []inventory.ClassHistory `json:"by_class"`

	toNewest bool // the pack time is that of the newest transaction
	ended    bool // nothing is left to remove up to the pack time
}

func nothingTrimmed() Trimmed {
	return Trimmed{SomeLeftAlone: []int64{}, ByClass: []inventory.ClassHistory{}}
}

// A trimming is a trim at work, and what it has found so far.
type trimming struct {
	*pack
	Trimmed
	dry            bool
	chosen         bool // the pack time is fixed
	untouched      bool // the last look found nothing to trim
	marked         bool // transactions up to the pack time are, before any revision goes
	tables         bool // commits lock transaction and current_object
	packTime       *time.Time
	heldBy         string // an open transaction that holds the pack time back
	missingIndex   string
	listed         bool // the last trim went through what is listed, not through all objects
	files          blobs.Count
	large          blobs.LargeObjects
	going          blobs.Going // with what a dry run would trim
	oldest         *int64      // tid of [Trimmed.Oldest]
	classes        map[string]inventory.ClassHistory
	labels         record.Labels
	unmarkedBefore int // so often in a row
}

// Batches of a trim. Nobody waits for old revisions but zodbconvert; for the row in
// current_object of a deleted object, a client that stores it again.
const (
	markBatch      = 5_000
	markVacuum     = 200_000
	firstTrim      = 2_000
	mostTrimmed    = 30_000
	longestTrim    = 2 * time.Second
	longestLock    = 500 * time.Millisecond // a commit that names one of the transactions waits
	rowsRead       = 100_000
	findAhead      = 4 // times what was found last
	whiteoutBlocks = 16_384
	firstWhiteouts = 200
	longestPiece   = 50 * time.Millisecond
	namedLeft      = 10
)

// binary is for statements with long arrays: as text they take several times as long.
const binary = pgx.QueryExecModeCacheDescribe

// trimmable finds out whether a storage whose garbage is to stay keeps history, which
// can be trimmed.
func (p *pack) trimmable(ctx context.Context) (bool, error) {
	if !p.job.Target.KeepsGarbage || p.job.Target.Migratable() != nil {
		return false, nil
	}
	conn, err := p.job.Session(ctx, "pack")
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close(ctx) }()
	d, err := schema.LookAt(ctx, conn)
	if err != nil {
		return false, err
	}
	return d.KeepsHistory(), nil
}

// endTrim notes what was removed.
func (p *pack) endTrim(ctx context.Context, t *trimming) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	var until *int64
	r := t.Trimmed
	switch {
	case t.dry:
		r = Trimmed{}
	case t.ended:
		until = &t.UntilTid
	}
	history, err := t.told()
	if err != nil {
		return err
	}
	if t.dry && !t.ended {
		history = nil // not all is counted
	}
	if _, err := p.Conn.Exec(ctx, "SELECT relpack.trim_end($1, $2, $3, $4, $5, $6, $7)", p.run, until, r.Revisions, r.Bytes, r.Transactions,
		t.oldest, history); err != nil {
		return fmt.Errorf("note what was trimmed: %w", err)
	}
	return nil
}

// trim marks, and removes revisions, whiteouts and transactions, in this order. Each
// step is whole after each batch. What it found until an error is returned with that.
func (p *pack) trim(ctx context.Context, dry bool) (*trimming, error) {
	t := &trimming{pack: p, dry: dry, Trimmed: nothingTrimmed()}
	return t, t.all(ctx)
}

func (t *trimming) all(ctx context.Context) error {
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"choose", t.until}, {"settle", t.settle}, {"mark", t.mark}, {"index", t.lookForIndex}, {"trim", t.revisions},
		{"whiteouts", t.whiteouts}, {"mark again", t.markAgain}, {"transactions", t.transactions}, {"blobs", t.removeFiles},
	}
	for _, step := range steps {
		if t.dry && (step.name == "settle" || step.name == "mark again") {
			continue
		}
		if err := t.Phase(step.name, func() error { return step.do(ctx) }); err != nil {
			return err
		}
		t.ended = t.ended || step.name == "whiteouts"
	}
	return nil
}

// until fixes the pack time where nothing but the history is to go.
func (t *trimming) until(ctx context.Context) error {
	if err := t.require(ctx); err != nil {
		return err
	}
	return t.fix(ctx, "relpack.trim_until($1)")
}

// require refuses early what a trim would refuse, before hours of work, or in a dry run.
func (t *trimming) require(ctx context.Context) error {
	_, err := t.Conn.Exec(ctx, "SELECT relpack.trim_require()")
	return err
}

// fix fixes the pack time by a function of the server, and names who holds it back.
func (t *trimming) fix(ctx context.Context, by string) (err error) {
	if t.packTime, err = t.pack.packTime(ctx); err != nil {
		return err
	}
	wanted := int64(0)
	if err := t.Conn.QueryRow(ctx, `
		SELECT until_tid, CASE WHEN until_tid > 0 THEN relpack.tid_to_time(until_tid) END,
		       least(relpack.time_to_tid($1), newest.tid), until_tid = newest.tid, relpack.lock_protocol() = 'table'
		FROM (SELECT chosen.until_tid FROM `+by+` AS chosen (until_tid)) AS fixed
		CROSS JOIN (SELECT max(tid) AS tid FROM public.transaction) AS newest`, t.packTime).
		Scan(&t.UntilTid, &t.Until, &wanted, &t.toNewest, &t.tables); err != nil {
		return fmt.Errorf("determine up to when to trim: %w", err)
	}
	if t.packTime == nil || t.UntilTid >= wanted {
		return nil
	}
	var holder *string
	if err := t.Conn.QueryRow(ctx, "SELECT relpack.oldest_client()").Scan(&holder); err != nil {
		return fmt.Errorf("look for open transactions: %w", err)
	}
	if holder != nil {
		t.heldBy = *holder
		t.say(slog.LevelWarn, Choice{HeldBy: t.heldBy}.heldBy())
	}
	return nil
}

// atMost is how many transactions a step writes to while a commit may wait for it.
func (t *trimming) atMost(batch int) int {
	if t.tables {
		return firstBatchOfTable
	}
	return batch
}

// settle waits until nobody is left who may have begun an undo before this run.
func (t *trimming) settle(ctx context.Context) error {
	const what = "wait for undos that had begun"
	failed := t.Persist(ctx, what, func() (settled bool, err error) {
		err = t.Conn.QueryRow(ctx, "SELECT relpack.trim_settle()").Scan(&settled)
		return settled, err
	})
	if fault.ExitCode(failed) != fault.ExitFailure || t.Conn.IsClosed() {
		return failed
	}
	var who *string
	if err := t.Conn.QueryRow(ctx, "SELECT relpack.trim_awaited()").Scan(&who); err != nil || who == nil {
		return failed
	}
	return &fault.Error{Code: fault.ExitFailure, Hint: "End that transaction and run relpack again",
		Err: fmt.Errorf("%s: a transaction may be one, or may have locked objects before one, and has not ended (%s)", what, *who)}
}

// lookForIndex tells whether a deletion of blobs from the database would be slow.
func (t *trimming) lookForIndex(ctx context.Context) (err error) {
	if t.missingIndex, err = inventory.MissingIndex(ctx, t.Conn); t.missingIndex != "" {
		t.say(slog.LevelWarn, inventory.SlowWithoutIndex+t.missingIndex)
	}
	return err
}

// revisions goes through all objects, or through those that were written since the last
// trim.
func (t *trimming) revisions(ctx context.Context) error {
	t.Progress.Phase("trim", "revisions", 0)
	defer t.Progress.End()
	zoid, tid, speed := new(int64), new(int64), &pace{firstTrim, mostTrimmed, longestTrim}
	t.LeftAlone, t.SomeLeftAlone = 0, t.SomeLeftAlone[:0]
	if t.dry {
		speed.batch = maxBatch
		t.Revisions, t.Bytes, t.going = 0, 0, blobs.Going{}
		t.ByClass, t.classes = []inventory.ClassHistory{}, map[string]inventory.ClassHistory{}
	}
	*zoid = math.MinInt64
	if err := t.Retry(ctx, "list what was written since the last trim", func() error {
		return t.Conn.QueryRow(ctx, "SELECT relpack.trim_list($1)", t.UntilTid).Scan(&t.listed)
	}); err != nil {
		return err
	}
	const usual = 2.
	perRevision := usual // so many rows are read for each that is old
	wanted := rowsRead
	for zoid != nil {
		if t.Stopped() {
			return fault.Interrupted
		}
		var zoids, tids, sizes, left []int64
		var revisions, bytes int64
		afterZoid, afterTid := *zoid, *tid
		if wanted = min(wanted, rowsRead); t.dry {
			wanted = min(wanted, maxBatch)
		}
		rows := min(int(perRevision*float64(wanted))+1, rowsRead)
		if err := t.Retry(ctx, "look for old revisions", func() error {
			return t.Conn.QueryRow(ctx, `SELECT zoids, tids, sizes, revisions, bytes, left_alone, last_zoid, last_tid
				FROM relpack.trim_find($1, $2, $3, $4, $5, $6, $7)`, binary, t.UntilTid, afterZoid, afterTid, wanted, rows, t.listed, t.dry).
				Scan(&zoids, &tids, &sizes, &revisions, &bytes, &left, &zoid, &tid)
		}); err != nil {
			return err
		}
		n := len(zoids)
		full := n == wanted
		wanted = findAhead * n
		switch {
		case n == 0 || zoid == nil || *zoid != zoids[n-1] || *tid != tids[n-1]:
			// Of all rows that were read, fewer are old than were wanted.
			perRevision = 1.05 * float64(rows) / float64(max(n, 1))
			wanted = max(wanted, speed.batch)
		case full:
			// No more are read than are wanted.
			perRevision = max(1, 0.945*float64(rows)/float64(n))
		default:
			// Large objects allow few at a time: no more are looked at for them.
			perRevision = min(perRevision, usual)
		}
		var err error
		if t.dry {
			t.leave(left)
			t.Revisions += revisions
			t.Bytes += bytes
			t.Progress.Add(revisions)
			err = t.count(ctx, zoids, tids, sizes)
		} else {
			err = t.remove(ctx, zoids, tids, speed)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// remove removes old revisions, in batches of what the server does in time.
func (t *trimming) remove(ctx context.Context, zoids, tids []int64, speed *pace) error {
	if len(zoids) > 0 && !t.marked {
		if err := t.mark(ctx); err != nil {
			return err
		}
	}
	for len(zoids) > 0 {
		if t.Stopped() {
			return fault.Interrupted
		}
		n := min(speed.batch, len(zoids))
		classes, err := t.classesOf(ctx, zoids[:n], tids[:n])
		if err != nil {
			return err
		}
		var revisions, bytes, large int64
		var gone, sizes, left []int64
		var seconds float64 // of the deletion: what else a batch costs, smaller ones cost too
		var largeBytes *int64
		if err := t.tryBatch(ctx, "remove old revisions", func() error {
			return t.Conn.QueryRow(ctx, `SELECT revisions, bytes, seconds, large, large_bytes, gone, sizes, left_alone
				FROM relpack.trim_batch($1, $2, $3)`, binary, t.UntilTid, zoids[:n], tids[:n]).
				Scan(&revisions, &bytes, &seconds, &large, &largeBytes, &gone, &sizes, &left)
		}); err != nil {
			return err
		}
		zoids, tids = zoids[n:], tids[n:]
		t.leave(left)
		t.addClasses(classes, gone, sizes)
		t.large.Add(large, largeBytes)
		t.Revisions += revisions
		t.Bytes += bytes
		if err := t.note(ctx); err != nil {
			return err
		}
		t.Progress.Add(revisions)
		if revisions > 0 {
			speed.took(time.Duration(seconds * float64(time.Second)))
		}
	}
	return nil
}

// count counts the blobs and the classes of what a dry run has found.
func (t *trimming) count(ctx context.Context, zoids, tids, sizes []int64) error {
	going, _, err := t.blobs.Going(ctx, zoids, tids, &t.UntilTid)
	if err != nil {
		return err
	}
	t.going.Add(going)
	classes, err := t.classesOf(ctx, zoids, tids)
	if err != nil {
		return err
	}
	t.addClasses(classes, zoids, sizes)
	return nil
}

// leave notes objects that stay as they are. A long history has several batches.
func (t *Trimmed) leave(zoids []int64) {
	for _, zoid := range zoids {
		if len(t.SomeLeftAlone) > 0 && t.SomeLeftAlone[len(t.SomeLeftAlone)-1] >= zoid {
			continue
		}
		t.LeftAlone++
		if len(t.SomeLeftAlone) == namedLeft {
			t.SomeLeftAlone = t.SomeLeftAlone[:namedLeft-1] // the last one tells where we are
		}
		t.SomeLeftAlone = append(t.SomeLeftAlone, zoid)
	}
}

// maxUnmarked is how often in a row somebody may restore transactions that are then
// marked, or move what current_object says.
const maxUnmarked = 5

// tryBatch deletes a batch, however often that takes.
func (t *trimming) tryBatch(ctx context.Context, what string, do func() error) error {
	return t.Persist(ctx, what, func() (bool, error) {
		err := do()
		switch message, raised := fault.Raised(err, fault.StateUndone); {
		case err == nil:
			t.unmarkedBefore = 0
			return true, nil
		case raised && message == "unmarked", fault.IsState(err, "23503"):
			// Somebody restored a transaction, or an old revision became current.
			if t.unmarkedBefore++; t.unmarkedBefore > maxUnmarked {
				return false, whyUnmarked(what, err)
			}
			return false, t.mark(ctx)
		case raised:
			return false, nil
		}
		return false, err
	})
}

// whyUnmarked is the error of a batch that others keep from being deleted, however
// often it is tried.
func whyUnmarked(what string, err error) error {
	var pg *pgconn.PgError
	switch {
	case !errors.As(err, &pg):
	case pg.Code == fault.StateUndone:
		return fault.Refuse("Wait for the end of zodbconvert, or of a restore; or drop a trigger or rule on transaction that keeps them from being marked",
			"%s: somebody restores revisions meanwhile, or transactions do not stay marked as packed", what)
	case pg.TableName != "object_state" && pg.TableName != "current_object" && pg.TableName != "blob_chunk":
		return fault.Refuse("Delete those rows, or drop the key", "%s: rows of %s.%s refer to some (foreign key %s)", what, pg.SchemaName, pg.TableName, pg.ConstraintName)
	}
	return fault.Refuse("Wait for the end of zodbconvert, or of a restore", "%s: somebody restores revisions meanwhile (%w)", what, err)
}

// whiteouts removes objects that were deleted, or whose creation was undone.
func (t *trimming) whiteouts(ctx context.Context) error {
	speed := &pace{firstWhiteouts, maxBatch, longestPiece}
	if t.dry {
		t.Whiteouts = 0
	}
	for block := new(int64); block != nil; {
		if t.Stopped() {
			return fault.Interrupted
		}
		var zoids []int64
		first := *block
		if err := t.Retry(ctx, "look for whiteouts", func() error {
			return t.Conn.QueryRow(ctx, "SELECT zoids, next_block FROM relpack.trim_whiteouts($1, $2, $3)", t.UntilTid, first, whiteoutBlocks).
				Scan(&zoids, &block)
		}); err != nil {
			return err
		}
		if t.dry {
			t.Whiteouts += int64(len(zoids))
			continue
		}
		for len(zoids) > 0 {
			few := zoids[:min(speed.batch, len(zoids))]
			start := time.Now()
			var objects int64
			if err := t.tryBatch(ctx, "remove whiteouts", func() error {
				return t.Conn.QueryRow(ctx, "SELECT objects FROM relpack.trim_uncreated($1, $2)", t.UntilTid, few).Scan(&objects)
			}); err != nil {
				return err
			}
			t.Whiteouts += objects
			zoids = zoids[len(few):]
			speed.took(time.Since(start))
		}
	}
	return nil
}

// transactions removes those that no revision names, a week later.
func (t *trimming) transactions(ctx context.Context) error {
	speed := &pace{firstTrim, maxBatch, longestLock}
	for last := new(int64); last != nil && !t.dry; {
		if t.Stopped() {
			return fault.Interrupted
		}
		var removed int64
		after, start := *last, time.Now()
		if err := t.Retry(ctx, "remove transactions", func() error {
			return t.Conn.QueryRow(ctx, "SELECT removed, last_tid FROM relpack.trim_transactions($1, $2)", t.atMost(speed.batch), after).Scan(&removed, &last)
		}); err != nil {
			return err
		}
		speed.took(time.Since(start))
		t.Transactions += removed
	}
	// A dry run tells which would go now.
	if err := t.Conn.QueryRow(ctx, `SELECT (SELECT emptied FROM relpack.storage), CASE WHEN $1 THEN relpack.trim_due($3) ELSE $2 END,
		oldest.tid, relpack.tid_to_time(oldest.tid) FROM relpack.oldest_kept() AS oldest (tid)`,
		t.dry, t.Transactions, t.UntilTid).Scan(&t.Emptied, &t.Transactions, &t.oldest, &t.Oldest); err != nil {
		return fmt.Errorf("look what is left of the history: %w", err)
	}
	return nil
}

// removeFiles removes the files of blobs whose revisions are gone, be it since an earlier
// run, once nobody can read them.
func (t *trimming) removeFiles(ctx context.Context) (err error) {
	if t.dry {
		return t.wouldRemove(ctx)
	}
	if _, err := t.blobs.Survey(ctx, 0); err != nil {
		return err
	}
	t.files, err = t.blobs.Remove(ctx, t.report.Deleted.Objects+t.Whiteouts, 0)
	return err
}

// wouldRemove counts what removeFiles would remove: nothing where it would be refused.
func (t *trimming) wouldRemove(ctx context.Context) error {
	g := t.report.WouldGo
	g.Add(t.going)
	if _, err := t.blobs.Survey(ctx, g.Files); err != nil {
		g.Files, g.Bytes = 0, 0
		return err
	}
	err := t.pack.wouldRemove(ctx)
	t.files.Missing = t.report.BlobFiles.Missing
	if err != nil || g.Files == 0 {
		return err
	}
	g.Wait, err = t.blobs.WouldWait(ctx)
	return err
}
