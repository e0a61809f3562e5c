package orphans

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

// judge asks the server about some files.
func (l *look) judge(ctx context.Context) error {
	verdicts, err := l.ask(ctx, l.judged)
	if err != nil {
		return err
	}
	for _, e := range l.judged {
		if err := l.classify(e, verdicts[[2]int64{e.Zoid, e.Tid}]); err != nil {
			return err
		}
	}
	l.judged = l.judged[:0]
	return nil
}

// ask returns verdicts by zoid and tid.
func (l *look) ask(ctx context.Context, files []blobdir.Entry) (map[[2]int64]verdict, error) {
	verdicts := make(map[[2]int64]verdict, len(files))
	if len(files) == 0 {
		return verdicts, nil
	}
	zoids, tids := make([]int64, len(files)), make([]int64, len(files))
	for i, e := range files {
		zoids[i], tids[i] = e.Zoid, e.Tid
	}
	err := l.Persist(ctx, l.conn, "judge blob files", func() (bool, error) {
		rows, err := session.Rows(ctx, l.conn, pgx.RowToStructByPos[verdict],
			"SELECT zoid, tid, verdict, since FROM relpack.blobs_judge($1, $2, $3)", zoids, tids, l.mark.Cleared)
		for _, v := range rows {
			verdicts[[2]int64{v.Zoid, v.Tid}] = v
		}
		return err == nil, err
	})
	return verdicts, err
}

// A verdict is a row of relpack.blobs_judge.
type verdict struct {
	Zoid, Tid int64
	Verdict   string
	Since     int64
}

func (l *look) classify(e blobdir.Entry, v verdict) error {
	kind := v.Verdict
	if kind == "arrived" && e.Time.Before(l.mark.Removed.Add(-leastGrace)) {
		kind = "superseded" // it lay there then: its row had vanished, or was of an earlier tid
	}
	switch {
	case kind == "stored" && e.Layout != l.dir.Layout():
		twin, err := l.duplicate(e, v.Since)
		if err != nil {
			return err
		}
		kind = "other_layout"
		if twin {
			kind = "duplicate"
		}
	case kind != "superseded" && kind != "unnamed" && kind != "gone":
	case v.Since > l.until || !e.Time.Before(l.graceBegan()) || kind == "gone" && !e.Time.Before(l.day()):
		kind = "young"
	case kind != "gone":
		beside, err := l.superseded(e, v.Since)
		if err != nil {
			return err
		}
		if beside != "superseded" {
			kind = beside
		}
	}
	l.found(kind, e)
	switch kind {
	case "newer", "foreign", "beyond", "arrived":
		if len(l.suspects) < maxSuspects {
			l.suspects = append(l.suspects, e)
		}
	case "above":
		l.above.add(e)
	case "young", "last_copy", "behind_link", "replaced", "unjudged":
		if v.Since != e.Tid { // a later revision superseded it
			l.left = min(l.left, v.Since)
		}
	case "superseded", "unnamed", "duplicate":
		return l.orphan(e, kind, v.Since)
	case "gone":
		if l.options.Gone {
			return l.orphan(e, kind, v.Since)
		}
	}
	return nil
}

// superseded is what to say of a file that a later revision supersedes: that one's own
// must lie beside it, which shows that directory and database belong together for this
// blob, and not have come just now, whatever its tid says. An empty file may be what is
// left of it after a power failure; of what is behind a link nothing is known.
func (l *look) superseded(e blobdir.Entry, by int64) (kind string, err error) {
	file, known, err := l.file(e.Zoid, by)
	switch {
	case err != nil:
		return "", err
	case !known:
		return "behind_link", nil
	case file == nil || file.Layout != e.Layout || file.Size == 0 && e.Size > 0:
		return "last_copy", nil
	case !file.Time.Before(l.graceBegan()):
		return "young", nil
	}
	return "superseded", nil
}

// duplicate tells whether the file of a stored revision lies where the directory's layout
// has it, too, of the same length, and for longer than the grace. The marker is believed
// if nine of ten live blobs lie in the layout that it names.
func (l *look) duplicate(e blobdir.Entry, stored int64) (bool, error) {
	if l.report.Missing < 0 || 10*(l.report.Found-l.elsewhere) < 9*l.report.Found || stored > l.until || !e.Time.Before(l.graceBegan()) {
		return false, nil
	}
	twin, err := l.dir.Twin(e)
	if errors.Is(err, blobdir.ErrLink) {
		return false, nil
	}
	if err != nil {
		return false, &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("blob directory: %w", err)}
	}
	return twin != nil && twin.Size == e.Size && twin.Time.Before(l.graceBegan()), nil
}

// file looks for the file of a revision, nil if there is none; it is not known whether
// there is one if a link is in the way.
func (l *look) file(zoid, tid int64) (file *blobdir.Found, known bool, err error) {
	file, err = l.dir.Look(zoid, tid)
	if err != nil && !errors.Is(err, blobdir.ErrLink) {
		return nil, false, &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("blob directory: %w", err)}
	}
	return file, err == nil, nil
}

// orphan is a file that nobody needs, and why.
func (l *look) orphan(e blobdir.Entry, kind string, since int64) error {
	if l.removal == nil {
		return nil
	}
	return l.removal.orphans.add(doomed{e, kind, since})
}

// graceBegan is since when a file is within the grace.
func (l *look) graceBegan() time.Time {
	return l.now.Add(-l.grace())
}

func (l *look) grace() time.Duration {
	return max(leastGrace, time.Duration(l.options.Days*float64(24*time.Hour)))
}

// day is since when a temporary file may be somebody's, and a file without a row one that
// is restored before its row is.
func (l *look) day() time.Time { return l.now.Add(-max(temporaryFor, l.grace())) }

func (l *look) found(kind string, e blobdir.Entry) {
	k := l.files[kind]
	k.add(e.Size)
	if k.Orphan {
		l.report.Orphans.add(e.Size)
	}
	if len(k.First) < l.options.Max && kind != "stored" {
		k.First = append(k.First, e.Path)
	}
}
