package check

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"relpack/runner/figures"
)

// Empty is a report of a check that was refused outright.
func (r *Report) Empty() bool { return len(r.Phases) == 0 }

// Write prints the report for people.
func (r *Report) Write(w io.Writer) error {
	s := figures.NewSheet(w, r.Storage)
	if r.UpTo != nil {
		text := figures.Moment(*r.UpTo, time.Now())
		if r.Fresh > 0 {
			text += fmt.Sprintf("; %s written since", figures.Plural(r.Fresh, "object"))
		}
		s.Line("graph up to", "%s", text)
	}
	figures.WriteHorizon(s.Line, r.Horizon)
	if r.Uncertain != "" {
		s.Line("uncertain", "%s", r.Uncertain)
	}
	if r.Refusal != "" && !strings.Contains(r.Uncertain, r.Refusal) {
		s.Line("packs refused", "%s", r.Refusal)
	}
	s.Line("result", "%s", r.Outcome)
	r.writeLost(s.Line)
	r.writeUndecodable(s.Line)
	r.Blobs.write(s.Line)
	for i, f := range r.Foreign {
		text := fmt.Sprintf("%s of live objects to %q, the first in zoid %d %s", figures.Plural(f.References, "reference"), f.Database, f.First.Zoid, f.First.Name)
		if !f.Named {
			text += "; no section of a configuration file has that name"
		}
		s.Line(figures.Once("other databases", i), "%s", text)
	}
	s.Spent(r.Seconds, r.Phases, r.PeakMemory)
	return s.Flush()
}

func (r *Report) writeLost(line figures.LineWriter) {
	if r.LostCount == 0 {
		return
	}
	line("not stored", "%s: %s of live objects lead%s there, to a POSKeyError",
		figures.Plural(r.LostCount, "object"), figures.Plural(r.References, "reference"), figures.VerbEnding(r.References))
	for _, l := range r.Lost {
		text := fmt.Sprintf("zoid %d (%s)", l.Zoid, l.Oid)
		if l.Class != "" {
			text += " " + l.Class
		}
		if l.Since != nil {
			text += ", vanished before " + figures.Clock(*l.Since)
		}
		line("", "%s, from %s:", text, figures.Plural(l.Holders, "live object"))
		for _, holder := range l.First {
			line("", "    %s", holder)
		}
		if rest := l.Holders - int64(len(l.First)); rest > 0 {
			line("", "    and %s more; SELECT * FROM relpack.referrers(%d) has all", humanize.Comma(rest), l.Zoid)
		}
	}
	if text := more(r.LostCount, len(r.Lost)); text != "" {
		line("", "%s", text)
	}
	line("", `Restore their rows from a backup, or remove the references in the application.`)
}

// String is for people.
func (s Spot) String() string {
	text := s.Name
	if text == "" {
		text = "(no way to it was found)"
	}
	if s.Class == "" {
		return fmt.Sprintf("%s  (zoid %d)", text, s.Zoid)
	}
	return fmt.Sprintf("%s  (zoid %d %s)", text, s.Zoid, s.Class)
}

func (r *Report) writeUndecodable(line figures.LineWriter) {
	for _, group := range []struct {
		kind, label, text string
		count             int64
	}{
		{"opaque", "undecodable", fmt.Sprintf("%s; %s of them keep%s relpack from deleting", figures.Plural(r.unread(), "live object"), humanize.Comma(r.Blocking), figures.VerbEnding(r.Blocking)), r.unread()},
		{"empty", "no state", lack(r.Stateless, "state"), r.Stateless},
		{"uncurrent", "not current", lack(r.Uncurrent, "current revision (current_object)"), r.Uncurrent},
	} {
		if group.count > 0 {
			line(group.label, "%s", group.text)
			writeBroken(line, group.count, r.alike(group.kind))
		}
	}
	if n := r.UndecodableGarbage; n > 0 {
		line("in garbage", "%s can't be decoded or %s no state: no harm, %s will be deleted", figures.Plural(n, "object"),
			map[bool]string{true: "has", false: "have"}[n == 1], map[bool]string{true: "it", false: "they"}[n == 1])
	}
}

// lack says that live objects have no such thing.
func lack(n int64, what string) string {
	if n == 1 {
		return "1 live object has no " + what
	}
	return figures.Plural(n, "live object") + " have no " + what
}

func writeBroken(line figures.LineWriter, count int64, some []Undecodable) {
	for _, u := range some {
		at := ""
		if u.Offset != nil {
			at = fmt.Sprintf(" at byte %d", *u.Offset)
		}
		line("", "%s", u.Spot)
		line("", "    %s: %s%s", u.Kind, u.Reason, at)
		line("", "    %s.", u.Remedy)
	}
	if text := more(count, len(some)); text != "" {
		line("", "%s", text)
	}
}

func (b Blobs) write(line figures.LineWriter) {
	switch {
	case b.Missing+b.MissingOlder > 0 && b.Found == 0:
		line("blobs", "the directory holds the file of no live blob (%s): mount it, or name the right one", humanize.Comma(b.live))
		return
	case b.Missing+b.MissingOlder > 0:
		label := "blobs"
		if b.Missing > 0 {
			line(label, "%s without a file; %s found", figures.Plural(b.Missing, "live blob"), figures.Plural(b.Found, "file"))
			writeMissing(line, b.Missing, b.First)
			label = ""
		}
		if b.MissingOlder > 0 {
			line(label, "%s without files of older revisions; %s found", figures.Plural(b.MissingOlder, "live blob"), figures.Plural(b.Found, "file"))
			writeMissing(line, b.MissingOlder, b.FirstOlder)
		}
	case b.uncertain:
		line("blobs", "whether there are live blobs is not known, see above")
	case b.Found > b.live:
		line("blobs", "the files of all %s of %s are there", figures.Plural(b.Found, "revision"), figures.Plural(b.live, "live blob"))
	case b.Files && b.Found == 1:
		line("blobs", "the file of the one live blob is there")
	case b.Files:
		line("blobs", "the files of all %s are there", figures.Plural(b.Found, "live blob"))
	case b.InDatabase && b.LargeObjects == 0:
		line("blobs", "in the database; the large objects of all are there")
	case b.Needed:
		line("blobs", "no file was looked for, though there are live blobs: %s", b.Why)
	case b.LargeObjects == 0:
		line("blobs", "no file was looked for: %s", b.Why)
	}
	if b.LargeObjects > 0 {
		line("large objects", "%s without one, or without a row in blob_chunk", figures.Plural(b.LargeObjects, "live blob"))
		for _, s := range b.FirstLarge {
			line("", "%s", s)
		}
		if text := more(b.LargeObjects, len(b.FirstLarge)); text != "" {
			line("", "%s", text)
		}
	}
	if b.Missing+b.MissingOlder+b.LargeObjects > 0 {
		line("", "Restore them from a backup.")
	}
}

// writeMissing names blobs, and which files they lack.
func writeMissing(line figures.LineWriter, count int64, first []MissingBlob) {
	for _, m := range first {
		line("", "%s", m.Spot)
		for _, f := range m.Files {
			line("", "    %s", f.Path)
		}
		if rest := m.Count - int64(len(m.Files)); rest > 0 {
			line("", "    and %s more", humanize.Comma(rest))
		}
	}
	if text := more(count, len(first)); text != "" {
		line("", "%s", text)
	}
}
