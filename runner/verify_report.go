package runner

import (
	"io"
	"slices"
	"time"

	"relpack/runner/fault"
	"relpack/runner/figures"
)

// A VerifyReport says what a verification compared and found. Sizes are in
// bytes.
type VerifyReport struct {
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
	Mended     []Finding       `json:"mended"`   // what a repair found, and worked on
	Findings   []Finding       `json:"findings"` // what is so at the end
	Phases     []figures.Phase `json:"phases"`
	PeakMemory int64           `json:"peak_memory"` // of this process
}

func (r *VerifyReport) finish(p *pack, err error) {
	r.Seconds = time.Since(r.Started).Seconds()
	r.Scanned = figures.Count{Objects: p.counts.scanned.Load(), Bytes: p.counts.scannedBytes.Load()}
	r.Phases = append(r.Phases, p.report.Phases...)
	r.PeakMemory = figures.PeakMemory()
	r.ExitCode = fault.ExitCode(err)
	if err != nil {
		r.Error = fault.Message(err)
	}
	switch {
	case r.ExitCode == fault.ExitInterrupted:
		r.Outcome = fault.Outcome(err, "")
	case err != nil && slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity == "error" }):
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
func (r *VerifyReport) Write(w io.Writer) error {
	s := figures.NewSheet(w, r.Storage)
	s.Line("scanned", "%s", r.Scanned)
	if r.Objects > 0 { // else it did not come so far
		s.Line("in the graph", "%s, %s", figures.Plural(r.Objects, "object"), figures.Plural(r.References, "reference"))
	}
	s.Line("result", "%s", r.Outcome)
	writeFindings(s.Line, "mended", "", r.Mended)
	writeFindings(s.Line, "errors", "error", r.Findings)
	writeFindings(s.Line, "damage", "damage", r.Findings)
	writeFindings(s.Line, "notes", "note", r.Findings)
	s.Spent(r.Seconds, r.Phases, r.PeakMemory)
	return s.Flush()
}

// writeFindings prints those of a severity, or all.
func writeFindings(line figures.LineWriter, label, severity string, found []Finding) {
	shown := 0
	for _, f := range found {
		if severity != "" && f.Severity != severity {
			continue
		}
		line(figures.Once(label, shown), "%s", f)
		shown++
	}
}
