package why

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"relpack/runner/figures"
	"relpack/runner/look"
)

// Empty is a report of a question that was refused.
func (r *Report) Empty() bool { return len(r.Objects) == 0 }

// Write prints the report for people.
func (r *Report) Write(w io.Writer) error {
	s := figures.NewSheet(w, r.Storage)
	now := time.Now()
	if r.UpTo != nil {
		text := figures.Moment(*r.UpTo, now)
		if r.Fresh > 0 && r.Uncertain == "" {
			text += fmt.Sprintf("; %s written since %s read, too", figures.Plural(r.Fresh, "object"),
				map[bool]string{true: "was", false: "were"}[r.Fresh == 1])
		}
		s.Line("graph up to", "%s", text)
	}
	figures.WriteHorizon(s.Line, r.Horizon)
	if r.Uncertain != "" {
		s.Line("uncertain", "%s", r.Uncertain)
	}
	if err := s.Flush(); err != nil {
		return err
	}
	for _, o := range r.Objects {
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		s := figures.NewSheet(w, "")
		o.write(s.Line, now, r.Horizon, r.Uncertain != "")
		if err := s.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func (o Object) write(line figures.LineWriter, now time.Time, horizon *time.Time, uncertain bool) {
	text := fmt.Sprintf("%d (%s)", o.Zoid, o.Oid)
	if o.Class != "" {
		text += " " + o.Class
	}
	if o.Written != nil {
		text += fmt.Sprintf(", %s, written %s", figures.Size(o.Size), figures.Clock(*o.Written))
	}
	line("zoid", "%s", text)
	if o.Broken != "" {
		line("broken", "%s; \"relpack check\" says what to do", o.Broken)
	}
	switch o.Verdict {
	case look.Alive:
		line("alive", "%s", o.Name)
		writeSteps(line, "way", o.Way)
		if slices.ContainsFunc(o.Way, func(s look.Step) bool { return s.Old }) {
			line("", "old revisions alone refer to it on this way: it goes with them, once a pack time is later than they were superseded")
		}
	case look.Unreachable:
		line("unreachable", "%s", o.Garbage.since(horizon))
	case look.NotStored:
		o.writeNotStored(line)
	default:
		o.writeUnknown(line, uncertain)
	}
	o.Referrers.write(line)
	if o.Without != nil {
		o.Without.write(line, o)
	}
	if o.Garbage != nil {
		o.Garbage.write(line, now)
	}
}

func (o Object) writeNotStored(line figures.LineWriter) {
	text := "whoever loads it gets a POSKeyError"
	if o.Missing != nil {
		text += fmt.Sprintf("; its row vanished before %s", figures.Clock(*o.Missing))
	} else if o.Referrers.Count == 0 {
		text = "nothing refers to it"
	}
	line("not stored", "%s", text)
	if o.Kept == nil || o.Referrers.Count == 0 {
		return
	}
	command := fmt.Sprintf("relpack pack --accept-missing %d", o.Zoid)
	if o.Kept.Objects == 0 {
		line("kept", "nothing that hangs on it alone; to give it up: %s", command)
		return
	}
	line("kept", "%s, %s, which hang%s on it alone: garbage if you give it up with %s",
		figures.Plural(o.Kept.Objects, "object"), figures.Size(o.Kept.Bytes), figures.VerbEnding(o.Kept.Objects), command)
}

func (o Object) writeUnknown(line figures.LineWriter, uncertain bool) {
	text := "it looks unreachable, but see above"
	switch {
	case o.Garbage != nil:
	case uncertain:
		text = "no way from the root was found, but see above"
	default:
		text = fmt.Sprintf(`no way from the root was found, %s looked at: run "relpack pack --dry-run", then ask again`,
			figures.Plural(int64(o.Looked), "object"))
	}
	line("not known", "%s", text)
}

// maxShown is how many steps of a way are printed.
const maxShown = 100

// writeSteps prints a way, a line for each step that a person sees.
func writeSteps(line figures.LineWriter, label string, steps []look.Step) {
	shown := look.Shown(steps)
	for i, s := range shown {
		if len(shown) > maxShown && i == maxShown/2 {
			line("", "%s\t\t", fmt.Sprintf("%s more", humanize.Comma(int64(len(shown)-maxShown))))
		}
		if len(shown) > maxShown && i >= maxShown/2 && i < len(shown)-maxShown/2 {
			continue
		}
		class := s.Class
		if s.Missing {
			class += ", whose row has vanished: what hangs on it is kept"
		}
		line(figures.Once(label, i), "%s\t%d\t%s", stepName(i, s), s.Zoid, class)
	}
}

// oldRevision stands for a name where only old revisions refer to an object.
const oldRevision = "(an old revision)"

func stepName(i int, s look.Step) string {
	switch {
	case i == 0 && s.Zoid == 0:
		return "root"
	case i == 0:
		return ""
	case s.Inner:
		return "(a part of it)"
	case s.Old:
		return oldRevision
	case s.Name.Name == "" && s.Places == 0:
		return "?"
	case s.Places > 1:
		return fmt.Sprintf("%s (and %d more)", s.Name.Name, s.Places-1)
	}
	return s.Name.Name
}

func (r Referrers) write(line figures.LineWriter) {
	line("referrers", "%s", humanize.Comma(r.Count))
	for _, f := range r.First {
		name := f.Name.Name
		switch {
		case f.Inner:
			name = "(a part of it)"
		case f.Old:
			name = oldRevision
		case f.Places == 0:
			name = "?"
		}
		line("", "%s\t%d\t%s\t%s", cmp.Or(f.Full, name), f.Zoid, f.Class, f.Verdict)
	}
	if more := r.Count - int64(len(r.First)); more > 0 {
		line("", "and %s more", humanize.Comma(more))
	}
}

func (w Without) write(line figures.LineWriter, o Object) {
	label := fmt.Sprintf("without %d", w.Zoid)
	switch w.Verdict {
	case look.Alive:
		if w.Name == o.Name {
			line(label, "alive: the way above doesn't lead through it")
			return
		}
		line(label, "alive: %s", w.Name)
		writeSteps(line, "", w.Way)
		return
	case look.NotStored:
		line(label, "there is no object %d", w.Zoid)
		return
	case look.Unknown:
		line(label, "not known: no other way among %s that were looked at", figures.Plural(int64(w.Looked), "object"))
		return
	}
	if o.Verdict == look.Unreachable {
		line(label, "unreachable anyway")
		return
	}
	if w.Zoid == o.Zoid {
		line(label, "the object itself is taken away")
	} else {
		line(label, "unreachable: it is alive only because of that %s", cmp.Or(w.Class, "object"))
	}
	if w.Garbage == nil {
		line("", "what would be garbage was not counted: too much hangs on that in the tree")
		return
	}
	line("", "%s, %s would be garbage, %d itself included", figures.Plural(w.Garbage.Objects, "object"), figures.Size(w.Garbage.Bytes), w.Zoid)
}

func (g *Garbage) since(horizon *time.Time) string {
	switch {
	case g == nil || g.Since == nil && horizon == nil:
		return "since before relpack first read it: nobody knows when"
	case g.Since == nil:
		return "since " + figures.Clock(*horizon) + " at the latest, the pack time of the last pack or dry run"
	}
	return "since " + figures.Clock(*g.Since)
}

func (g *Garbage) write(line figures.LineWriter, now time.Time) {
	switch {
	case g.SetAside != "":
		line("deleted", "not as long as %s", g.SetAside)
	case g.DeletableAfter == nil:
	case g.DeletableAfter.Before(now):
		line("deleted", "by the next pack with the default grace of a day")
	default:
		line("deleted", "by a pack with the default grace of a day from %s on", figures.Clock(*g.DeletableAfter))
	}
	more := ""
	if !g.Complete {
		more = "more than "
	}
	line("hangs with", "%s%s from which it can be reached, %s", more, figures.Plural(g.With.Objects, "unreachable object"), figures.Size(g.With.Bytes))
	if g.From != "" {
		line("cut off from", "%s", g.From)
	}
	if len(g.Chain) > 1 {
		writeSteps(line, "hangs on", g.Chain)
	}
}
