package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/figures"
	"relpack/runner/progress"
	"relpack/runner/schema"
	"relpack/runner/session"
	"relpack/runner/target"
)

// PackOptions say how to pack.
type PackOptions struct {
	Init          bool    // forget the graph and build it again
	AcceptMissing []int64 // zoids of missing objects to give up
	Days          float64 // grace; negative: up to the last commit
	DryRun        bool    // everything but the deletion
	Version       string  // relpack's own, for the history
	Migrations    fs.FS   // what the schema must be
	Progress      progress.Meter
	Stop          <-chan struct{} // closed: stop between two batches

	rangeBlocks int // of a first build; 0: the server's default. Tests want several ranges.
}

// pack is one run on one storage.
type pack struct {
	target   target.Target
	family   *Family
	options  PackOptions
	log      *slog.Logger
	progress progress.Meter
	conn     *pgx.Conn // holds the pack lock
	packer   uint32    // its process id, at the server
	run      int64     // relpack.run.id
	report   *Report
	accepted []int64 // missing objects that were given up
	counts   struct{ scanned, scannedBytes atomic.Int64 }

	blobsInDatabase bool
	nothingListed   bool // in relpack.blob_removal, before the deletion
}

// Pack finds and deletes what can't be reached in one storage. The report is
// never nil: it says what was done until an error. The other storages of its
// configuration file are brought up to date before; who packs several of them has
// that done once, by a Family.
func Pack(ctx context.Context, t target.Target, o PackOptions, log *slog.Logger) (*Report, error) {
	return NewFamily(t.File).Pack(ctx, t, o, log)
}

// Pack is that of one of the storages. The first call brings all of them up to
// date, which may refer to each other.
func (f *Family) Pack(ctx context.Context, t target.Target, o PackOptions, log *slog.Logger) (*Report, error) {
	p := newPack(f, t, o, log)
	begun, err := f.take(ctx, p)
	switch {
	case t.Packable() != nil && fault.ExitCode(err) != fault.ExitInterrupted:
		err = t.Packable()
	case begun != nil:
		p = begun
		p.log = log
	}
	if err == nil {
		err = fault.Explain(p.all(ctx))
	}
	p.report.finish(p, err)
	return p.report, err
}

func newPack(f *Family, t target.Target, o PackOptions, log *slog.Logger) *pack {
	p := &pack{family: f, target: t, options: o, log: log, progress: o.Progress,
		report: &Report{Storage: t.Name, Days: o.Days, DryRun: o.DryRun || t.PrepackOnly, Version: o.Version, Started: time.Now(),
			ByClass: []ClassCount{}, OtherDatabases: noOthers(t), Damage: noDamage(), SetAside: []SetAside{}, Problems: []Problem{}, Leftovers: []Leftover{}, Phases: []figures.Phase{}}}
	if p.progress == nil {
		p.progress = progress.Silent{}
	}
	return p
}

func (p *pack) all(ctx context.Context) error {
	if len(p.options.AcceptMissing) > 0 && p.report.DryRun {
		return fault.Refuse("Pack without --dry-run", "a dry run can't give up missing objects, because that is permanent")
	}
	for _, note := range p.target.Notes {
		p.log.Info(note)
	}
	blobs, err := p.openBlobDir()
	if err != nil {
		return err
	}
	if blobs != nil {
		defer func() { _ = blobs.Close() }()
	}
	return p.locked(ctx, "pack", func() error {
		if p.run == 0 { // else the family was gathered
			if err := p.begin(ctx); err != nil {
				return err
			}
		}
		err := p.work(ctx, blobs)
		ended := p.end(ctx, err)
		if err != nil && p.conn.IsClosed() {
			return err // says why
		}
		return errors.Join(err, ended)
	})
}

// locked opens p.conn and works with the pack lock held.
func (p *pack) locked(ctx context.Context, purpose string, work func() error) (err error) {
	if p.conn, err = p.session(ctx, purpose); err != nil {
		return err
	}
	defer session.Close(p.conn)
	if err := schema.CheckInstalled(ctx, p.conn, p.target, p.options.Migrations); err != nil {
		return err
	}
	if err := schema.CheckMayPack(ctx, p.conn); err != nil {
		return err
	}
	if err := p.lock(ctx); err != nil {
		return err
	}
	defer p.unlock(ctx)
	return work()
}

// work is the run itself, with the pack lock held.
func (p *pack) work(ctx context.Context, blobs *blobFiles) error {
	if err := p.bringUpToDate(ctx); err != nil {
		return err
	}
	if accepted, err := p.acceptMissing(ctx); err != nil {
		return err
	} else if accepted {
		if err := p.catchUp(ctx); err != nil {
			return err
		}
	}
	if p.counts.scanned.Load() > 0 && !p.report.FirstBuild {
		if err := p.phase("reach", func() error { return p.keepShallow(ctx) }); err != nil {
			return err
		}
	}
	p.sayNotMissing()
	due, err := p.mendDifference(ctx)
	if err != nil {
		return err
	}
	if err := p.noteReferrers(ctx); err != nil {
		return err
	}
	err = p.unlessHeld(ctx, p.removeGarbage(ctx, blobs))
	// What is refused may be so because the graph is wrong.
	if err != nil && (fault.ExitCode(err) != fault.ExitRefused || p.conn.IsClosed() || len(p.report.Mended) > 0) {
		return err
	}
	audited := p.audit(ctx, due)
	if err == nil || fault.ExitCode(audited) == fault.ExitRefused {
		return audited
	}
	return err
}

// removeGarbage chooses and deletes.
func (p *pack) removeGarbage(ctx context.Context, blobs *blobFiles) error {
	if err := p.unlessRewritten(ctx, func() error { return p.survey(ctx) }); err != nil {
		return err
	}
	if err := p.surveyBlobs(ctx, blobs); err != nil {
		return err
	}
	if err := p.sayLeftovers(ctx); err != nil {
		return err
	}
	if p.report.DryRun {
		return errors.Join(p.lookBack(ctx), p.unreferred(ctx))
	}
	err := p.prove(ctx)
	if err == nil {
		err = p.phase("sweep", func() error { return p.sweep(ctx) })
	}
	if err == nil {
		err = p.refsLeft(ctx)
	}
	// Files of what is deleted can go even when the rest can't.
	if ctx.Err() == nil && !p.stopped() && !p.conn.IsClosed() {
		err = errors.Join(err, p.phase("blobs", func() error { return p.removeBlobs(ctx, blobs) }))
	}
	if err != nil {
		return err
	}
	if err := p.phase("vacuum", func() error { return p.vacuum(ctx) }); err != nil {
		return err
	}
	return p.lookBack(ctx)
}

// lookBack tells what can't be deleted.
func (p *pack) lookBack(ctx context.Context) error {
	if err := p.sawSetAside(ctx); err != nil {
		return err
	}
	return p.report.setAside()
}

// bringUpToDate builds the graph if need be, and follows what was written.
func (p *pack) bringUpToDate(ctx context.Context) error {
	// In this order: a walk that a crash interrupted must be finished before
	// other changes are applied.
	if err := p.build(ctx); err != nil {
		return err
	}
	p.options.Init = false
	if err := p.phase("reach", func() error { return p.reach(ctx) }); err != nil {
		return err
	}
	return p.catchUp(ctx)
}

// unreferred refuses what a sweep would refuse, where there is none.
func (p *pack) unreferred(ctx context.Context) error {
	if p.report.Chosen.Objects == 0 && p.report.GraceBegan == nil {
		return nil
	}
	_, err := p.conn.Exec(ctx, "SELECT relpack.require_unreferred()")
	return err
}

// session opens one more session on the target.
func (p *pack) session(ctx context.Context, purpose string) (*pgx.Conn, error) {
	return session.Open(ctx, p.target, purpose, p.log)
}

func (p *pack) stopped() bool {
	select {
	case <-p.options.Stop:
		return true
	default:
		return false
	}
}

// phase runs one phase and notes how long it took.
func (p *pack) phase(name string, do func() error) error {
	if p.stopped() {
		return fault.Interrupted
	}
	start := time.Now()
	p.log.Debug("phase " + name)
	err := do()
	p.report.took(name, time.Since(start))
	return err
}

// lock takes the pack lock for the session.
func (p *pack) lock(ctx context.Context) error {
	var got bool
	if err := p.conn.QueryRow(ctx, "SELECT relpack.try_pack_lock(), pg_backend_pid()").Scan(&got, &p.packer); err != nil {
		return fmt.Errorf("take the pack lock: %w", err)
	}
	if got {
		return nil
	}
	return session.Locked(ctx, p.conn)
}

// unlock lets go of the pack lock. The end of the session does so as well, but
// only some time after this process has gone on: to the next pack, maybe.
func (p *pack) unlock(ctx context.Context) {
	if p.conn.IsClosed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_, _ = p.conn.Exec(ctx, "SELECT relpack.release_pack_lock()")
}

// begin enters the run into the history.
func (p *pack) begin(ctx context.Context) error {
	err := p.conn.QueryRow(ctx, "SELECT relpack.run_begin($1, $2)",
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
	if p.conn.IsClosed() {
		return nil
	}
	message := ""
	if failed != nil {
		message = fault.Message(failed)
	}
	r := p.report
	_, err := p.conn.Exec(ctx, "SELECT relpack.run_end($1, $2, $3, $4, $5, $6, $7, $8, $9)", p.run, r.outcome(failed), message, p.counts.scanned.Load(), r.Unreachable.Objects,
		r.Deleted.Objects, r.Deleted.Bytes, r.BlobFiles.Files, r.BlobFiles.Bytes)
	if err != nil {
		return fmt.Errorf("complete the entry in relpack.run: %w", err)
	}
	return nil
}
