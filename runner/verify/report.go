package verify

import (
	"io"
	"slices"
	"time"

	"relpack/runner/fault"
	"relpack/runner/figures"
	"relpack/runner/graph"
)

// A Report says what a verification compared and found. Sizes are in
// bytes.
type Report struct {
	Storage  string    `json:"storage"`
	Outcome  string    `json:"outcome"` // sound, mended, errors, damage, or as that of a pack
	Error    string    `json:"error,omitempty"`
	ExitCode int       `json:"exit_code"`
	Version  string    `json:"version"`
	Started  time.Time `json:"started"`
	Seconds  float64   `json:"seconds"`
	Repair   bool      `json:"repair"`

	Scanned    figures.Count   `json:"scanned"` // states read and decoded, by both passes of a repair
	Objects    int64           `json:"objects"` // in the graph
	References int64           `json:"references"`
	Mended     []graph.Finding `json:"mended"`   // what a repair found, and worked on
	Findings   []graph.Finding `json:"findings"` // what is so at the end
	// NotJudged objects were written or deleted since the last pack, and left to the next.
	NotJudged int64 `json:"not_judged"`
	// BlobsUnchecked: live blobs have files, and the blob directory is not known.
	BlobsUnchecked bool            `json:"blobs_unchecked"`
	Phases         []figures.Phase `json:"phases"`
	PeakMemory     int64           `json:"peak_memory"` // of this process
}

func (r *Report) finish(err error) {
	r.Seconds = time.Since(r.Started).Seconds()
	r.PeakMemory = figures.PeakMemory()
	r.ExitCode = fault.ExitCode(err)
	if err != nil {
		r.Error = fault.Message(err)
	}
	switch {
	case r.ExitCode == fault.ExitInterrupted:
		r.Outcome = fault.Outcome(err, "")
	case err != nil && slices.ContainsFunc(r.Findings, func(f graph.Finding) bool { return f.Severity == "error" }):
		r.Outcome = "errors"
	case err != nil && len(r.Findings) > 0:
		r.Outcome = "damage"
	case len(r.Mended) > 0:
		r.Outcome = fault.Outcome(err, "mended")
	default:
		r.Outcome = fault.Outcome(err, "sound")
	}
}

// Write prints the report for people.
func (r *Report) Write(w io.Writer) error {
	s := figures.NewSheet(w, r.Storage)
	s.Line("scanned", "%s", r.Scanned)
	if r.Objects > 0 { // else it did not come so far
		s.Line("in the graph", "%s, %s", figures.Plural(r.Objects, "object"), figures.Plural(r.References, "reference"))
	}
	s.Line("result", "%s", r.Outcome)
	graph.WriteFindings(s.Line, "mended", "", r.Mended)
	graph.WriteFindings(s.Line, "errors", "error", r.Findings)
	graph.WriteFindings(s.Line, "damage", "damage", r.Findings)
	graph.WriteFindings(s.Line, "notes", "note", r.Findings)
	if n := r.NotJudged; n > 0 {
		s.Line("not judged", `%s written or deleted since the last pack: "relpack check", or a pack, tells of %s`,
			figures.Plural(n, "object")+map[bool]string{true: " was", false: " were"}[n == 1], map[bool]string{true: "it", false: "them"}[n == 1])
	}
	if r.BlobsUnchecked {
		s.Line("blob files", `not checked: no blob directory is named (blob-dir with "shared-blob-dir true", or --blob-dir)`)
	}
	s.Spent(r.Seconds, r.Phases, r.PeakMemory)
	return s.Flush()
}

// Empty tells whether there is nothing to tell: what was refused outright has no
// phases.
func (r *Report) Empty() bool { return len(r.Phases) == 0 }
