package orphans

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"relpack/runner/blobdir"
	"relpack/runner/blobs"
	"relpack/runner/fault"
	"relpack/runner/job"
	"relpack/runner/progress"
	"relpack/runner/schema"
	"relpack/runner/session"
	"relpack/runner/target"
)

// Options say what to do.
type Options struct {
	Days       float64   // superseded or written since then, a file may be needed; not negative
	Max        int       // of each kind so many are named
	Now        time.Time // by which files have an age; zero: by this machine's clock
	Version    string    // relpack's own, for the report
	Migrations fs.FS     // what the schema must be
	Progress   progress.Meter
	Stop       <-chan struct{} // closed: stop between two files
}

// temporaryFor is how long a temporary file may be somebody's who is at work.
const temporaryFor = 24 * time.Hour

// judgedAtOnce is how many files are judged by one call.
const judgedAtOnce = 5_000

// named is how many live blobs without a file, and large objects, are named.
const named = 10

// A look is one at one storage.
type look struct {
	*job.Job
	options Options
	report  *Report
	conn    *pgx.Conn
	dir     *blobdir.Dir
	files   map[string]*Kind

	until  int64     // tid: superseded or written later is within the grace
	day    time.Time // a day ago, by this machine's clock, which wrote no file's time
	judged []blobdir.Entry
}

// Storage looks at one storage. The report is never nil.
func Storage(ctx context.Context, t target.Target, o Options, log *slog.Logger) (*Report, error) {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	l := &look{Job: job.New(t, log, o.Progress, o.Stop), options: o, report: newReport(t.Name, o), files: map[string]*Kind{}}
	for i := range l.report.Files {
		l.files[l.report.Files[i].Kind] = &l.report.Files[i]
	}
	err := fault.Explain(l.all(ctx))
	l.report.Phases = l.Phases
	l.report.finish(err)
	return l.report, err
}

func (l *look) all(ctx context.Context) (err error) {
	if err := l.Target.Packable(); err != nil {
		return err
	}
	if l.Target.BlobDir != "" {
		opened, err := blobs.Open(l.Target.BlobDir)
		if err != nil {
			return err
		}
		l.dir = opened.Dir
		defer func() { _ = l.dir.Close() }()
		l.report.Directory, l.report.Layout = l.Target.BlobDir, string(l.dir.Layout())
	}
	switch {
	case l.Target.BlobsInDatabase:
		l.report.None = "none: blobs are in the database"
	case l.Target.BlobDir == "":
		l.report.None = `none is named: blob-dir with "shared-blob-dir true", or --blob-dir`
	}
	if l.conn, err = l.Session(ctx, "blobs"); err != nil {
		return err
	}
	defer session.Close(l.conn)
	d, err := schema.LookAt(ctx, l.conn)
	if err != nil {
		return err
	}
	if err := d.MayRead(ctx, l.conn, l.Target, l.options.Migrations); err != nil {
		return err
	}
	err = l.lookOnly(ctx)
	var server *pgconn.PgError
	if errors.As(err, &server) && server.Code == "42501" { // insufficient_privilege
		return d.MayNotLook("got " + server.Message)
	}
	return err
}

// lookOnly lists for a role that may only look.
func (l *look) lookOnly(ctx context.Context) error {
	if err := l.conn.QueryRow(ctx, "SELECT relpack.time_to_tid(now() - make_interval(secs => $1::float8 * 86400))", l.options.Days).
		Scan(&l.until); err != nil {
		return fmt.Errorf("determine the grace: %w", err)
	}
	return l.list(ctx)
}

// list reads the directory, and what the database has besides.
func (l *look) list(ctx context.Context) error {
	if l.dir != nil {
		if err := l.Phase("files", func() error { return l.listFiles(ctx) }); err != nil {
			return err
		}
		if err := l.Phase("blobs", func() error { return l.findMissing(ctx) }); err != nil {
			return err
		}
		l.doubt()
	}
	return l.Phase("large objects", func() error { return l.listLargeObjects(ctx) })
}

// doubt says why what looks like an orphan may be needed.
func (l *look) doubt() {
	r := l.report
	switch {
	case l.files["foreign"].Files.Files > 0:
		r.Doubt = "another storage uses this directory: it has files of objects that are no blobs here"
	case l.files["newer"].Files.Files+l.files["above"].Files.Files > 0:
		r.Doubt = "there are files later than what is stored: an older backup was restored, this is a copy, or another storage uses the directory"
	case r.Missing > 0 && r.Found == 0:
		r.Doubt = "it holds the file of no live blob: is it the right directory, and mounted?"
	case r.Found == 0:
		r.Doubt = "no file of a live blob shows that the directory is this storage's"
	}
}

func (l *look) listFiles(ctx context.Context) error {
	l.Progress.Phase("list blob files", "files", 0)
	defer l.Progress.End()
	l.day = l.options.Now.Add(-temporaryFor)
	err := l.dir.Walk(func(e blobdir.Entry) error {
		if l.Stopped() {
			return fault.Interrupted
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		l.Progress.Add(1)
		switch e.Kind {
		case blobdir.Other:
			l.found("other", e)
		case blobdir.Temporary:
			if !e.Time.Before(l.day) {
				l.found("fresh", e)
				return nil
			}
			l.found("temporary", e)
		default:
			if l.judged = append(l.judged, e); len(l.judged) == judgedAtOnce {
				return l.judge(ctx)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return l.judge(ctx)
}

// judge asks the server about some files.
func (l *look) judge(ctx context.Context) error {
	if len(l.judged) == 0 {
		return nil
	}
	zoids, tids := make([]int64, len(l.judged)), make([]int64, len(l.judged))
	entries := map[[2]int64][]blobdir.Entry{}
	for i, e := range l.judged {
		zoids[i], tids[i] = e.Zoid, e.Tid
		entries[[2]int64{e.Zoid, e.Tid}] = append(entries[[2]int64{e.Zoid, e.Tid}], e)
	}
	l.judged = l.judged[:0]
	var verdicts []verdict
	if err := l.Persist(ctx, l.conn, "judge blob files", func() (bool, error) {
		var err error
		verdicts, err = session.Rows(ctx, l.conn, pgx.RowToStructByPos[verdict],
			"SELECT zoid, tid, verdict, since FROM relpack.blobs_judge($1, $2)", zoids, tids)
		return err == nil, err
	}); err != nil {
		return err
	}
	for _, v := range verdicts {
		key := [2]int64{v.Zoid, v.Tid}
		for _, e := range entries[key] {
			if err := l.classify(e, v); err != nil {
				return err
			}
		}
		delete(entries, key) // one that lies in both layouts was judged twice
	}
	return nil
}

// A verdict is a row of relpack.blobs_judge.
type verdict struct {
	Zoid, Tid int64
	Verdict   string
	Since     int64
}

func (l *look) classify(e blobdir.Entry, v verdict) error {
	switch {
	case v.Verdict == "stored" && e.Layout != l.dir.Layout():
		l.found("other_layout", e)
	case v.Verdict != "superseded" && v.Verdict != "gone":
		l.found(v.Verdict, e)
	case v.Since > l.until || !e.Time.Before(l.graceBegan()):
		l.found("young", e)
	default:
		return l.orphan(e, v)
	}
	return nil
}

// orphan is a file that nobody needs, unless it is the last one of its blob.
func (l *look) orphan(e blobdir.Entry, v verdict) error {
	if v.Verdict == "superseded" {
		layout, err := l.dir.Find(v.Zoid, v.Since)
		if err != nil && !errors.Is(err, blobdir.ErrLink) {
			return &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("blob directory: %w", err)}
		}
		if layout == "" {
			l.found("last_copy", e)
			return nil
		}
	}
	l.found(v.Verdict, e)
	return nil
}

// graceBegan is since when a file is within the grace.
func (l *look) graceBegan() time.Time {
	return l.options.Now.Add(-time.Duration(l.options.Days * float64(24*time.Hour)))
}

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

// findMissing looks for the file of each live blob, as far as it is known which
// are alive.
func (l *look) findMissing(ctx context.Context) error {
	var known bool
	if err := l.conn.QueryRow(ctx, "SELECT graph = 'current' AND NOT EXISTS (SELECT FROM relpack.suspect) FROM relpack.storage").
		Scan(&known); err != nil || !known {
		return err
	}
	const nodes = 50_000
	l.report.Missing = 0
	for after := int64(-1); ; {
		var last *int64
		var zoids, tids []int64
		if err := l.conn.QueryRow(ctx, "SELECT last, zoids, tids FROM relpack.verify_blobs($1, $2)", after, nodes).
			Scan(&last, &zoids, &tids); err != nil {
			return fmt.Errorf("look for the files of blobs: %w", err)
		}
		for i, zoid := range zoids {
			layout, err := l.dir.Find(zoid, tids[i])
			if errors.Is(err, blobdir.ErrLink) { // the application follows it
				l.report.Found++
				continue
			}
			if err != nil {
				return &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("blob directory: %w", err)}
			}
			if layout != "" {
				l.report.Found++
				continue
			}
			if l.report.Missing++; len(l.report.FirstMissing) < named {
				l.report.FirstMissing = append(l.report.FirstMissing, zoid)
			}
		}
		if last == nil {
			return nil
		}
		after = *last
	}
}

func (l *look) listLargeObjects(ctx context.Context) error {
	r := &l.report.LargeObjects
	var may bool
	if err := l.conn.QueryRow(ctx, `SELECT count(*), coalesce((array_agg(oid::bigint ORDER BY oid))[:$1], '{}'), has_table_privilege('pg_largeobject', 'SELECT')
		FROM relpack.unnamed_large_object() AS unnamed (oid)`, named).Scan(&r.Unnamed, &r.First, &may); err != nil {
		return fmt.Errorf("look for large objects: %w", err)
	}
	if r.Unnamed == 0 || !may {
		return nil
	}
	if err := l.conn.QueryRow(ctx, `SELECT coalesce(sum(length(data)), 0)::bigint
		FROM relpack.unnamed_large_object() AS unnamed (oid) JOIN pg_largeobject ON loid = oid`).Scan(&r.Bytes); err != nil {
		return fmt.Errorf("look for large objects: %w", err)
	}
	return nil
}
