package status

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"relpack/runner/figures"
	"relpack/runner/inventory"
)

// graphStates say in words what relpack.storage.graph says.
var graphStates = map[string]string{
	"none":      `not built: the first "relpack pack" builds it`,
	"scanning":  "being built: the states are read",
	"indexing":  "being built: the references are indexed",
	"marking":   "being built: the objects are walked from the root",
	"filling":   "being built: the objects are filled in",
	"finishing": "being built: the last step",
	"reshaping": "all parents are being chosen again",
	"doubtful":  "not trusted",
	"current":   "describes the storage",
}

// Write prints the status for people.
func (r *Report) Write(w io.Writer) error {
	s := figures.NewSheet(w, r.Storage)
	found := r.Found
	if r.Standby {
		found += ", on a standby"
	}
	s.Line("database", "%s: %s, PostgreSQL %s", r.Database, found, r.Server)
	if r.Installed {
		s.Line("relpack", "schema version %d", r.Version)
	} else {
		s.Line("relpack", "not installed")
	}
	if r.Advice != "" {
		s.Line("", "%s", r.Advice)
	}
	for i, warning := range r.Warnings {
		s.Line(figures.Once("warning", i), "%s", warning)
	}
	if h := r.History; h != nil {
		h.write(s.Line, time.Now())
	}
	switch {
	case r.Graph != nil && r.History != nil:
		r.Graph.write(s.Line, time.Now(), "revision")
	case r.Graph != nil:
		r.Graph.write(s.Line, time.Now(), "blob")
	case r.History != nil:
		r.History.waiting.write(s.Line, "revision")
	}
	return s.Flush()
}

func (h *History) write(line figures.LineWriter, now time.Time) {
	switch {
	case h.TrimmedUntil != nil:
		line("history", "trimmed up to %s", figures.Moment(*h.TrimmedUntil, now))
	case h.Revisions > 0:
		line("history", "no trim has ended yet")
	default:
		line("history", "never trimmed")
	}
	if h.TrimmedUntil != nil || h.Revisions > 0 {
		line("removed", "%s, %s", figures.Plural(h.Revisions, "old revision"), figures.Size(h.Bytes))
	}
	if h.LastPack != nil {
		line("last pack", "%s", figures.Moment(*h.LastPack, now))
	}
	if h.Oldest != nil {
		line("oldest revision", "%s", figures.Moment(*h.Oldest, now))
	}
	if len(h.ByClass) > 0 {
		var all inventory.ClassHistory
		for _, c := range h.ByClass {
			all.Revisions, all.Bytes = all.Revisions+c.Revisions, all.Bytes+c.Bytes
		}
		line(map[bool]string{true: "would go", false: "last removed"}[h.WouldGo], "%s, %s", figures.Plural(all.Revisions, "old revision"), figures.Size(all.Bytes))
		inventory.WriteHistory(line, h.ByClass)
	}
}

// write has the word for what files are of.
func (w waiting) write(line figures.LineWriter, what string) {
	if w.BlobRemovals > 0 {
		why := ""
		if w.BlobsWait != "" {
			why = ": " + w.BlobsWait
		}
		line("blob files", "those of %s wait to be removed%s", figures.Plural(w.BlobRemovals, what), why)
	}
	if w.BlobsMissed > 0 {
		line(figures.Once("blob files", int(w.BlobRemovals)), "not in the directory, but still listed: %s, since %s. Packs look again for 30 days",
			figures.Plural(w.BlobsMissed, "file"), figures.Clock(*w.MissedSince))
	}
}

// write has the word for what blob files are of.
func (g *Graph) write(line figures.LineWriter, now time.Time, what string) {
	g.writeState(line, now)
	if g.Busy {
		line("", "a build step has the tables locked: try again shortly")
		g.writeRuns(line)
		return
	}
	if g.Unreachable == nil && g.Objects == 0 {
		line("objects", "not counted yet")
	} else {
		line("objects", "%s, with %s", humanize.Comma(g.Objects), figures.Plural(g.References, "reference"))
	}
	line("relpack's tables", "%s", figures.Size(g.Bytes))
	g.writeUnreachable(line)
	if g.Doomed > 0 {
		by := "by the last pack or dry run"
		if g.Begun {
			by = "by a pack that was interrupted: the next one deletes them, whatever its --days"
		}
		line("chosen", "%s for deletion, %s", figures.Plural(g.Doomed, "object"), by)
	}
	g.waiting.write(line, what)
	missing, dangling := g.Damage.Lines()
	if missing != "" {
		line("missing", "%s", missing)
	}
	if dangling != "" {
		line("dangling", "%s", dangling)
	}
	g.writeProblems(line)
	for i, s := range g.SetAside {
		line(figures.Once("set aside", i), "zoid %d can't be deleted: %s. %s", s.Zoid, s.Reason, s.Remedy)
	}
	if more := g.HeldBack.Objects - int64(len(g.SetAside)); more > 0 {
		line("", "and %s more in relpack.set_aside", humanize.Comma(more))
	}
	for i, f := range g.Foreign {
		line(figures.Once("other databases", i), "%s", f)
	}
	for i, by := range g.ReferredBy {
		line(figures.Once("referred to", i), "%s%s", by, by.Consequence())
	}
	for i, missing := range g.MissingIndexes {
		line(figures.Once("missing index", i), "%s", missing)
	}
	g.writeRuns(line)
	for i, l := range g.Leftovers {
		line(figures.Once("leftovers", i), "%s", l)
	}
}

func (g *Graph) writeState(line figures.LineWriter, now time.Time) {
	text := graphStates[g.State]
	if text == "" {
		text = g.State
	}
	switch {
	case g.Refusal != "":
		text = "not trusted: " + g.Refusal
	case g.Doubt != nil:
		text = "not trusted: " + *g.Doubt + "; the next pack compares it with the storage"
	}
	line("graph", "%s", text)
	if g.AppliedUntil != nil && (g.State == "current" || g.State == "doubtful") {
		line("up to", "%s", figures.Moment(*g.AppliedUntil, now))
	}
	if g.LastTransaction != nil {
		line("last transaction", "%s", figures.Moment(*g.LastTransaction, now))
	}
	if g.Ahead != "" {
		line("", "%s", g.Ahead)
	}
	if g.State == "current" {
		line("verified", "%s", inventory.VerifiedText(g.VerifiedSince, now))
	}
}

func (g *Graph) writeUnreachable(line figures.LineWriter) {
	figures.WriteHorizon(line, g.Horizon)
	switch {
	case g.Unreachable == nil:
		line("unreachable", "not known yet")
		return
	case g.WithinGrace.Objects > 0:
		line("unreachable", "%s; within the grace of a day: %s", g.Unreachable, g.WithinGrace)
	default:
		line("unreachable", "%s", g.Unreachable)
	}
	inventory.WriteClasses(line, g.ByClass, g.MoreClasses)
	g.CutOff.WriteTo(line)
}

func (g *Graph) writeProblems(line figures.LineWriter) {
	if g.ProblemCount == 0 {
		return
	}
	text := fmt.Sprintf("%s could not be decoded, or %s no state", figures.Plural(g.ProblemCount, "object"), map[bool]string{true: "has", false: "have"}[g.ProblemCount == 1])
	if g.BlockingCount > 0 {
		keep := "keep"
		if g.BlockingCount == 1 {
			keep = "keeps"
		}
		text += fmt.Sprintf("; %s of them %s relpack from deleting", humanize.Comma(g.BlockingCount), keep)
	}
	line("problems", "%s", text)
	for _, p := range g.Problems {
		line("", "zoid %d (%s): %s", p.Zoid, p.Kind, p.Detail)
	}
	if more := g.ProblemCount - int64(len(g.Problems)); more > 0 {
		line("", "and %s more in relpack.problem", humanize.Comma(more))
	}
}

func (g *Graph) writeRuns(line figures.LineWriter) {
	if p := g.Packer; p != nil {
		line("at work", "pid %d, application %q", p.Pid, p.Application)
	}
	for i, h := range g.WritersLock {
		line(figures.Once("writers' lock", i), "%s", h)
	}
	said := false
	for i, r := range g.Runs {
		line(figures.Once("last packs", i), "%s", r.describe(g.Packer != nil && i == 0, !said))
		said = said || r.Message != nil
	}
}

// String says who it is, and what comes of it.
func (h LockHolder) String() string {
	who := fmt.Sprintf("application %q of role %s", h.Application, h.Username)
	if h.Pid != nil {
		who = fmt.Sprintf("pid %d, ", *h.Pid) + who
	}
	if h.Exclusive {
		return who + ", holds it exclusively: nobody can write to the storage until that ends"
	}
	if h.Since == nil {
		return who + ", holds it: relpack can't delete until that ends"
	}
	return fmt.Sprintf("%s, has held it since %s: relpack can't delete until that ends", who, figures.Clock(*h.Since))
}

// describe tells of one run. A run that never came to its end still counts as
// running in the database. Unless the whole message is wanted, its first sentence is told:
// remedies follow.
func (r Run) describe(mayRun, whole bool) string {
	text := figures.Clock(r.Started) + "  " + strings.ReplaceAll(r.Outcome, "_", " ")
	if r.Outcome == "running" && !mayRun {
		text = figures.Clock(r.Started) + "  did not finish"
	}
	if r.Finished != nil {
		text += fmt.Sprintf(" in %s", figures.Seconds(r.Finished.Sub(r.Started).Seconds()))
	}
	if r.Scanned > 0 {
		text += ", read " + figures.Plural(r.Scanned, "state")
	}
	if r.Deleted.Objects > 0 {
		text += fmt.Sprintf(", deleted %s", r.Deleted)
	}
	if r.Revisions > 0 {
		text += fmt.Sprintf(", removed %s, %s", figures.Plural(r.Revisions, "old revision"), figures.Size(r.RevisionBytes))
	}
	if r.BlobFiles > 0 {
		text += fmt.Sprintf(", removed %s, %s", figures.Plural(r.BlobFiles, "blob file"), figures.Size(r.BlobBytes))
	}
	if r.LargeObjects > 0 {
		text += ", removed " + figures.Plural(r.LargeObjects, "large object")
		if r.LargeObjectBytes > 0 {
			text += ", " + figures.Size(r.LargeObjectBytes)
		}
	}
	if r.Message != nil {
		message := strings.TrimPrefix(strings.TrimSpace(*r.Message), r.Outcome+". ")
		if !whole {
			message, _, _ = strings.Cut(message, ". ")
		}
		text += ": " + message
	}
	return text
}
