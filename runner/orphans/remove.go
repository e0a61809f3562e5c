package orphans

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"relpack/runner/blobdir"
	"relpack/runner/blobs"
	"relpack/runner/fault"
	"relpack/runner/figures"
	"relpack/runner/graph"
)

// Files go in small groups, while no writer is in flight: so long does a group hold
// up a commit at most, but for the one file that it is at.
const (
	groupFiles    = 50
	groupDeadline = 50 * time.Millisecond
)

// maxSkipped is after how many files that can't be removed nothing more is tried.
const maxSkipped = 100

// silence is for how long the server lets a session keep the writers' lock without a
// word (relpack.blobs_orphaned).
const silence = 2 * time.Second

// A removal is what goes, and the session that lets it go.
type removal struct {
	*graph.Packer
	release func(context.Context)
	orphans *spool
	skipped int
	heard   time.Time // the server was there, and the writers' lock held
}

// alone refuses a directory that is not known, or that another section of the file
// uses as well: both have blobs of the same oids. What is not to be deleted stays.
// That nobody else uses it a person says: no row and no file tells of a copy of the
// database that only reads.
func (l *look) alone() error {
	if l.Target.BlobDir == "" {
		return nil // whyNone says it
	}
	if l.Target.PrepackOnly {
		return fault.Refuse("Without --remove they are listed", "nothing can be removed: pack-prepack-only is true")
	}
	if !l.options.Claim {
		return fault.Refuse(`If that is so, add --claim. It holds for this run only`,
			"nothing was removed: say first that no other storage, and no copy of this database, uses the blob directory %s", l.Target.BlobDir)
	}
	if users := l.Target.BlobDirUsers(); len(users) > 0 {
		return fault.Refuse("Give each storage a blob-dir of its own; a copy will do",
			"nothing can be removed: the blob directory %s is named by %s, too, or one lies within the other", l.Target.BlobDir, strings.Join(users, ", "))
	}
	return nil
}

// remove lists with the pack lock held, and removes what nobody needs.
func (l *look) remove(ctx context.Context) error {
	p, release, err := graph.Open(ctx, l.Job, &graph.Seen{}, "blobs", l.options.Migrations)
	if err != nil {
		return err
	}
	r := &removal{Packer: p, release: release}
	defer func() { r.release(ctx) }()
	l.conn, l.history = p.Conn, p.History
	if err := l.requireOwn(ctx); err != nil {
		return err
	}
	// What is referred to is known then, where a row has vanished.
	if err := l.Phase("reach", func() error { return p.Reach(ctx) }); err != nil {
		return err
	}
	if err := p.CatchUp(ctx); err != nil {
		return err
	}
	if l.options.Gone {
		if err := l.othersRead(ctx); err != nil {
			return err
		}
		if err := l.noneMissing(ctx, p); err != nil {
			return err
		}
	}
	if _, err := l.conn.Exec(ctx, "SELECT relpack.require_settled()"); err != nil {
		return err
	}
	packTime, err := p.PackTime(ctx, l.grace().Hours()/24)
	if err != nil {
		return err
	}
	if err := l.conn.QueryRow(ctx, "SELECT relpack.grace_cap($1)", packTime).Scan(&l.until); err != nil {
		return fmt.Errorf("look for open transactions: %w", err)
	}
	if r.orphans, err = newSpool(); err != nil {
		return err
	}
	defer r.orphans.close()
	l.removal = r
	if err := l.list(ctx); err != nil {
		return err
	}
	if err := l.trusted(); err != nil {
		return err
	}
	if l.report.Orphans.Files+l.suspected()+l.above.count == 0 {
		return l.setMark(ctx, l.cleared())
	}
	if err := l.Phase("wait", func() error { return l.outlast(ctx, p) }); err != nil {
		return err
	}
	if err := l.alibi(ctx); err != nil {
		return err
	}
	if err := l.setMark(ctx, l.mark.Cleared); err != nil {
		return err
	}
	if err := l.Phase("remove", func() error { return l.removeOrphans(ctx) }); err != nil {
		return err
	}
	return l.setMark(ctx, l.cleared())
}

// othersRead refuses where another storage of the file may refer to what is gone, and
// nobody has looked lately.
func (l *look) othersRead(ctx context.Context) error {
	if l.Target.File == nil {
		return nil
	}
	var names []string
	for _, t := range l.Target.File.Targets {
		if !t.Foreign && t.Name != l.Target.Name {
			names = append(names, t.Name)
		}
	}
	var unread string
	err := l.conn.QueryRow(ctx, `SELECT coalesce(string_agg(other.holder, ', ' ORDER BY other.holder), '')
		FROM unnest($1::text[]) AS other (holder)
		WHERE NOT EXISTS (SELECT FROM relpack.referred_by AS known WHERE known.holder = other.holder AND known.looked > now() - interval '1 day')`, names).
		Scan(&unread)
	if err != nil {
		return fmt.Errorf("read relpack.referred_by: %w", err)
	}
	if unread == "" {
		return nil
	}
	return fault.Refuse(`Nothing was removed. Run "relpack pack --dry-run" with the whole file first, which reads all of them`,
		"--gone: other storages of the file may refer to what is gone, and were not read within a day: %s", unread)
}

// maxCatchUps bounds how often changes are captured again, beside an application that
// writes.
const maxCatchUps = 20

// noneMissing refuses where rows are known to be lost. An object that was captured is read
// as it is by then: it may refer to what was stored later, which only another capture shows.
func (l *look) noneMissing(ctx context.Context, p *graph.Packer) error {
	if err := p.Lowest(ctx); err != nil {
		return err
	}
	for tries := 1; ; tries++ {
		_, refused := l.conn.Exec(ctx, "SELECT relpack.require_none_missing($1)", l.options.GivenUp)
		var stored bool
		if err := l.conn.QueryRow(ctx, `SELECT EXISTS (
				SELECT FROM relpack.dangling WHERE EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = dangling.zoid OFFSET 0))`).Scan(&stored); err != nil {
			return errors.Join(refused, fmt.Errorf("look whether what is missing was stored: %w", err))
		}
		if refused == nil || !stored || tries == maxCatchUps {
			return refused
		}
		if err := p.CatchUp(ctx); err != nil {
			return err
		}
	}
}

// cleared is up to which tid no revision is left that a later one superseded. Those of a
// history are superseded long before they go.
func (l *look) cleared() int64 {
	if l.history {
		return l.mark.Cleared
	}
	return max(l.mark.Cleared, min(l.until, l.left-1))
}

// listed is a row of relpack.blobs_listed, after all files were judged.
type listed struct {
	At      time.Time
	Version *string
}

// trusted refuses a directory that is not this storage's, or not all there.
func (l *look) trusted() error {
	const hint = "Nothing was removed. Mount it, or name the right one; \"relpack check\" names blobs without a file"
	r := l.report
	all := r.Found + l.lacking + r.EmptyFile + r.NotKnown
	switch {
	case r.Missing < 0:
		return fault.Refuse(`Nothing was removed. Run "relpack pack --dry-run"`, "it is not known which blobs are alive")
	case r.Found == 0:
		return fault.Refuse(hint, "blob directory %s: %s", l.Target.BlobDir, r.Doubt)
	case 10*r.Found < 9*all:
		return fault.Refuse(hint, "blob directory %s: it holds the files of %d of %s (%d empty, %d behind symbolic links)",
			l.Target.BlobDir, r.Found, figures.Plural(all, "revision")+" of live blobs", r.EmptyFile, r.NotKnown)
	case l.files["nested"].Files.Files > 0:
		return fault.Refuse("Nothing was removed. Move it elsewhere", "blob directory %s: %s", l.Target.BlobDir, r.Doubt)
	}
	return nil
}

// alibi refuses where files tell of somebody else who writes there. Those of a vote in
// flight are stored by now, or gone: RelStorage holds its transaction open from before
// they have their names until it is committed.
func (l *look) alibi(ctx context.Context) error {
	first, count := "", l.suspected()
	if count < maxSuspects {
		var err error
		if first, count, err = l.judgeAgain(ctx, l.suspects); err != nil {
			return err
		}
	} else {
		first = l.suspects[0].Path
	}
	if count == 0 {
		var err error
		if first, count, err = l.overtaken(ctx); err != nil {
			return err
		}
	}
	if count == 0 {
		l.report.Doubt = ""
		return nil
	}
	if l.report.Doubt == "" {
		l.report.Doubt = later
	}
	return fault.Refuse("Nothing was removed. Find out whose they are: another storage's, a copy's, a restored backup's, or left by a client that was killed. "+
		"What nobody needs move out of the directory, then run relpack again",
		"blob directory %s: %s can't be this database's (%s): %s", l.Target.BlobDir, figures.Plural(count, "file"), printable(first), l.report.Doubt)
}

// judgeAgain counts those files that tell of somebody else still.
func (l *look) judgeAgain(ctx context.Context, files []blobdir.Entry, innocent ...string) (first string, count int64, err error) {
	innocent = append(innocent, "stored", "superseded", "unjudged", "listed")
	for batch := range slices.Chunk(files, judgedAtOnce) {
		verdicts, err := l.ask(ctx, batch)
		if err != nil {
			return "", 0, err
		}
		for _, e := range batch {
			if slices.Contains(innocent, verdicts[[2]int64{e.Zoid, e.Tid}].Verdict) {
				continue
			}
			file, known, err := l.file(e.Zoid, e.Tid)
			if err != nil {
				return "", 0, err
			}
			if file == nil && known {
				continue
			}
			if count++; first == "" {
				first = e.Path
			}
		}
	}
	return first, count, nil
}

// suspected is how many files tell of somebody else.
func (l *look) suspected() (count int64) {
	for _, kind := range []string{"newer", "foreign", "beyond", "arrived"} {
		count += l.files[kind].Files.Files
	}
	return count
}

// above are files later than all that was stored. Where an older backup was restored, they
// are of the later time, which another backup may bring back: they stay. They are no reason
// not to remove others. Tids are times: as long as the restored site has written nothing,
// what is superseded was so before the two parted, for both. Once it writes, these files are
// no longer later than all, and tell of somebody else.
type above struct {
	count  int64
	some   []blobdir.Entry // maxSuspects at most
	lowest blobdir.Entry
}

func (a *above) add(e blobdir.Entry) {
	if a.count++; len(a.some) < maxSuspects {
		a.some = append(a.some, e)
	}
	if a.count == 1 || e.Tid < a.lowest.Tid {
		a.lowest = e
	}
}

// overtaken judges again what was later than all that was stored. As long as that holds of
// the lowest, it holds of all.
func (l *look) overtaken(ctx context.Context) (first string, count int64, err error) {
	if l.above.count == 0 {
		return "", 0, nil
	}
	verdicts, err := l.ask(ctx, []blobdir.Entry{l.above.lowest})
	if err != nil || verdicts[[2]int64{l.above.lowest.Zoid, l.above.lowest.Tid}].Verdict == "above" {
		return "", 0, err
	}
	if l.above.count > int64(len(l.above.some)) {
		l.report.Doubt = later
		return "", 0, fault.Refuse("Nothing was removed. Run relpack again",
			"blob directory %s: %s were later than all that was stored, and somebody has written since: they are too many to be judged once more",
			l.Target.BlobDir, figures.Plural(l.above.count, "file"))
	}
	return l.judgeAgain(ctx, l.above.some, "above")
}

// outlast waits until nobody has a transaction open that began before all was listed:
// it may read what was stored then. What superseded is durable afterwards.
func (l *look) outlast(ctx context.Context, p *graph.Packer) error {
	if err := l.conn.QueryRow(ctx, "SELECT listed, version FROM relpack.blobs_listed()").Scan(&l.listed.At, &l.listed.Version); err != nil {
		return fmt.Errorf("ask for the time: %w", err)
	}
	reader := func(ctx context.Context) string {
		var oldest *string
		if err := l.conn.QueryRow(ctx, "SELECT relpack.oldest_client()").Scan(&oldest); err != nil || oldest == nil {
			return "an open transaction may still read them"
		}
		return "an open transaction may still read them: " + *oldest
	}
	if err := p.Await(ctx, "before blob files are removed", reader, func() (over bool, err error) {
		err = l.conn.QueryRow(ctx, "SELECT coalesce(relpack.grace_oldest_transaction() > $1, true)", l.listed.At).Scan(&over)
		return over, err
	}); err != nil {
		return err
	}
	why, err := blobs.CommitDurably(ctx, p, "SELECT relpack.commit_durably($1, id, deleted) FROM relpack.run ORDER BY id DESC LIMIT 1", p.PID)
	if err == nil && why != "" {
		err = &fault.Error{Code: fault.ExitFailure, Err: errors.New("nothing was removed: " + why), Hint: "Run relpack again when the standby is back"}
	}
	return err
}
