package why

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"

	"relpack/runner/fault"
	"relpack/runner/look"
	"relpack/runner/progress"
	"relpack/runner/target"
	"relpack/runner/zoid"
)

// Options say what to ask.
type Options struct {
	Zoids      []int64
	Without    *int64 // whether they are alive without this one; nil: not asked
	Version    string // relpack's own, for the report
	Migrations fs.FS  // what the schema must be
	Progress   progress.Meter
	Limits     look.Limits // as a rule none: the defaults
}

// How many referrers are named, and how many steps of a chain of garbage.
const (
	firstReferrers = 5
	chainSteps     = 20
)

// Ask answers for one storage. The report is never nil.
func Ask(ctx context.Context, t target.Target, o Options, log *slog.Logger) (*Report, error) {
	report := &Report{Storage: t.Name, Version: o.Version, Objects: []Object{}}
	err := report.fill(ctx, t, o, log)
	if report.ExitCode = fault.ExitCode(err); err != nil {
		report.Error = fault.Message(err)
	}
	return report, err
}

func (r *Report) fill(ctx context.Context, t target.Target, o Options, log *slog.Logger) error {
	g, err := look.Open(ctx, t, "why", o.Migrations, o.Limits, o.Progress, log)
	if err != nil {
		return err
	}
	defer g.Close()
	r.UpTo, r.Fresh, r.Horizon, r.Uncertain = g.UpTo, g.Fresh, g.Horizon, g.Uncertain
	objects, err := g.Objects(ctx, o.Zoids)
	if err != nil {
		return g.Explain(err)
	}
	for _, object := range objects {
		q := question{Graph: g, about: object, place: t, without: o.Without}
		answer, err := q.answer(ctx)
		if err != nil {
			return g.Explain(err)
		}
		r.Objects = append(r.Objects, answer)
	}
	return nil
}

// question is about one object.
type question struct {
	*look.Graph
	about   look.Object
	place   target.Target
	without *int64
}

func (q question) answer(ctx context.Context) (Object, error) {
	about := q.about
	a := Object{Zoid: about.Zoid, Oid: zoid.Hex(about.Zoid), Class: about.Class, Size: about.Size, Written: about.Written}
	var err error
	if a.Referrers, err = q.referrers(ctx); err != nil {
		return a, err
	}
	if !about.Stored() {
		a.Verdict, a.Missing, a.Size = look.NotStored, about.Missing, 0
		if about.Known {
			a.Kept, err = q.kept(ctx)
		}
		return a, err
	}
	if a.Broken, err = q.undecodable(ctx); err != nil {
		return a, err
	}
	if err := q.judge(ctx, &a); err != nil {
		return a, err
	}
	if a.Verdict == look.Alive && a.Broken == "" {
		if a.Broken, err = q.bare(ctx); err != nil {
			return a, err
		}
	}
	switch {
	case a.Verdict != look.Unknown && q.without != nil:
		if a.Without, err = q.askWithout(ctx, a.Verdict); err != nil {
			return a, err
		}
	}
	switch {
	case a.Verdict == look.Unreachable || a.Verdict == look.Unknown && about.Known && a.Way == nil:
		a.Garbage, err = q.garbage(ctx)
	}
	return a, err
}

// judge finds the way, or that there is none.
func (q question) judge(ctx context.Context, a *Object) error {
	verdicts, err := q.Judge(ctx, []look.Object{q.about})
	if err != nil {
		return err
	}
	if a.Verdict = verdicts[0]; a.Verdict == look.Unreachable {
		return nil
	}
	q.Progress().Phase("look for a way from the root", "objects", 0)
	way, err := q.Way(ctx, q.about.Zoid)
	q.Progress().End()
	if err != nil {
		return err
	}
	switch {
	case way.Zoids != nil:
		a.Verdict = look.Alive
		a.Way, err = q.Steps(ctx, way.Zoids)
		a.Name = look.Expression(a.Way)
	case way.Complete && q.Uncertain == "":
		a.Verdict = look.Unreachable
	default:
		a.Verdict, a.Looked = look.Unknown, way.Looked
	}
	return err
}

func (q question) referrers(ctx context.Context) (Referrers, error) {
	found := Referrers{First: []Referrer{}}
	count, first, err := q.ReferrersOf(ctx, q.about.Zoid, firstReferrers)
	if err != nil {
		return found, err
	}
	found.Count = count
	objects, err := q.Objects(ctx, first)
	if err != nil {
		return found, err
	}
	verdicts, err := q.Judge(ctx, objects)
	if err != nil {
		return found, err
	}
	for i, o := range objects {
		name, err := q.NameOf(ctx, o.Zoid, q.about.Zoid)
		if err != nil {
			return found, err
		}
		r := Referrer{Zoid: o.Zoid, Class: o.Class, Verdict: verdicts[i], Name: name}
		if !q.about.Stored() && r.Verdict == look.Alive {
			if r.Full, err = q.fullName(ctx, o.Zoid); err != nil {
				return found, err
			}
			r.Full += name.Name
		}
		found.First = append(found.First, r)
	}
	return found, nil
}

// askWithout looks for a way that avoids an object, and counts what would be
// garbage if there is none. What is unreachable is so without anything.
func (q question) askWithout(ctx context.Context, verdict look.Verdict) (*Without, error) {
	avoid := *q.without
	objects, err := q.Objects(ctx, []int64{avoid})
	if err != nil {
		return nil, err
	}
	w := &Without{Zoid: avoid, Class: objects[0].Class, Verdict: look.Unknown}
	switch {
	case !objects[0].Stored() && !objects[0].Known:
		w.Verdict = look.NotStored
		return w, nil
	case verdict == look.Unreachable:
		w.Verdict = verdict
		return w, nil
	}
	q.Progress().Phase(fmt.Sprintf("look for a way without zoid %d", avoid), "objects", 0)
	way, err := q.WayWithout(ctx, q.about.Zoid, avoid)
	q.Progress().End()
	if err != nil {
		return nil, err
	}
	w.Looked = way.Looked
	switch {
	case way.Zoids != nil:
		w.Verdict = look.Alive
		w.Way, err = q.Steps(ctx, way.Zoids)
		w.Name = look.Expression(w.Way)
		return w, err
	case !way.Complete || q.Uncertain != "":
		return w, nil
	}
	w.Verdict = look.Unreachable
	held, err := q.HeldBy(ctx, avoid)
	if held.Complete {
		w.Garbage = &Count{held.Objects, held.Bytes}
	}
	return w, err
}

// kept is what hangs on an object alone whose row vanished.
func (q question) kept(ctx context.Context) (*Count, error) {
	held, err := q.HeldBy(ctx, q.about.Zoid)
	if err != nil || !held.Complete {
		return nil, err
	}
	return &Count{held.Objects - 1, held.Bytes - held.Own}, nil
}

// garbage tells what becomes of an unreachable object.
func (q question) garbage(ctx context.Context) (*Garbage, error) {
	g := &Garbage{Since: q.about.Detached}
	with, err := q.HangsWith(ctx, q.about.Zoid)
	if err != nil {
		return nil, err
	}
	g.With = Count{with.Objects, with.Bytes}
	g.Complete, g.DeletableAfter, g.SetAside = with.Complete, with.DeletableAfter, with.SetAside
	chain, from, err := q.ChainOfGarbage(ctx, q.about.Zoid)
	if err != nil {
		return nil, err
	}
	if from != nil {
		if g.From, err = q.fullName(ctx, *from); err != nil {
			return nil, err
		}
	}
	g.Chain, err = q.Steps(ctx, chain[max(0, len(chain)-chainSteps):])
	return g, err
}

// fullName is how Python would reach an object; "" if that is not known.
func (q question) fullName(ctx context.Context, zoid int64) (string, error) {
	way, err := q.Way(ctx, zoid)
	if err != nil || way.Zoids == nil {
		return "", err
	}
	steps, err := q.Steps(ctx, way.Zoids)
	return look.Expression(steps), err
}
