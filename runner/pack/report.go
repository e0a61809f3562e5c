package pack

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"relpack/runner/blobs"
	"relpack/runner/fault"
	"relpack/runner/figures"
	"relpack/runner/graph"
	"relpack/runner/inventory"
)

// A Report says what a pack found and did. Sizes are in bytes.
type Report struct {
	Storage    string    `json:"storage"`
	Outcome    string    `json:"outcome"` // packed, dry_run, interrupted, refused, locked or failed
	Error      string    `json:"error,omitempty"`
	ExitCode   int       `json:"exit_code"`
	Version    string    `json:"version"`
	Started    time.Time `json:"started"`
	Seconds    float64   `json:"seconds"`
	Days       float64   `json:"days"`
	DryRun     bool      `json:"dry_run"`
	FirstBuild bool      `json:"first_build"`     // the graph was built by this run
	Compared   bool      `json:"compared"`        // the graph was doubted and compared
	Doubt      string    `json:"doubt,omitempty"` // why
	Warnings   []string  `json:"warnings"`        // about the configuration

	// What the phases found.
	OtherDatabases
	Survey
	Choice
	Content
	Deletion
	Audit

	Scanned   figures.Count `json:"scanned"` // states read and decoded
	BlobFiles blobs.Count   `json:"blob_files"`
	// LargeObjects went with old revisions, and with garbage if all that was chosen went.
	LargeObjects blobs.LargeObjects   `json:"large_objects"`
	WouldGo      *blobs.Going         `json:"would_go,omitempty"` // with blobs, after a dry run
	Leftovers    []inventory.Leftover `json:"leftovers"`          // of other packers
	Trimmed      *Trimmed             `json:"trimmed,omitempty"`  // of a history-preserving storage
	Phases       []figures.Phase      `json:"phases"`
	PeakMemory   int64                `json:"peak_memory"` // of this process

	// MissingIndex creates what a deletion of blobs would have needed.
	MissingIndex string `json:"missing_index,omitempty"`

	inDatabase bool // blobs are
	refused    bool // a dry run found why a pack would delete nothing
}

// named is how many missing files a note names.
const named = 3

// outcome is how a run ended that ended with err.
func (r *Report) outcome(err error) string {
	if r.DryRun {
		return fault.Outcome(err, "dry_run")
	}
	return fault.Outcome(err, "packed")
}

// Write prints the report for people.
func (r *Report) Write(w io.Writer) error {
	s := figures.NewSheet(w, r.Storage)
	// A run that ended before it knew up to when to trim has nothing to tell of that.
	if r.Trimmed != nil && (r.Trimmed.Until != nil || r.ExitCode == fault.ExitDone) {
		r.writeTrimmed(s.Line)
	}
	if r.Trimmed == nil || r.made {
		s.Line("scanned", "%s", r.Scanned)
	}
	if r.made {
		r.writeFindings(s.Line)
	}
	if r.Audited.Objects > 0 {
		s.Line("audited", "%s", r.Audited)
	}
	graph.WriteFindings(s.Line, "mended", "error", r.Mended)
	s.Spent(r.Seconds, r.Phases, r.PeakMemory)
	if err := s.Flush(); err != nil {
		return err
	}
	for _, note := range r.Notes() {
		if _, err := fmt.Fprintln(w, note); err != nil {
			return err
		}
	}
	return nil
}

// writeFindings says what was found and done, once that is decided.
func (r *Report) writeFindings(line figures.LineWriter) {
	line("in the storage", "%s, %s", figures.Plural(r.Objects, "object"), figures.Plural(r.References, "reference"))
	line("unreachable", "%s", r.Unreachable)
	r.CutOff.WriteTo(line)
	if r.young.Objects > 0 {
		label := "within the grace"
		if r.Days == 0 {
			label = "stays for now"
		}
		line(label, "%s", r.young)
	}
	if r.HeldBack.Objects > 0 {
		line("set aside", "%s", r.HeldBack)
	}
	if r.HangsOn.Objects > 0 {
		line("hangs on that", "%s", r.HangsOn)
	}
	if r.DryRun {
		refused := ""
		if r.refused {
			refused = ", but a pack is refused"
		}
		line("would delete", "%s%s", r.Chosen, refused)
		if r.ChosenBlobs.Blobs > 0 {
			line("", "%s", r.ChosenBlobs)
		}
		r.writeGoing(line)
	} else {
		line("deleted", "%s", r.Deleted)
		r.writeFiles(line)
	}
	inventory.WriteClasses(line, r.ByClass, r.MoreClasses)
}

// writeTrimmed says what was trimmed.
func (r *Report) writeTrimmed(line figures.LineWriter) {
	t := r.Trimmed
	goes, marked := "removed", "marked as packed: nobody can undo them"
	if r.DryRun {
		goes, marked = "would be removed", "would be "+marked
	}
	if t.Until != nil {
		label, ended := "trimmed up to", ""
		if !t.ended {
			label, ended = "trimming up to", ", not finished"
		}
		if r.DryRun {
			label = "would trim up to"
		}
		line(label, "%s%s", figures.Clock(*t.Until), ended)
	}
	line("old revisions", "%s, %s %s", figures.Plural(t.Revisions, "revision"), figures.Size(t.Bytes), goes)
	inventory.WriteHistory(line, t.ByClass)
	if t.Oldest != nil {
		line("oldest revision", "%s", figures.Clock(*t.Oldest))
	}
	if !r.made {
		line("deleted objects", "%s %s", figures.Plural(t.Whiteouts, "object"), goes)
	}
	line("transactions", "%s %s%s", figures.Plural(t.Transactions, "transaction"), goes, t.waiting(r.DryRun))
	line("", "%s %s", figures.Plural(t.Marked, "transaction"), marked)
	if !r.DryRun && !r.made {
		r.writeFiles(line)
	}
	if r.DryRun && !r.made {
		r.writeGoing(line)
	}
}

// writeGoing says what would go with blobs.
func (r *Report) writeGoing(line figures.LineWriter) {
	g := r.WouldGo
	if g == nil {
		return
	}
	if g.Files > 0 {
		line("blob files", "%s would be removed, %s", humanize.Comma(g.Files), figures.Size(g.Bytes))
	}
	if g.LargeObjects > 0 {
		line("large objects", "%s would be removed, %s", humanize.Comma(g.LargeObjects), sizeOf(g.LargeObjects, g.NotRead, g.LargeObjectBytes))
	}
}

// sizeOf is how long large objects are, as far as this role may read them.
func sizeOf(all, notRead, bytes int64) string {
	switch {
	case notRead == all:
		return "size not known"
	case notRead > 0:
		return figures.Size(bytes) + " of " + humanize.Comma(all-notRead)
	}
	return figures.Size(bytes)
}

// writeFiles says what went with blobs: large objects where they are in the database.
func (r *Report) writeFiles(line figures.LineWriter) {
	l := r.LargeObjects
	if l.Removed > 0 {
		line("large objects", "%s removed, %s", humanize.Comma(l.Removed), sizeOf(l.Removed, l.NotRead, l.Bytes))
	}
	if r.BlobFiles.Files == 0 && (r.inDatabase || l.Removed > 0) {
		return
	}
	line("blob files", "%s removed, %s", humanize.Comma(r.BlobFiles.Files), figures.Size(r.BlobFiles.Bytes))
}

// waiting says how many transactions go later, where there are any.
func (t *Trimmed) waiting(dry bool) string {
	n := t.Emptied
	if dry {
		n -= t.Transactions
	}
	switch {
	case n <= 0:
		return ""
	case n == 1:
		return "; 1 that no revision names waits until a week is over"
	}
	return fmt.Sprintf("; %s that no revision names wait until a week is over", humanize.Comma(n))
}

// Notes are what the operator may want to do or to know besides.
func (r *Report) Notes() []string {
	var notes []string
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	if r.Deleted.Objects > 0 || (r.Trimmed != nil && r.Trimmed.Revisions > 0 && !r.DryRun) {
		note("The space of deleted rows can be used again after VACUUM of object_state (autovacuum does it in time).")
	}
	if l := r.LargeObjects; r.Trimmed != nil && l.Removed > 0 {
		note("The space of %s can be used again after VACUUM of pg_largeobject.", figures.Plural(l.Removed, "large object"))
	} else if b := r.ChosenBlobs; r.Blobs > 0 && b.Where == "large objects" {
		text := ""
		if b.Known == b.Blobs && r.Blobs == b.Blobs {
			text = " of " + figures.Size(b.Bytes)
		}
		note("The space%s of the large objects of %s can be used again after VACUUM of pg_largeobject.", text, figures.Plural(r.Blobs, "deleted blob"))
	}
	if g := r.WouldGo; g != nil && g.Wait != "" {
		note("A pack leaves the files of what it deletes: %s.", g.Wait)
	}
	if r.BlobFiles.Waiting > 0 {
		why := "run relpack with the blob directory to remove them, but never with that of the original where this database is a copy"
		if r.BlobFiles.Why != "" {
			why = r.BlobFiles.Why
		}
		what := "deleted blob"
		if r.Trimmed != nil {
			what = "deleted revision"
		}
		note("Files of %s remain: %s.", figures.Plural(r.BlobFiles.Waiting, what), why)
	}
	for _, skipped := range r.BlobFiles.Skipped {
		note("%s", skipped)
	}
	if f := r.BlobFiles; f.Missed > 0 {
		some := ""
		if len(f.MissedFiles) > 0 {
			some = ", for example " + strings.Join(f.MissedFiles[:min(named, len(f.MissedFiles))], ", ")
		}
		note("Not in the blob directory, but still listed: %s, since %s%s. Each pack that knows the directory looks again, for 30 days.",
			figures.Plural(f.Missed, "file"), figures.Clock(*f.MissedSince), some)
	}
	if n := r.BlobFiles.StruckOff; n > 0 {
		note("Off the list, after 30 days in which nothing was found in the blob directory: %s.", figures.Plural(n, "file"))
	}
	if r.BlobFiles.Others > 0 {
		note("%s of other revisions stay%s beside those removed: overwritten revisions, which \"relpack blobs\" lists, or another storage's that shares the blob directory (%s).",
			figures.Plural(r.BlobFiles.Others, "file"), figures.VerbEnding(r.BlobFiles.Others), strings.Join(r.BlobFiles.OtherFiles, ", "))
	}
	if t := r.Trimmed; t != nil && t.LeftAlone > 0 {
		note("%s as %s, for example zoid %d: current_object does not name the newest revision.",
			figures.Plural(t.LeftAlone, "object")+" stay"+figures.VerbEnding(t.LeftAlone), map[bool]string{true: "it is", false: "they are"}[t.LeftAlone == 1], t.SomeLeftAlone[0])
	}
	notes = append(notes, r.Warnings...)
	for _, f := range r.ForeignDatabases {
		note("%s", f)
	}
	for _, by := range r.ReferredBy {
		note("%s%s.", by, by.Consequence())
	}
	if r.GraceBegan != nil {
		note("The grace of what was unreachable at %s begins then: another storage referred to this one, or may have, until it was read.",
			r.GraceBegan.UTC().Format(inventory.LookFormat))
	}
	if r.Ahead != "" {
		note("%s", r.Ahead)
	}
	if held := r.heldBy(); held != "" {
		note("%s.", strings.ToUpper(held[:1])+held[1:])
	}
	if t := r.Trimmed; t != nil && t.toNewest && r.PackTime != nil && r.young.Objects > 0 && r.HeldBy == "" {
		note("What stays was found to be unreachable after the last commit, of %s. A pack deletes it after the grace, once there is a later commit.", figures.Clock(*t.Until))
	}
	for _, s := range r.SetAside {
		note("zoid %d is unreachable and can't be deleted: %s. %s.", s.Zoid, s.Reason, s.Remedy)
	}
	missing, dangling := r.Damage.Lines()
	for _, text := range []string{missing, dangling} {
		if text != "" {
			note("%s.", strings.ToUpper(text[:1])+text[1:])
		}
	}
	for _, p := range r.Problems {
		note("%s", p)
	}
	if r.MissingIndex != "" {
		note("%s%s", inventory.SlowWithoutIndex, r.MissingIndex)
	}
	for _, l := range r.Leftovers {
		note("%s", l)
	}
	return notes
}

// Empty tells whether there is nothing to tell: what was refused outright has no
// phases.
func (r *Report) Empty() bool { return len(r.Phases) == 0 }
