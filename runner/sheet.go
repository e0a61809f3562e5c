package runner

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
)

// A sheet is a table of labels and texts for people, in two columns.
type sheet struct{ table *tabwriter.Writer }

// newSheet begins with the storage's name, where it has one.
func newSheet(w io.Writer, storage string) sheet {
	s := sheet{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	if storage != "" {
		s.line("storage", "%s", storage)
	}
	return s
}

// A lineWriter adds a line to a sheet.
type lineWriter func(label, format string, args ...any)

func (s sheet) line(label, format string, args ...any) {
	// The first error sticks to the tabwriter: flush returns it.
	fmt.Fprintf(s.table, "%s\t%s\n", label, fmt.Sprintf(format, args...))
}

// spent says what a run took.
func (s sheet) spent(took float64, phases []Phase, memory int64) {
	s.line("time", "%s: %s", seconds(took), strings.Join(longPhases(phases), ", "))
	s.line("peak memory", "%s", size(memory))
}

func (s sheet) flush() error { return s.table.Flush() }

// once is a label for the first line of several.
func once(label string, i int) string {
	if i > 0 {
		return ""
	}
	return label
}

func size(bytes int64) string { return humanize.IBytes(uint64(max(bytes, 0))) }
