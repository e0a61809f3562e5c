package pack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"relpack/runner/blobs"
	"relpack/runner/fault"
	"relpack/runner/figures"
	"relpack/runner/graph"
	"relpack/runner/inventory"
	"relpack/runner/job"
	"relpack/runner/progress"
	"relpack/runner/session"
	"relpack/runner/target"
)

// Options say how to pack.
type Options struct {
	Init          bool    // forget the graph and build it again
	AcceptMissing []int64 // zoids of missing objects to give up
	Days          float64 // grace; negative: up to the last commit
	DryRun        bool    // everything but the deletion
	Version       string  // relpack's own, for the history
	Migrations    fs.FS   // what the schema must be
	Progress      progress.Meter
	Stop          <-chan struct{} // closed: stop between two batches
	Printed       bool            // the report is: what it warns of is not logged besides

	RangeBlocks int // of a first build; 0: the server's default. Tests want several ranges.
}

// pack is one run on one storage. What it works with is there while it holds the
// pack lock.
type pack struct {
	*graph.Packer          // nil while the pack lock is not held
	job           *job.Job // its job and what it has seen, in all of its sessions
	seen          graph.Seen
	family        *Family
	options       Options
	run           int64 // relpack.run.id
	report        *Report
	blobs         *blobs.Remover // from when the storage is up to date
	history       *trimming      // of a history-preserving storage
	noted         bool           // what refers to the storage is written down there
}

// Run finds and deletes what can't be reached in one storage. The report is
// never nil: it says what was done until an error. The other storages of its
// configuration file are brought up to date before; who packs several of them has
// that done once, by a Family.
func Run(ctx context.Context, t target.Target, o Options, log *slog.Logger) (*Report, error) {
	return NewFamily(t.File).Pack(ctx, t, o, log)
}

// Pack is that of one of the storages. The first call brings all of them up to
// date, which may refer to each other.
func (f *Family) Pack(ctx context.Context, t target.Target, o Options, log *slog.Logger) (*Report, error) {
	p := newPack(f, t, o, log)
	if trims, err := p.trimmable(ctx); trims || err != nil {
		if err == nil {
			err = p.trimAll(ctx)
		}
		err = fault.Explain(err)
		p.finish(err)
		return p.report, err
	}
	begun, err := f.take(ctx, p)
	switch {
	case t.Packable() != nil && fault.ExitCode(err) != fault.ExitInterrupted:
		err = t.Packable()
	case begun != nil:
		p = begun
		p.job.Log = log
	}
	if err == nil {
		err = fault.Explain(p.all(ctx))
	}
	p.finish(err)
	return p.report, err
}

// trimAll is a pack of a history-preserving storage with pack-gc false.
func (p *pack) trimAll(ctx context.Context) (err error) {
	if len(p.options.AcceptMissing) > 0 {
		return fault.Refuse("Leave it out", "--accept-missing: a storage whose garbage stays has no graph that objects could be missing from")
	}
	for _, note := range p.job.Target.Notes {
		p.job.Log.Info(note)
	}
	dir, err := blobs.OpenToPack(p.job.Target.BlobDir)
	if err != nil {
		return err
	}
	if dir != nil {
		defer func() { _ = dir.Close() }()
	}
	var release func(context.Context)
	if p.Packer, release, err = graph.OpenHistory(ctx, p.job, &p.seen, "pack", p.options.Migrations); err != nil {
		return err
	}
	defer release(ctx)
	if err := p.begin(ctx); err != nil {
		return err
	}
	p.blobs = &blobs.Remover{Packer: p.Packer, Dir: dir, Run: p.run, Days: p.options.Days}
	r := p.report
	t, err := p.trim(ctx, r.DryRun)
	r.LargeObjects = t.large
	r.Trimmed, r.PackTime, r.HeldBy, r.MissingIndex, r.BlobFiles = &t.Trimmed, t.packTime, t.heldBy, t.missingIndex, t.files
	if !r.DryRun {
		r.Deleted.Objects = t.Whiteouts
	}
	p.sayNoBlobDir()
	if p.Conn.IsClosed() {
		return err
	}
	return errors.Join(err, p.endTrim(ctx, t), p.end(ctx, err))
}

func newPack(f *Family, t target.Target, o Options, log *slog.Logger) *pack {
	return &pack{job: job.New(t, log, o.Progress, o.Stop), family: f, options: o, report: &Report{
		Storage: t.Name, Days: o.Days, DryRun: o.DryRun || t.PrepackOnly, Version: o.Version, Started: time.Now(),
		Warnings: append([]string{}, t.Warnings...), OtherDatabases: noOthers(), Survey: noSurvey(), Choice: noChoice(),
		Leftovers: []inventory.Leftover{}, WouldGo: wouldGo(o.DryRun || t.PrepackOnly), inDatabase: t.BlobsInDatabase}}
}

// wouldGo is what a dry run counts.
func wouldGo(dry bool) *blobs.Going {
	if dry {
		return &blobs.Going{}
	}
	return nil
}

func (p *pack) all(ctx context.Context) error {
	if len(p.options.AcceptMissing) > 0 && p.report.DryRun {
		return fault.Refuse(`Ask "relpack why ZOID" what would be garbage then`, "a dry run can't give up missing objects, because that is permanent")
	}
	for _, note := range p.job.Target.Notes {
		p.job.Log.Info(note)
	}
	dir, err := blobs.OpenToPack(p.job.Target.BlobDir)
	if err != nil {
		return err
	}
	if dir != nil {
		defer func() { _ = dir.Close() }()
	}
	return p.locked(ctx, func() error {
		if p.run == 0 { // else the family was gathered
			if err := p.begin(ctx); err != nil {
				return err
			}
		}
		p.blobs = &blobs.Remover{Packer: p.Packer, Dir: dir, Run: p.run, Days: p.options.Days}
		err := p.work(ctx)
		if t := p.history; t != nil {
			r := p.report
			r.LargeObjects.Join(t.large)
			r.Trimmed, r.HeldBy, r.MissingIndex, r.BlobFiles = &t.Trimmed, t.heldBy, t.missingIndex, t.files
			if !p.Conn.IsClosed() {
				err = errors.Join(err, p.endTrim(ctx, t))
			}
		}
		p.sayNoBlobDir()
		ended := p.end(ctx, err)
		if err != nil && p.Conn.IsClosed() {
			return err // says why
		}
		return errors.Join(err, ended)
	})
}

// locked works with the pack lock held.
func (p *pack) locked(ctx context.Context, work func() error) (err error) {
	var release func(context.Context)
	if p.Packer, release, err = graph.Open(ctx, p.job, &p.seen, "pack", p.options.Migrations); err != nil {
		return err
	}
	defer release(ctx)
	p.RangeBlocks = p.options.RangeBlocks
	return work()
}

// work is the run itself, with the pack lock held.
func (p *pack) work(ctx context.Context) error {
	p.beginHistory(p.report.DryRun)
	if err := p.trimFirst(ctx); err != nil {
		return err
	}
	if err := p.bringUpToDate(ctx); err != nil {
		return err
	}
	if accepted, err := p.AcceptMissing(ctx, p.options.AcceptMissing); err != nil {
		return err
	} else if accepted {
		if err := p.CatchUp(ctx); err != nil {
			return err
		}
	}
	if p.Scanned.Count().Objects > 0 && !p.report.FirstBuild {
		if err := p.Phase("reach", func() error { return p.KeepShallow(ctx) }); err != nil {
			return err
		}
	}
	p.sayNotMissing()
	if err := p.toPackTime(ctx); err != nil {
		return err
	}
	due, audited, err := p.mendDifference(ctx)
	p.report.Audit = audited
	if err != nil {
		return err
	}
	if p.report.OtherDatabases, err = p.noteReferrers(ctx); err != nil {
		return err
	}
	mended, err := p.unlessHeld(ctx, p.removeGarbage(ctx))
	p.report.Mended = append(p.report.Mended, mended...)
	// What is refused may be so because the graph is wrong.
	if err != nil && (fault.ExitCode(err) != fault.ExitRefused || p.Conn.IsClosed() || len(p.report.Mended) > 0) {
		return err
	}
	if due == 0 {
		return err
	}
	var auditErr error
	p.report.Audit, auditErr = p.audit(ctx, due, p.report.Audit)
	if err == nil || fault.ExitCode(auditErr) == fault.ExitRefused {
		return auditErr
	}
	return err
}

// removeGarbage chooses and deletes.
func (p *pack) removeGarbage(ctx context.Context) error {
	if err := p.UnlessRewritten(ctx, func() error { return p.find(ctx) }); err != nil {
		return p.trimmedOnly(ctx, err)
	}
	switch {
	case !p.History:
		if err := p.surveyBlobs(ctx); err != nil {
			return err
		}
	case p.blobs.Dir == nil: // who trims has looked for the index
		if _, err := p.blobs.Survey(ctx, p.report.Choice.blobs); err != nil {
			return err
		}
	}
	var going blobs.Going
	p.report.Content, going = p.content(ctx, p.report.Unreachable, p.report.Choice, p.report.DryRun)
	if p.report.WouldGo != nil {
		p.report.WouldGo.Add(going)
	}
	p.report.inDatabase = p.blobs.InDatabase()
	var err error
	if p.report.Leftovers, err = inventory.ReadLeftovers(ctx, p.Conn, 1_000_000); err != nil {
		return err
	}
	if p.report.DryRun {
		refused := p.unreferred(ctx, p.report.Choice)
		p.report.refused = refused != nil
		err := errors.Join(p.lookBack(ctx), refused)
		if p.History {
			return errors.Join(err, p.endHistory(ctx))
		}
		return errors.Join(err, p.wouldRemove(ctx))
	}
	if p.report.Chosen.Objects > 0 && !p.Stopped() {
		p.report.Mended, err = p.prove(ctx)
	}
	if err == nil {
		err = p.Phase("sweep", func() (err error) {
			p.report.Deletion, err = p.sweep(ctx, p.report.Choice)
			return err
		})
	}
	if p.report.Deleted.Objects == p.report.Chosen.Objects {
		p.report.LargeObjects.Join(blobs.LargeObjects{Removed: going.LargeObjects, Bytes: going.LargeObjectBytes, NotRead: going.NotRead})
	}
	if err == nil && (p.report.Deleted.Objects > 0 || p.History) {
		err = p.refsLeft(ctx)
	}
	// Files of what is deleted can go even when the rest can't.
	switch {
	case ctx.Err() != nil || p.Stopped() || p.Conn.IsClosed():
	case p.History:
		err = errors.Join(err, p.endHistory(ctx))
	default:
		err = errors.Join(err, p.Phase("blobs", func() error { return p.removeBlobs(ctx) }))
	}
	if err != nil {
		return err
	}
	if err := p.Phase("vacuum", func() error { return p.vacuum(ctx, p.report.Deleted.Objects) }); err != nil {
		return err
	}
	return p.lookBack(ctx)
}

// find counts what is unreachable and chooses what may be deleted.
func (p *pack) find(ctx context.Context) error {
	return p.Phase("choose", func() error {
		packTime, err := p.runsPackTime(ctx)
		p.report.PackTime = packTime
		if err != nil {
			return err
		}
		if p.report.Survey, err = p.survey(ctx); err != nil {
			return err
		}
		if p.report.Unreachable.Objects == 0 {
			p.sayBlocked(p.report.Survey)
		}
		p.report.Choice, err = p.choose(ctx, p.report.Unreachable, packTime, p.report.FirstBuild)
		if err == nil && p.report.Chosen.Objects == 0 && p.report.GraceBegan == nil {
			p.sayUnread(p.report.ReferredBy)
		}
		return err
	})
}

// lookBack tells what can't be deleted.
func (p *pack) lookBack(ctx context.Context) (err error) {
	if p.report.Unreachable.Objects > 0 {
		if p.report.Held, err = p.held(ctx); err != nil {
			return err
		}
	}
	return p.report.setAside()
}

// bringUpToDate builds the graph if need be, and follows what was written.
func (p *pack) bringUpToDate(ctx context.Context) error {
	// In this order: a walk that a crash interrupted must be finished before
	// other changes are applied.
	built, err := p.Build(ctx, p.options.Init, p.options.AcceptMissing)
	p.report.FirstBuild = p.report.FirstBuild || built
	if err != nil {
		return err
	}
	p.options.Init = false
	if err := p.Phase("reach", func() error { return p.Reach(ctx) }); err != nil {
		return err
	}
	if p.History && !p.report.FirstBuild && len(p.family.others(p.Target)) == 0 {
		return p.trimBeforeReading(ctx)
	}
	return p.CatchUp(ctx)
}

// sayNoBlobDir tells of a configuration without which files stay, with --quiet and in a
// dry run: after another pack the report counts them.
func (p *pack) sayNoBlobDir() {
	text := p.job.Target.NoBlobDir()
	if text == "" || (!p.blobs.Unplaced() && p.report.BlobFiles.Waiting == 0) {
		return
	}
	p.say(slog.LevelError, text)
	if p.report.DryRun {
		p.report.Warnings = append(p.report.Warnings, text)
	}
}

// dry tells whether nothing is to be deleted.
func (p *pack) dry() bool { return p.report.DryRun }

// unreferred refuses what a sweep would refuse, where there is none.
func (p *pack) unreferred(ctx context.Context, c Choice) error {
	if c.Chosen.Objects == 0 && c.GraceBegan == nil {
		return nil
	}
	return p.withUnread(ctx, func(db session.Querier) error {
		return db.QueryRow(ctx, "SELECT relpack.require_unreferred()").Scan(nil)
	})
}

// begin enters the run into the history.
func (p *pack) begin(ctx context.Context) error {
	err := p.Conn.QueryRow(ctx, "SELECT relpack.run_begin($1, $2)",
		p.options.Days, p.options.Version).Scan(&p.run)
	if err != nil {
		return fmt.Errorf("enter the run into relpack.run: %w", err)
	}
	return nil
}

// end completes the run's entry, even when the context is done for.
func (p *pack) end(ctx context.Context, failed error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if p.Conn.IsClosed() {
		return nil
	}
	message := ""
	if failed != nil {
		message = fault.Message(failed)
	}
	r := p.report
	_, err := p.Conn.Exec(ctx, "SELECT relpack.run_end($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)", p.run, r.outcome(failed), message, p.Scanned.Count().Objects, r.Unreachable.Objects,
		r.Deleted.Objects, r.Deleted.Bytes, r.BlobFiles.Files, r.BlobFiles.Bytes, r.LargeObjects.Removed, r.LargeObjects.Bytes, r.CutOff.JSON())
	if err != nil {
		return fmt.Errorf("complete the entry in relpack.run: %w", err)
	}
	return nil
}

// finish completes the report.
func (p *pack) finish(err error) {
	r := p.report
	r.Seconds = time.Since(r.Started).Seconds()
	r.Phases, r.Scanned, r.Doubt, r.Compared = p.job.Phases, p.seen.Scanned.Count(), p.seen.Doubt, p.seen.Compared
	r.PeakMemory = figures.PeakMemory()
	r.ExitCode = fault.ExitCode(err)
	r.Outcome = r.outcome(err)
	if err != nil {
		r.Error = fault.Message(err)
	}
}

// surveyBlobs finds out where blobs are, before any go.
func (p *pack) surveyBlobs(ctx context.Context) (err error) {
	p.report.MissingIndex, err = p.blobs.Survey(ctx, p.report.Choice.blobs)
	if p.report.MissingIndex != "" {
		p.say(slog.LevelWarn, inventory.SlowWithoutIndex+p.report.MissingIndex)
	}
	return err
}

// wouldRemove counts files of blobs that were deleted before.
func (p *pack) wouldRemove(ctx context.Context) error {
	due, missing, err := p.blobs.Due(ctx)
	p.report.WouldGo.Add(due)
	p.report.BlobFiles.Missing = missing
	return err
}

// removeBlobs removes the files of deleted blobs.
func (p *pack) removeBlobs(ctx context.Context) (err error) {
	p.report.BlobFiles, err = p.blobs.Remove(ctx, p.report.Deleted.Objects, p.report.Blobs)
	return err
}

// sayNotMissing tells which objects were to be given up and are not missing.
func (p *pack) sayNotMissing() {
	done := map[int64]bool{}
	for _, zoid := range p.Accepted {
		done[zoid] = true
	}
	for _, zoid := range p.options.AcceptMissing {
		if !done[zoid] {
			p.Log.Warn(fmt.Sprintf("zoid %d is not missing: nothing to accept", zoid))
		}
	}
}
