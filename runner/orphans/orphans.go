package orphans

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
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
	Remove     bool      // superseded revisions, and old temporary files
	Claim      bool      // somebody says that no other storage and no copy uses the directory: Remove needs it
	Gone       bool      // with Remove: files of objects that are gone, too; somebody says that no such row will be put back
	GivenUp    int64     // with Gone: so many objects that are not stored, though others refer to them, are given up
	Days       float64   // superseded or written since then, a file may be needed; not negative
	Max        int       // of each kind so many are named
	Now        time.Time // by which files have an age; zero: the earlier of this machine's time and the server's
	Version    string    // relpack's own, for the report
	Migrations fs.FS     // what the schema must be
	Progress   progress.Meter
	Stop       <-chan struct{} // closed: stop between two files
}

// temporaryFor is how long a temporary file may be somebody's who is at work.
const temporaryFor = 24 * time.Hour

// leastGrace is what --days is at least: a clock may be behind, or an asynchronous
// standby that takes over. relpack.blobs_orphaned has it too.
const leastGrace = time.Hour

// maxSuspects is how many files may be of votes in flight, and as many of them later than all
// that was stored.
const maxSuspects = 1_000

// judgedAtOnce is how many files are judged by one call.
const judgedAtOnce = 5_000

// named is how many live blobs without a file, and large objects, are named.
const named = 10

// A look is one at one storage.
type look struct {
	*job.Job
	options Options
	report  *Report
	lacking int64 // revisions of live blobs without a file
	conn    *pgx.Conn
	history bool // whether the storage is a history-preserving one
	dir     *blobdir.Dir
	files   map[string]*Kind
	mark    mark
	notOwn  string // whose mark it is instead
	unknown string // why nobody knows which blobs are alive

	now    time.Time // by which files have an age
	until  int64     // tid: superseded or written later is within the grace
	judged []blobdir.Entry
	// suspects tell of somebody else, unless they are of a vote in flight; maxSuspects at most.
	suspects  []blobdir.Entry
	above     above
	elsewhere int64 // live blobs whose file lies in the other layout only
	left      int64 // the earliest since of what was superseded, and stays

	removal *removal // nil: nothing is to be removed
	listed  listed
}

// Storage looks at one storage. The report is never nil.
func Storage(ctx context.Context, t target.Target, o Options, log *slog.Logger) (*Report, error) {
	l := &look{Job: job.New(t, log, o.Progress, o.Stop), options: o, report: newReport(t.Name, o), files: map[string]*Kind{}, left: math.MaxInt64}
	for i := range l.report.Files {
		l.files[l.report.Files[i].Kind] = &l.report.Files[i]
	}
	err := fault.Explain(l.all(ctx))
	l.report.Phases = l.Phases
	l.report.finish(err)
	return l.report, err
}

func (l *look) all(ctx context.Context) (err error) {
	if err := l.Target.Migratable(); err != nil {
		return err
	}
	if l.options.Remove {
		if err := l.packable(); err != nil {
			return err
		}
		if err := l.alone(); err != nil {
			return err
		}
	}
	if l.Target.BlobDir != "" {
		opened, err := blobs.Open(l.Target.BlobDir)
		if err != nil {
			return err
		}
		l.dir = opened.Dir
		defer func() { _ = l.dir.Close() }()
		l.report.Directory, l.report.Layout = l.Target.BlobDir, string(l.dir.Layout())
		if l.mark, err = readMark(l.dir); err != nil {
			return err
		}
	}
	if l.options.Remove && l.dir != nil {
		return l.remove(ctx)
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
	if l.history = d.KeepsHistory(); !l.history {
		if err := l.packable(); err != nil {
			return err
		}
	}
	err = l.lookOnly(ctx)
	var server *pgconn.PgError
	if errors.As(err, &server) && server.Code == "42501" { // insufficient_privilege
		return d.MayNotLook("got " + server.Message)
	}
	return err
}

// packable refuses what has no graph.
func (l *look) packable() error {
	err := l.Target.Packable()
	if refused, ok := errors.AsType[*fault.Error](err); ok && l.Target.KeepsGarbage && l.Target.Migratable() == nil {
		return &fault.Error{Code: refused.Code, Err: refused.Err, Hint: "So there is no graph, and nothing says which blobs are alive"}
	}
	return err
}

// whyNone says why there is no directory. Nothing can be removed then.
func (l *look) whyNone(ctx context.Context) error {
	place, err := blobs.Where(ctx, l.conn, l.Target.BlobsInDatabase)
	if err != nil {
		return err
	}
	here := l.Target.BlobsInDatabase || place.Here && !place.Elsewhere
	l.report.WithoutRow = place.Lacking
	l.report.None = "not known. " + blobs.NameDir(l.Target)
	switch {
	case here:
		l.report.None = "blobs are in the database: there are no files to look for"
		if l.options.Remove {
			return fault.Refuse("", "nothing can be removed: %s", l.report.None)
		}
	case l.options.Remove:
		return fault.Refuse(blobs.NameDir(l.Target), "nothing can be removed: the blob directory is not known")
	}
	return nil
}

// lookOnly lists for a role that may only look.
func (l *look) lookOnly(ctx context.Context) error {
	if l.dir == nil {
		if err := l.whyNone(ctx); err != nil {
			return err
		}
	}
	if err := l.conn.QueryRow(ctx, "SELECT relpack.time_to_tid(now() - make_interval(secs => $1::float8))", l.grace().Seconds()).
		Scan(&l.until); err != nil {
		return fmt.Errorf("determine the grace: %w", err)
	}
	return l.list(ctx)
}

// tellTime decides by which time files have an age. A clock that is ahead would let
// go what somebody is writing.
func (l *look) tellTime(ctx context.Context) error {
	if l.now = l.options.Now; !l.now.IsZero() {
		return nil
	}
	if err := l.conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&l.now); err != nil {
		return fmt.Errorf("ask for the time: %w", err)
	}
	if here := time.Now(); here.Before(l.now) {
		l.now = here
	}
	return nil
}

// list reads the directory, and what the database has besides.
func (l *look) list(ctx context.Context) error {
	if err := l.tellTime(ctx); err != nil {
		return err
	}
	if l.dir != nil {
		if err := l.compareMark(ctx); err != nil {
			return err
		}
		if err := l.Phase("blobs", func() error { return l.findMissing(ctx) }); err != nil {
			return err
		}
		if err := l.Phase("files", func() error { return l.listFiles(ctx) }); err != nil {
			return err
		}
		if l.history && l.report.Missing < 0 {
			// Where garbage stays there is no graph: each row is needed.
			l.report.Found = l.files["stored"].Files.Files
		}
		l.doubt()
	}
	return l.Phase("large objects", func() error { return l.listLargeObjects(ctx) })
}

const later = "there are files later than what is stored: an older backup was restored, this is a copy, or another storage uses the directory"

// doubt says why what looks like an orphan may be needed.
func (l *look) doubt() {
	r := l.report
	switch {
	case l.notOwn != "":
		r.Doubt = l.notOwn
	case l.unknown != "":
		r.Doubt = l.unknown
	case l.lacking > 0 && r.Found == 0:
		r.Doubt = "it holds the file of no live blob: it is the wrong directory, or not mounted"
	case r.Found == 0:
		r.Doubt = "no file of a live blob shows that the directory is this storage's"
	case l.files["nested"].Files.Files > 0:
		r.Doubt = "another blob directory lies within it"
	case l.files["foreign"].Files.Files+l.files["beyond"].Files.Files > 0:
		r.Doubt = "another storage uses this directory: it has files of objects that are no blobs here, or of object ids that were never given out"
	case l.files["newer"].Files.Files > 0:
		r.Doubt = later
	case l.files["arrived"].Files.Files > 0:
		r.Doubt = "files came back that nobody needed when it was last cleared: another storage uses the directory, or a backup was copied there"
	}
}

func (l *look) listFiles(ctx context.Context) error {
	l.Progress.Phase("list blob files", "files", 0)
	defer l.Progress.End()
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
		case blobdir.Nested:
			l.found("nested", e)
		case blobdir.Temporary:
			if !e.Time.Before(l.day()) {
				l.found("fresh", e)
				return nil
			}
			l.found("temporary", e)
			return l.orphan(e, "temporary", 0)
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

// findMissing looks for the file of each live blob, as far as it is known which
// are alive.
func (l *look) findMissing(ctx context.Context) error {
	var why string
	if err := l.conn.QueryRow(ctx, `SELECT coalesce(relpack.being_changed(),
		(SELECT 'the graph may not match the storage' FROM relpack.storage WHERE graph <> 'current'), '')`).Scan(&why); err != nil {
		return err
	}
	switch {
	case why != "" && l.history:
		return nil // each row needs its file
	case why == schema.NotBuilt:
		l.unknown = why + ". " + schema.BuildFirst(l.Target)
		return nil
	case why != "":
		l.unknown = why + `. Run "relpack pack --dry-run"`
		return nil
	}
	const nodes = 50_000
	l.report.Missing = 0
	counted := int64(-1) // the last blob without a file
	for after := int64(-1); ; {
		var last *int64
		var zoids, tids []int64
		if err := l.conn.QueryRow(ctx, "SELECT last, zoids, tids FROM relpack.verify_blobs($1, $2)", after, nodes).
			Scan(&last, &zoids, &tids); err != nil {
			return fmt.Errorf("look for the files of blobs: %w", err)
		}
		for i, zoid := range zoids {
			file, known, err := l.file(zoid, tids[i])
			if err != nil {
				return err
			}
			switch {
			case !known:
				l.report.NotKnown++
			case file == nil:
				if l.lacking++; counted == zoid {
					continue
				}
				counted = zoid
				if i > 0 && zoids[i-1] == zoid {
					l.report.MissingOlder++
				} else {
					l.report.Missing++
				}
				if len(l.report.FirstMissing) < named {
					l.report.FirstMissing = append(l.report.FirstMissing, zoid)
				}
			case file.Size == 0:
				l.report.EmptyFile++
			default:
				l.report.Found++
				if file.Layout != l.dir.Layout() {
					l.elsewhere++
				}
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
