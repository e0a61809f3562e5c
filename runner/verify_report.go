package runner

import (
	"io"
	"slices"
	"time"
)

// A VerifyReport says what a verification compared and found. Sizes are in
// bytes.
type VerifyReport struct {
	Storage  string    `json:"storage"`
	Outcome  string    `json:"outcome"` // sound, mended, errors, damage, interrupted or failed
	Error    string    `json:"error,omitempty"`
	ExitCode int       `json:"exit_code"`
	Version  string    `json:"version"`
	Started  time.Time `json:"started"`
	Seconds  float64   `json:"seconds"`
	Repair   bool      `json:"repair"`

	Scanned    Count     `json:"scanned"` // states read and decoded, by both passes of a repair
	Objects    int64     `json:"objects"` // in the graph
	References int64     `json:"references"`
	Mended     []Finding `json:"mended"`   // what a repair found, and worked on
	Findings   []Finding `json:"findings"` // what is so at the end
	Phases     []Phase   `json:"phases"`
	PeakMemory int64     `json:"peak_memory"` // of this process
}

func (r *VerifyReport) finish(p *pack, err error) {
	r.Seconds = time.Since(r.Started).Seconds()
	r.Scanned = Count{p.counts.scanned.Load(), p.counts.scannedBytes.Load()}
	r.Phases = append(r.Phases, p.report.Phases...)
	r.PeakMemory = PeakMemory()
	r.ExitCode = ExitCode(err)
	switch {
	case r.ExitCode == ExitInterrupted:
		r.Outcome, r.Error = "interrupted", Message(err)
	case err != nil && slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity == "error" }):
		r.Outcome, r.Error = "errors", Message(err)
	case err != nil && len(r.Findings) > 0:
		r.Outcome, r.Error = "damage", Message(err)
	case err != nil:
		r.Outcome, r.Error = "failed", Message(err)
	case len(r.Mended) > 0:
		r.Outcome = "mended"
	default:
		r.Outcome = "sound"
	}
}

// Write prints the report for people.
func (r *VerifyReport) Write(w io.Writer) error {
	s := newSheet(w, r.Storage)
	s.line("scanned", "%s", r.Scanned)
	if r.Objects > 0 { // else it did not come so far
		s.line("in the graph", "%s, %s", plural(r.Objects, "object"), plural(r.References, "reference"))
	}
	s.line("result", "%s", r.Outcome)
	writeFindings(s.line, "mended", "", r.Mended)
	writeFindings(s.line, "errors", "error", r.Findings)
	writeFindings(s.line, "damage", "damage", r.Findings)
	writeFindings(s.line, "notes", "note", r.Findings)
	s.spent(r.Seconds, r.Phases, r.PeakMemory)
	return s.flush()
}

// writeFindings prints those of a severity, or all.
func writeFindings(line lineWriter, label, severity string, found []Finding) {
	shown := 0
	for _, f := range found {
		if severity != "" && f.Severity != severity {
			continue
		}
		line(once(label, shown), "%s", f)
		shown++
	}
}
