package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"relpack/runner/blobs"
	"relpack/runner/fault"
	"relpack/runner/graph"
	"relpack/runner/inventory"
	"relpack/runner/job"
	"relpack/runner/look"
	"relpack/runner/progress"
	"relpack/runner/schema"
	"relpack/runner/target"
)

// Options say how to verify.
type Options struct {
	Repair     bool   // mend what is found
	Version    string // relpack's own, for the report
	Migrations fs.FS  // what the schema must be
	Progress   progress.Meter

	RangeBlocks int64 // read in one transaction; 0: as many as a first build. Tests want several ranges.
	MaxEvents   int64 // 0: the constant. Tests want few.
}

// nodesAtOnce is how many nodes are looked up in one transaction.
const nodesAtOnce = 50_000

// maxEvents is how many reported writes may wait for the next pack: for each
// thing that differs, verify has to look whether it is one of them.
const maxEvents = 1_000_000

// verification is one run on one storage, or a part of a pack.
type verification struct {
	*graph.Comparison
	repair     bool
	forPack    bool // a pack looks for the blob directory itself
	maxEvents  int64
	report     *Report
	dir        *blobs.Dir // nil where it isn't known
	filesFound int64      // of live blobs, by the pass at work
	migrations fs.FS
}

// Run compares all that the graph says with what is stored, trusted or not:
// every object's tid, its class and its references as decoded again, and the
// graph with itself. It changes nothing unless it is to repair. Objects that
// the site changes in the meantime are left aside: the next pack looks at them. When
// something is off, or still off after a repair, the error carries
// ExitRefused. The report is never nil.
func Run(ctx context.Context, t target.Target, o Options, log *slog.Logger) (*Report, error) {
	j, seen := job.New(t, log, o.Progress, nil), &graph.Seen{}
	v := &verification{repair: o.Repair, maxEvents: o.MaxEvents, migrations: o.Migrations, report: &Report{Storage: t.Name, Repair: o.Repair, Version: o.Version, Started: time.Now(),
		Findings: []graph.Finding{}, Mended: []graph.Finding{}}}
	if v.maxEvents == 0 {
		v.maxEvents = maxEvents
	}
	err := fault.Explain(v.run(ctx, j, seen, o))
	if err != nil && (ctx.Err() != nil || fault.ExitCode(err) == fault.ExitInterrupted) {
		err = fault.Interrupted
		if !v.repair {
			err = errInterrupted
		}
	}
	v.report.Phases, v.report.Scanned = j.Phases, seen.Scanned.Count()
	v.report.finish(err)
	return v.report, err
}

// What a repair did stays done.
var errInterrupted = &fault.Error{Code: fault.ExitInterrupted, Err: errors.New("interrupted"),
	Hint: "Nothing was changed; the next verification starts over"}

// run takes the pack lock and verifies.
func (v *verification) run(ctx context.Context, j *job.Job, seen *graph.Seen, o Options) error {
	if err := j.Target.Packable(); err != nil {
		return err
	}
	dir, err := blobs.Open(j.Target.BlobDir)
	if err != nil {
		return err
	}
	if v.dir = dir; dir != nil {
		defer func() { _ = dir.Close() }()
	}
	p, release, err := graph.Open(ctx, j, seen, "verify", o.Migrations)
	if err != nil {
		return err
	}
	defer release(ctx)
	v.Comparison = &graph.Comparison{Packer: p, Step: o.RangeBlocks}
	return v.all(ctx)
}

// Repair mends the graph of a pack that found it to be wrong, as a verification
// with repair does. It returns what it found and mended; all of the storage is
// verified then. It looks for no blob.
func Repair(ctx context.Context, p *graph.Packer) ([]graph.Finding, error) {
	v := &verification{forPack: true, Comparison: &graph.Comparison{Packer: p}, maxEvents: maxEvents, report: &Report{}}
	var began time.Time
	if err := v.Conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&began); err != nil {
		return nil, fmt.Errorf("ask for the time: %w", err)
	}
	if err := v.fewEvents(ctx); err != nil {
		return nil, err
	}
	found, err := v.pass(ctx, true)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(found, func(f graph.Finding) bool { return f.Kind == graph.OutOfForce }) {
		return nil, off(found, "")
	}
	if err := v.mend(ctx); err != nil {
		return nil, err
	}
	// All was read since then, or mended.
	return found, v.whole(ctx, began, nil)
}

func (v *verification) all(ctx context.Context) error {
	var state string
	if err := v.Conn.QueryRow(ctx, "SELECT coalesce((SELECT graph FROM relpack.storage), 'none')").Scan(&state); err != nil {
		return fmt.Errorf("read relpack.storage: %w", err)
	}
	switch state {
	case "current", "doubtful":
	case "reshaping":
		return fault.Refuse(`Run "relpack pack --dry-run"`, "a pack was interrupted while it chose new parents for all objects: there is nothing to verify")
	default:
		return fault.Refuse(schema.BuildFirst(v.Target), "%s: there is nothing to verify", schema.NotBuilt)
	}
	if err := v.fewEvents(ctx); err != nil {
		return err
	}
	found, err := v.compare(ctx, v.repair)
	if err != nil {
		return err
	}
	if !v.repair || !toMend(found) {
		return off(found, `"relpack verify --repair" mends it`)
	}
	if err := v.mend(ctx); err != nil {
		return err
	}
	v.report.Findings = []graph.Finding{}
	v.report.Mended = slices.DeleteFunc(found, func(f graph.Finding) bool { return f.Severity == "damage" })
	if found, err = v.compare(ctx, false); err != nil {
		return err
	}
	return off(found, `"relpack pack --init" builds the graph again`)
}

// compare is a pass whose findings are the report's.
func (v *verification) compare(ctx context.Context, mark bool) ([]graph.Finding, error) {
	var began time.Time
	if err := v.Conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&began); err != nil {
		return nil, fmt.Errorf("ask for the time: %w", err)
	}
	v.report.Findings = []graph.Finding{}
	found, err := v.pass(ctx, mark)
	if err != nil {
		return nil, err
	}
	v.report.Findings = found
	if err := v.notJudged(ctx); err != nil {
		return nil, err
	}
	if mark && toMend(found) {
		return found, nil // what is right then will be compared again
	}
	return found, v.whole(ctx, began, found)
}

// notJudged counts what was left to the next pack: after a TRUNCATE all may have changed.
func (v *verification) notJudged(ctx context.Context) error {
	if err := v.Looking(ctx, func() error {
		return v.Conn.QueryRow(ctx, `SELECT greatest(
			(SELECT count(*) FROM relpack.unapplied()),
			CASE WHEN EXISTS (SELECT FROM relpack.write_event WHERE kind = 'truncated') THEN (SELECT objects FROM relpack.storage) END)`).
			Scan(&v.report.NotJudged)
	}); err != nil {
		return fmt.Errorf("count what was not judged: %w", err)
	}
	return nil
}

// whole notes that the graph is right everywhere, if it is.
func (v *verification) whole(ctx context.Context, began time.Time, found []graph.Finding) error {
	if slices.ContainsFunc(found, func(f graph.Finding) bool { return f.Severity == "error" }) {
		return nil
	}
	if _, err := v.Conn.Exec(ctx, "SELECT relpack.audit_whole($1)", began); err != nil {
		return fmt.Errorf("note that everything is verified: %w", err)
	}
	return nil
}

// fewEvents refuses a storage of which so much was written again that a pack has
// to come first.
func (v *verification) fewEvents(ctx context.Context) error {
	var many bool
	if err := v.Conn.QueryRow(ctx, "SELECT count(*) > $1 FROM (SELECT FROM relpack.write_event LIMIT $1 + 1) AS few", v.maxEvents).Scan(&many); err != nil {
		return fmt.Errorf("read relpack.write_event: %w", err)
	}
	if many {
		return fault.Refuse(`Run "relpack pack --dry-run" first`, "more than %d restored or deleted objects wait for the next pack", v.maxEvents)
	}
	return nil
}

// pass compares everything once. With mark, objects that differ go to
// relpack.pending, as if they had been written.
func (v *verification) pass(ctx context.Context, mark bool) ([]graph.Finding, error) {
	v.Mark = mark
	for _, part := range []struct {
		name string
		do   func(context.Context) error
	}{{"states", v.AllStates}, {"nodes", v.nodes}, {"current", v.current}, {"graph", v.graph}, {"empty states", v.empty}, {"blobs", v.blobs}} {
		if err := v.Phase(part.name, func() error { return part.do(ctx) }); err != nil {
			return nil, err
		}
	}
	found, err := v.InWords(ctx)
	for i, f := range found {
		if f.Kind == "blob_without_file" && v.filesFound == 0 {
			found[i].Remedy = fmt.Sprintf("Mount %s, or name the right blob directory: it holds the file of no live blob", v.dir.Path)
		}
	}
	return found, err
}

// nodes finds those whose object is not stored, and dangling references.
func (v *verification) nodes(ctx context.Context) error {
	for after := int64(-1); ; {
		var last, dangling *int64
		var missing, danglingZoids []int64
		if err := v.Looking(ctx, func() error {
			return v.Conn.QueryRow(ctx, "SELECT last, missing, dangling, dangling_zoids FROM relpack.verify_nodes($1, $2)", after, nodesAtOnce).
				Scan(&last, &missing, &dangling, &danglingZoids)
		}); err != nil {
			return fmt.Errorf("look the nodes of the graph up in the storage: %w", err)
		}
		v.Findings.Add("other_than_stored", int64(len(missing)), missing)
		if dangling != nil {
			v.Findings.Add("dangling", *dangling, danglingZoids)
		}
		if err := v.Pend(ctx, v.Conn, missing); err != nil {
			return err
		}
		if last == nil {
			return v.missing(ctx, dangling != nil)
		}
		after = *last
	}
}

// current finds objects of a history-preserving storage that no client can load.
func (v *verification) current(ctx context.Context) error {
	for after := new(int64(-1)); v.History && after != nil; {
		var zoids []int64
		if err := v.Looking(ctx, func() error {
			return v.Conn.QueryRow(ctx, "SELECT last, zoids FROM relpack.uncurrent($1, $2)", *after, nodesAtOnce).Scan(&after, &zoids)
		}); err != nil {
			return fmt.Errorf("look for objects without a current revision: %w", err)
		}
		v.Findings.Add("uncurrent", int64(len(zoids)), zoids)
	}
	return nil
}

// missing finds what the graph knows to have vanished, once it is settled
// whether a live object refers to it.
func (v *verification) missing(ctx context.Context, settled bool) error {
	damage, err := inventory.ReadDamage(ctx, v.Conn)
	if err != nil || !settled {
		return err
	}
	var zoids []int64
	for _, lost := range damage.Missing {
		zoids = append(zoids, lost.Zoid)
	}
	v.Findings.Add("missing", damage.MissingCount, zoids)
	return nil
}

// empty finds live objects of a history-preserving storage that have no state, and that
// others refer to in the revision that is loaded: the graph does not tell it from old ones.
func (v *verification) empty(ctx context.Context) error {
	if !v.History || v.forPack {
		return nil
	}
	var some bool
	if err := v.Conn.QueryRow(ctx, `SELECT relpack.being_changed() IS NULL AND EXISTS (
		SELECT FROM relpack.problem JOIN relpack.object ON object.zoid = problem.zoid WHERE problem.kind = 'empty' AND object.parent IS NOT NULL)`).
		Scan(&some); err != nil {
		return fmt.Errorf("read relpack.problem: %w", err)
	}
	if !some {
		return nil
	}
	g, err := look.Open(ctx, v.Target, "verify", v.migrations, look.Limits{}, nil, v.Log)
	if err != nil {
		return err
	}
	defer g.Close()
	_, err = g.EachProblem(ctx, func(p look.Problem) error {
		if p.Kind == "empty" {
			v.Findings.Add("empty", 1, []int64{p.Zoid})
		}
		return nil
	})
	return g.Explain(err)
}

// graph checks the graph against itself, and what protects it.
func (v *verification) graph(ctx context.Context) error {
	rows, err := v.Conn.Query(ctx, "SELECT kind, objects, zoids FROM relpack.verify_graph()")
	if err != nil {
		return fmt.Errorf("check the graph: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var kind string
		var objects int64
		var zoids []int64
		if err := rows.Scan(&kind, &objects, &zoids); err != nil {
			return fmt.Errorf("check the graph: %w", err)
		}
		v.Findings.Add(kind, objects, zoids)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("check the graph: %w", err)
	}
	if err := v.Conn.QueryRow(ctx, "SELECT objects, inrefs FROM relpack.storage").
		Scan(&v.report.Objects, &v.report.References); err != nil {
		return fmt.Errorf("read relpack.storage: %w", err)
	}
	return v.Looking(ctx, func() error {
		doubt, err := v.AskDoubt(ctx)
		if doubt != "" {
			v.Findings.Add("doubt", 0, nil)
		}
		return err
	})
}

// mend brings the graph up to what is stored, where it differed too, and makes
// its tree one again.
func (v *verification) mend(ctx context.Context) error {
	// A walk that a crash interrupted comes first, as in a pack.
	if err := v.Phase("reach", func() error { return v.Reach(ctx) }); err != nil {
		return err
	}
	if err := v.Update(ctx); err != nil {
		return err
	}
	if err := v.Phase("mend", func() error {
		_, err := v.Conn.Exec(ctx, "SELECT relpack.verify_mend()")
		return err
	}); err != nil {
		return fmt.Errorf("mend the graph: %w", err)
	}
	return v.Phase("reach", func() error { return v.Reach(ctx) })
}
