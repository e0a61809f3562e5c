package du

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"relpack/runner/fault"
	"relpack/runner/figures"
	"relpack/runner/job"
	"relpack/runner/look"
	"relpack/runner/progress"
	"relpack/runner/target"
)

// Options say what to list.
type Options struct {
	Zoid       int64 // of the object to begin with
	Depth      int   // how many levels below it
	Max        int   // of what is in one, so many are listed
	Sort       Key
	ByClass    bool   // list the classes of what is in it, not the objects
	Version    string // relpack's own, for the report
	Migrations fs.FS  // what the schema must be
	Progress   progress.Meter
	Limits     look.Limits // as a rule none: the defaults
	Pages      int         // in memory; 0: 64 MiB
	// Browse is given what was measured; nil: the report gets a list.
	Browse func(context.Context, *Browser) error
}

// measure is one at work.
type measure struct {
	*job.Job
	options Options
	report  *Report
	forest  *Forest
	history bool // a history-preserving storage
}

// Storage measures one storage. The report is never nil.
func Storage(ctx context.Context, t target.Target, o Options, log *slog.Logger) (*Report, error) {
	began := time.Now()
	m := &measure{Job: job.New(t, log, o.Progress, nil), options: o, report: newReport(t.Name, o), forest: &Forest{}}
	m.forest.rows.limit = max(o.Pages, 2)
	if o.Pages == 0 {
		m.forest.rows.limit = memoryPages
	}
	defer m.forest.rows.close()
	err := m.all(ctx)
	r := m.report
	r.Phases, r.Seconds, r.PeakMemory = m.Phases, time.Since(began).Seconds(), figures.PeakMemory()
	if r.ExitCode = fault.ExitCode(err); err != nil {
		r.Error = fault.Message(err)
	}
	return r, err
}

func (m *measure) all(ctx context.Context) error {
	if m.options.Zoid < 0 {
		return fmt.Errorf("no object has the id %d", m.options.Zoid)
	}
	g, err := look.Open(ctx, m.Target, "du", m.options.Migrations, m.options.Limits, m.Progress, m.Log)
	if err != nil {
		return err
	}
	defer g.Close()
	m.history, m.report.KeepsHistory = g.KeepsHistory(), g.KeepsHistory()
	m.report.UpTo, m.report.Fresh, m.report.Horizon, m.report.Uncertain = g.UpTo, g.Fresh, g.Horizon, g.Uncertain
	if err := m.grow(ctx, g); err != nil {
		return g.Explain(err)
	}
	if m.options.Browse != nil {
		if err := g.Rest(ctx); err != nil {
			return err
		}
		g.Quiet()
		return m.options.Browse(ctx, &Browser{Report: m.report, forest: m.forest, graph: g})
	}
	return g.Explain(m.Phase("list", func() error { return m.list(ctx, g) }))
}

// grow makes the forest.
func (m *measure) grow(ctx context.Context, g *look.Graph) error {
	if err := m.Phase("objects", func() error { return m.readNodes(ctx, g) }); err != nil {
		return err
	}
	if err := g.Pause(ctx, func() error {
		if err := m.Phase("states", func() error { return m.readNamed(ctx) }); err != nil || m.Target.BlobDir == "" {
			return err
		}
		return m.Phase("blobs", func() error { return m.blobFiles(ctx, g) })
	}); err != nil {
		return err
	}
	if m.Target.BlobDir == "" {
		if err := m.blobsInDatabase(ctx, g); err != nil {
			return err
		}
	}
	return m.Phase("folders", func() error {
		if err := m.forest.settle(ctx, g); err != nil {
			return err
		}
		steps := []func(){m.forest.join, m.forest.fold, m.forest.add}
		m.Progress.Phase("add up", "steps", int64(len(steps)))
		defer m.Progress.End()
		for _, step := range steps {
			if step(); ctx.Err() != nil {
				return ctx.Err()
			}
			m.Progress.Add(1)
		}
		return m.forest.rows.err
	})
}

// readNodes reads the live objects, and what refers to them in the tree.
func (m *measure) readNodes(ctx context.Context, g *look.Graph) error {
	objects, table, large, err := g.Count(ctx)
	if err != nil {
		return err
	}
	m.report.Table, m.report.LargeObjects = table, large
	if m.report.Unreachable.Objects, m.report.Unreachable.Bytes, err = g.Unreachable(ctx); err != nil {
		return err
	}
	r := &m.forest.rows
	if all := objects - m.report.Unreachable.Objects; all > int64(r.limit)*pageRows {
		m.Log.Info(fmt.Sprintf("%s: a file of %s in %s", figures.Plural(all, "object"), figures.Size(all*rowBytes), os.TempDir()))
	}
	m.Progress.Phase("read the live objects", "objects", objects)
	defer m.Progress.End()
	labels, err := g.ClassLabels(ctx)
	if err != nil {
		return err
	}
	numbers := map[int32]uint32{}
	if err := g.EachNode(ctx, func(n look.Node) error {
		m.Progress.Add(1)
		class, known := numbers[n.Class]
		if !known {
			class = uint32(len(m.forest.kinds))
			numbers[n.Class] = class
			m.forest.kinds = append(m.forest.kinds, newKind(labels[n.Class]))
			m.forest.kinds[class].blob = n.Class == classBlob
		}
		x := row{zoid: n.Zoid, bytes: n.Parent, named: none, class: class, size: uint32(n.Size), objects: 1}
		if n.Missing {
			x.size, x.objects = 0, 0
		}
		r.add(x)
		return r.err
	}); err != nil {
		return err
	}
	if r.count == 0 || r.get(0).zoid != 0 {
		return &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("the storage has no root object (zoid 0)"), Hint: "Restore object 0 from a backup"}
	}
	for i := range uint32(r.count) {
		in := r.find(r.get(i).bytes)
		if in == none {
			in = 0
		}
		x := r.ref(i)
		x.in, x.bytes = in, int64(x.size)
	}
	return r.err
}
