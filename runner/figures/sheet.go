package figures

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// A Sheet is a table of labels and texts for people, in two columns.
type Sheet struct{ table *tabwriter.Writer }

// NewSheet begins with the storage's name, where it has one.
func NewSheet(w io.Writer, storage string) Sheet {
	s := Sheet{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	if storage != "" {
		s.Line("storage", "%s", storage)
	}
	return s
}

// A LineWriter adds a line to a sheet.
type LineWriter func(label, format string, args ...any)

// Line adds a line.
func (s Sheet) Line(label, format string, args ...any) {
	// The first error sticks to the tabwriter: flush returns it.
	fmt.Fprintf(s.table, "%s\t%s\n", label, fmt.Sprintf(format, args...))
}

// WriteHorizon says which old revisions of a history-preserving storage count: t is the
// pack time of the last pack, or dry run; nil: the storage has none.
func WriteHorizon(line LineWriter, t *time.Time) {
	if t != nil {
		line("old revisions", "what they referred to after %s, the pack time of the last pack or dry run, is alive", Clock(*t))
	}
}

// Spent says what a run took.
func (s Sheet) Spent(took float64, phases []Phase, memory int64) {
	text := Seconds(took)
	if long := longPhases(phases); len(long) > 0 {
		text += ": " + strings.Join(long, ", ")
	}
	s.Line("time", "%s", text)
	s.Line("peak memory", "%s", Size(memory))
}

// Flush prints the table.
func (s Sheet) Flush() error { return s.table.Flush() }

// Once is a label for the first line of several.
func Once(label string, i int) string {
	if i > 0 {
		return ""
	}
	return label
}
