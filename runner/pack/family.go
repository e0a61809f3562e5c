package pack

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"relpack/runner/fault"
	"relpack/runner/inventory"
	"relpack/runner/session"
	"relpack/runner/target"
)

// A Family is the storages of one configuration file. Objects of one may refer
// to objects of another, which look like garbage there. So all of them are
// brought up to date before the first one deletes, and each is told which others
// refer to it.
type Family struct {
	members  []*member
	gathered bool
}

// A member is one storage of a family.
type member struct {
	target target.Target
	pack   *pack  // begun when the family was gathered; nil: not begun
	err    error  // why it could not be brought up to date
	apart  error  // it shares a blob directory, or is the same database as one that keeps its garbage
	done   bool   // packed, or refused
	twin   bool   // an earlier member is the same database
	origin string // of its database; "": nobody could be asked
	refs   *foreignRefs
}

// foreignRefs are what a storage refers to in other databases.
type foreignRefs struct {
	origin     string // of the storage
	databases  []inventory.ForeignCount
	unreadable int64         // objects that may refer to any of them
	at         time.Time     // before it was read
	open       time.Duration // since when a transaction was open then
}

// NewFamily is that of a configuration file, which may be none.
func NewFamily(file *target.File) *Family {
	f := &Family{}
	if file != nil {
		for _, t := range file.Targets {
			f.members = append(f.members, &member{target: t})
		}
	}
	return f
}

// refusal is why nothing may be deleted from a member.
func (m *member) refusal() error {
	if m.apart != nil {
		return m.apart
	}
	return m.target.Packable()
}

// others are the storages in PostgreSQL beside this one.
func (f *Family) others(t target.Target) []*member {
	var others []*member
	for _, m := range f.members {
		if !m.target.Foreign && !m.twin && m.target.Name != t.Name {
			others = append(others, m)
		}
	}
	return others
}

func (f *Family) member(t target.Target) *member {
	for _, m := range f.members {
		if m.target.Name == t.Name {
			return m
		}
	}
	return nil
}

// gather brings all storages up to date: once, which may take long, and then
// again, so that what is known of all of them is of about the same time. A
// reference that moved from one to another in between is found in either.
func (f *Family) gather(ctx context.Context, o Options, log *slog.Logger) error {
	f.gathered = true
	f.recognize(ctx, log)
	f.keepApart()
	for _, do := range []func(*pack, context.Context) error{(*pack).start, (*pack).refresh} {
		for _, m := range f.members {
			if m.target.Foreign || m.err != nil {
				continue
			}
			if m.pack == nil {
				m.pack = newPack(f, m.target, o, log.With("storage", m.target.Name))
			}
			m.err = fault.Explain(m.pack.locked(ctx, func() error { return do(m.pack, ctx) }))
			if fault.ExitCode(m.err) == fault.ExitInterrupted {
				return m.err
			}
		}
	}
	return nil
}

// recognize finds members that are the same database, which is packed once: what
// refers to it by any of their names refers to it. Who can't be asked is refused
// later on.
func (f *Family) recognize(ctx context.Context, log *slog.Logger) {
	known := map[string]*member{}
	for _, m := range f.members {
		if m.target.Foreign {
			continue
		}
		origin, err := session.Origin(ctx, m.target, "pack", log)
		if err != nil {
			continue
		}
		m.origin = origin
		first := known[origin]
		if first == nil {
			known[origin] = m
			continue
		}
		m.twin = true
		if m.target.KeepsGarbage && !first.target.KeepsGarbage {
			first.apart = fault.Refuse("Name it once, or say it of both", "%s is the same database, and says pack-gc false", m.target.Name)
		}
		first.target.Called = first.target.Called || m.target.Called
		m.err = fault.Refuse("Name it once", "%s is the same database as %s: it is packed once, as the latter", m.target.Name, first.target.Name)
		for _, name := range m.target.Names {
			if !slices.Contains(first.target.Names, name) {
				first.target.Names = append(slices.Clone(first.target.Names), name)
			}
		}
	}
}

// keepApart refuses members that share a blob directory with another database,
// or with what may be one. What such members refer to is read nevertheless.
func (f *Family) keepApart() {
	for _, m := range f.members {
		if m.refusal() != nil {
			continue // as it is
		}
		for _, other := range m.target.SameBlobDir() {
			if m.origin == "" || m.origin != f.member(other).origin {
				m.apart = m.target.RefuseApart(other)
				break
			}
		}
	}
}

// start enters the run and brings the graph up to date, however long that takes.
func (p *pack) start(ctx context.Context) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	if p.family.member(p.Target).refusal() == nil && !p.report.DryRun {
		if err := p.noteUnread(ctx, p.Conn); err != nil {
			return errors.Join(err, p.end(ctx, err))
		}
	}
	p.beginHistory(p.report.DryRun)
	_, err := p.Lower(ctx)
	if err == nil {
		err = p.bringUpToDate(ctx)
	}
	if err == nil {
		err = p.Lowest(ctx) // a build may have been half done
	}
	if err != nil {
		return errors.Join(err, p.end(ctx, err))
	}
	return nil
}

// refresh brings the graph up to date once more and reads what it refers to
// elsewhere.
func (p *pack) refresh(ctx context.Context) error {
	refs := &foreignRefs{at: time.Now()}
	err := p.openSince(ctx, refs)
	if err == nil {
		err = p.CatchUp(ctx)
	}
	var mended error // ends this storage's run
	if err == nil {
		_, p.report.Audit, mended = p.mendDifference(ctx)
		err = p.Lowest(ctx)
	}
	if err == nil {
		err = p.readForeign(ctx, refs)
	}
	if err == nil {
		p.family.member(p.Target).refs = refs
		err = mended
	}
	if err != nil {
		return errors.Join(err, p.end(ctx, err))
	}
	if err := p.family.member(p.Target).refusal(); err != nil {
		return p.end(ctx, err)
	}
	return nil
}

// take hands out the pack of a storage that was begun when the family was
// gathered, and why it ended then already; nil where it is alone. A second pack
// of the same storage gathers the family again.
func (f *Family) take(ctx context.Context, p *pack) (*pack, error) {
	m := f.member(p.job.Target)
	if m == nil {
		return nil, nil
	}
	if len(f.others(p.job.Target)) == 0 {
		f.keepApart()
		return nil, m.refusal()
	}
	if m.done {
		f.gathered = false
		for _, m := range f.members {
			*m = member{target: m.target}
		}
	}
	m.done = true
	if !f.gathered {
		if err := f.gather(ctx, p.options, p.job.Log); err != nil {
			return p, err
		}
	}
	if m.err == nil {
		return m.pack, m.refusal()
	}
	return m.pack, m.err
}
