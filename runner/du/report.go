package du

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"relpack/runner/figures"
)

// A Report says where the space of one storage is. Sizes are in bytes.
type Report struct {
	Storage  string `json:"storage"`
	Error    string `json:"error,omitempty"`
	ExitCode int    `json:"exit_code"`
	Version  string `json:"version"`
	// UpTo is the last transaction that the last pack knew of: live objects are as of then,
	// and sizes of states in a history-free storage; all other sizes are current. Fresh is how many objects were written since.
	UpTo  *time.Time `json:"up_to"`
	Fresh int64      `json:"written_since"`
	// Horizon is up to when revisions of a history-preserving storage that were
	// superseded don't count.
	Horizon   *time.Time `json:"horizon,omitempty"`
	Uncertain string     `json:"uncertain,omitempty"` // why some of what is live may be garbage, or the reverse

	Table        int64         `json:"table_bytes"`         // of object_state on disk, with indexes
	LargeObjects int64         `json:"large_objects_bytes"` // of all large objects of the database, on disk
	Unreachable  figures.Count `json:"unreachable"`         // is in none of the following; may be alive where Uncertain says so
	Blobs        Blobs         `json:"blobs"`
	// KeepsHistory: the storage is a history-preserving one, and history_bytes are known.
	KeepsHistory bool  `json:"keeps_history"`
	Sort         Key   `json:"sort"`
	Top          *Line `json:"top"` // nil: there was an error
	// ByClass are the classes of what is in Top, where they were asked for.
	ByClass      []Class `json:"by_class,omitempty"`
	OtherClasses Others  `json:"other_classes"`

	Seconds    float64         `json:"seconds"`
	Phases     []figures.Phase `json:"phases"`
	PeakMemory int64           `json:"peak_memory"` // of this process
}

// Blobs are all live ones.
type Blobs struct {
	Where   string `json:"where"`            // files or large objects; "": sizes are not known
	Why     string `json:"why"`              // they are not known, if there is more to say
	Known   int64  `json:"known"`            // so many have a size
	Unknown int64  `json:"unknown"`          // so many have none: there is no file, or this role may not look
	Failed  string `json:"failed,omitempty"` // the first error of looking at a file
}

// A Line is an object with all that is in it, itself included.
type Line struct {
	Zoid  int64  `json:"zoid"`
	Oid   string `json:"oid"` // as ZODB prints it
	Class string `json:"class,omitempty"`
	// Name is how Python would reach it, of all but Top from the object that it is in;
	// "" where that can't be told.
	Name string `json:"name,omitempty"`
	Own  int64  `json:"own_bytes"` // of its own state
	// OwnHistory is of its own superseded revisions.
	OwnHistory int64 `json:"own_history_bytes,omitempty"`
	Sum
	Content []*Line `json:"content"`
	// Parts are the inner nodes and buckets of a BTree, which Content and Others have
	// none of.
	Parts  *Others `json:"parts,omitempty"`
	Others *Others `json:"others,omitempty"`
}

// Others are not listed.
type Others struct {
	Count int64 `json:"count"`
	Sum
}

// A Class is how much objects of one are.
type Class struct {
	Class string `json:"class"`
	Sum
}

func newReport(name string, o Options) *Report {
	return &Report{Storage: name, Version: o.Version, Sort: o.Sort, Phases: []figures.Phase{}}
}

// MarshalJSON has null for blob_bytes where nobody knows sizes of blobs. There all of
// them are 0, and no text has a quote that stands for itself.
func (r Report) MarshalJSON() ([]byte, error) {
	type plain Report
	text, err := json.Marshal(plain(r))
	if r.Blobs.Where == "" {
		text = bytes.ReplaceAll(text, []byte(`"blob_bytes":0`), []byte(`"blob_bytes":null`))
	}
	return text, err
}

// Empty tells whether there is nothing to tell.
func (r *Report) Empty() bool { return r.Top == nil }

// Write prints the report for people.
func (r *Report) Write(w io.Writer) error {
	s := figures.NewSheet(w, r.Storage)
	if text := r.GraphUpTo(); text != "" {
		s.Line("graph up to", "%s", text)
	}
	figures.WriteHorizon(s.Line, r.Horizon)
	if r.Uncertain != "" {
		s.Line("uncertain", "%s", r.Uncertain)
	}
	s.Line("on disk", "%s", r.onDisk())
	if r.Unreachable.Objects > 0 {
		label := "unreachable"
		if r.Uncertain != "" {
			label = "may be unreachable"
		}
		s.Line(label, "%s, in none of the following", r.Unreachable)
	}
	if text := r.Blobs.text(); text != "" {
		s.Line("blobs", "%s", text)
	}
	if err := s.Flush(); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	if err := r.writeTable(w); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	s = figures.NewSheet(w, "")
	s.Spent(r.Seconds, r.Phases, r.PeakMemory)
	return s.Flush()
}

// GraphUpTo is until when all of this is, for people; "" if that is not known.
func (r *Report) GraphUpTo() string {
	if r.UpTo == nil {
		return ""
	}
	text := figures.Moment(*r.UpTo, time.Now())
	if r.Fresh > 0 {
		text += fmt.Sprintf("; %s written since", figures.Plural(r.Fresh, "object"))
	}
	return text
}

func (r *Report) onDisk() string {
	text := "object_state " + figures.Size(r.Table)
	if r.Blobs.Where == "large objects" {
		text += ", large objects " + figures.Size(r.LargeObjects)
	}
	return text + ", with indexes and free space"
}

func (b Blobs) text() string {
	switch {
	case b.Why != "":
		return "sizes not known: " + b.Why
	case b.Where == "":
		return "sizes not known: there is no blob directory, and no blob in the database"
	case b.Known == 0 && b.Unknown == 0:
		return ""
	case b.Unknown > 0 && b.Where == "files":
		text := fmt.Sprintf("no file of %s was found: size 0", figures.Plural(b.Unknown, "live blob"))
		if b.Failed != "" {
			text += "; an error: " + b.Failed
		}
		return text
	case b.Unknown > 0:
		return fmt.Sprintf("the size of %s is not known: this role may not read the large objects, or there are none", figures.Plural(b.Unknown, "live blob"))
	}
	return ""
}

// writeTable prints numbers to the right and names to the left.
func (r *Report) writeTable(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	history := func(text string) string {
		if !r.KeepsHistory {
			return ""
		}
		return text + "\t"
	}
	fmt.Fprintf(table, "size\tstates\t%sblobs\tobjects\t\n", history("history"))
	row := func(s Sum, depth int, text string) {
		size, blobs := figures.Size(s.Bytes()), figures.Size(s.Blobs)
		if r.Blobs.Where == "" {
			blobs = "?"
		}
		fmt.Fprintf(table, "%s\t%s\t%s%s\t%s\t  %s%s\n", size, figures.Size(s.States), history(figures.Size(s.History)), blobs, humanize.Comma(s.Objects), strings.Repeat("  ", depth), text)
	}
	row(r.Top.Sum, 0, r.Top.text())
	r.Top.each(1, row)
	for _, c := range r.ByClass {
		row(c.Sum, 1, className(c.Class))
	}
	if n := r.OtherClasses.Count; n > 0 {
		row(r.OtherClasses.Sum, 1, "("+figures.Plural(n, "more class")+")")
	}
	if err := table.Flush(); err != nil || r.Top.named() {
		return err
	}
	_, err := fmt.Fprintln(w, `The name ? is of an object whose holder does not refer to it: "relpack why ZOID" says what keeps it.`)
	return err
}

// named tells whether all that is listed has a name.
func (l *Line) named() bool {
	return l.Name != "" && !slices.ContainsFunc(l.Content, func(below *Line) bool { return !below.named() })
}

// each is called for all that is listed in a line.
func (l *Line) each(depth int, row func(Sum, int, string)) {
	for _, below := range l.Content {
		row(below.Sum, depth, below.text())
		below.each(depth+1, row)
	}
	if l.Parts != nil {
		row(l.Parts.Sum, depth, fmt.Sprintf("(%s of the BTree)", figures.Plural(l.Parts.Count, "part")))
	}
	if l.Others != nil {
		row(l.Others.Sum, depth, fmt.Sprintf("(%s more)", humanize.Comma(l.Others.Count)))
	}
}

// text names an object for people.
func (l *Line) text() string {
	name := l.Name
	if name == "" {
		name = "?"
	}
	return fmt.Sprintf("%s  (zoid %d %s)", name, l.Zoid, className(l.Class))
}

func className(class string) string {
	if class == "" {
		return "class unknown"
	}
	return class
}
