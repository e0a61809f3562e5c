package orphans

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/blobdir"
	"relpack/runner/fault"
	"relpack/runner/graph"
	"relpack/runner/job"
	"relpack/runner/progress"
	"relpack/runner/schema"
	"relpack/runner/session"
	"relpack/runner/target"
)

// Options say what to do.
type Options struct {
	Remove     bool    // what nobody needs
	Days       float64 // the grace of what is removed; not negative
	Max        int     // of each kind so many are named
	Version    string  // relpack's own, for the report
	Migrations fs.FS   // what the schema must be
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

	until   int64     // tid: superseded or written later is within the grace
	day     time.Time // a day ago, by this machine's clock, which wrote no file's time
	judged  []blobdir.Entry
	orphans *spool // nil: nothing is to be removed
	skipped int
}

// Storage looks at one storage. The report is never nil.
func Storage(ctx context.Context, t target.Target, o Options, log *slog.Logger) (*Report, error) {
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
	if l.options.Remove && l.Target.BlobDir == "" {
		return fault.Refuse(`It is named by blob-dir with "shared-blob-dir true", or by --blob-dir`,
			"nothing can be removed: the blob directory is not known, or is but a cache of blobs in the database")
	}
	if l.options.Remove {
		if err := l.alone(); err != nil {
			return err
		}
	}
	if l.Target.BlobDir != "" {
		if l.dir, err = blobdir.Open(l.Target.BlobDir); err != nil {
			return &fault.Error{Code: fault.ExitFailure, Err: err, Hint: "Nothing was changed"}
		}
		defer func() { _ = l.dir.Close() }()
		l.report.Directory, l.report.Layout = l.Target.BlobDir, string(l.dir.Layout())
	}
	if l.options.Remove {
		return l.remove(ctx)
	}
	if l.conn, err = l.Session(ctx, "blobs"); err != nil {
		return err
	}
	defer session.Close(l.conn)
	if err := schema.CheckInstalled(ctx, l.conn, l.Target, l.options.Migrations); err != nil {
		return err
	}
	if err := l.conn.QueryRow(ctx, "SELECT relpack.time_to_tid(now() - make_interval(secs => $1::float8 * 86400))", l.options.Days).
		Scan(&l.until); err != nil {
		return fmt.Errorf("determine the grace: %w", err)
	}
	return l.list(ctx)
}

// alone refuses a directory that another storage of the file uses as well: both have
// blobs of the same oids.
func (l *look) alone() error {
	mine, err := os.Stat(l.Target.BlobDir)
	if err != nil || l.Target.File == nil {
		return nil // to open it fails, or there is no other
	}
	for _, other := range l.Target.File.Targets {
		if theirs, err := os.Stat(other.BlobDir); other.Name != l.Target.Name && err == nil && os.SameFile(mine, theirs) {
			return fault.Refuse("Give each storage a blob-dir of its own; a copy will do",
				"nothing can be removed: %s uses the blob directory %s, too", other.Name, l.Target.BlobDir)
		}
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
	if err := l.prove(ctx, p); err != nil {
		return err
	}
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
	if l.orphans, err = newSpool(); err != nil {
		return err
	}
	defer l.orphans.close()
	packTime, err := p.PackTime(ctx, l.options.Days)
	if err != nil {
		return err
	}
	if err := l.conn.QueryRow(ctx, "SELECT relpack.grace_cap($1)", packTime).Scan(&l.until); err != nil {
		return fmt.Errorf("look for open transactions: %w", err)
	}
	if err := l.list(ctx); err != nil {
		return err
	}
	return l.removeOrphans(ctx, p)
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
	}
	return l.Phase("large objects", func() error { return l.listLargeObjects(ctx) })
}

func (l *look) listFiles(ctx context.Context) error {
	l.Progress.Phase("list blob files", "files", 0)
	defer l.Progress.End()
	l.day = time.Now().Add(-temporaryFor)
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
			return l.orphan(e)
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
		l.found(v.Verdict, e)
		return l.orphan(e)
	}
	return nil
}

// graceBegan is since when a file is within the grace, by the clock that wrote it,
// which may not be ours.
func (l *look) graceBegan() time.Time {
	return time.Now().Add(-time.Duration(l.options.Days * float64(24*time.Hour)))
}

func (l *look) found(kind string, e blobdir.Entry) {
	k := l.files[kind]
	k.add(e.Size)
	if len(k.First) < l.options.Max && kind != "stored" {
		k.First = append(k.First, e.Path)
	}
}

// orphan notes a file that nobody needs.
func (l *look) orphan(e blobdir.Entry) error {
	l.report.Orphans.add(e.Size)
	if l.orphans == nil {
		return nil
	}
	return l.orphans.add(e)
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
			if err != nil {
				return &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("blob directory: %w", err)}
			}
			if layout != "" {
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
