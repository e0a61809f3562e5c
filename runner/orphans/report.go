package orphans

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"relpack/runner/fault"
	"relpack/runner/figures"
)

// A Report says what lies in a blob directory, and what was removed. Sizes are in
// bytes.
type Report struct {
	Storage   string    `json:"storage"`
	Outcome   string    `json:"outcome"` // listed, removed, or as that of a pack
	Error     string    `json:"error,omitempty"`
	ExitCode  int       `json:"exit_code"`
	Version   string    `json:"version"`
	Started   time.Time `json:"started"`
	Seconds   float64   `json:"seconds"`
	Days      float64   `json:"days"`
	Remove    bool      `json:"remove"`
	Gone      bool      `json:"gone"` // files of objects that are gone are to be removed, too
	Directory string    `json:"directory,omitempty"`
	Layout    string    `json:"layout,omitempty"`
	None      string    `json:"none,omitempty"` // why there is no directory

	Files []Kind `json:"files"` // in the blob directory, by kind
	// Orphans are those that nobody needs, if the directory is this storage's alone.
	Orphans Files `json:"orphans"`
	// Doubt is why Orphans are not to be removed: "" is no reason.
	Doubt   string `json:"doubt,omitempty"`
	Removed Files  `json:"removed"`
	// Kept are orphans that were needed again when their turn came, or may be.
	Kept int64 `json:"kept"`
	// Skipped are files that could not be removed, and why; at most 10.
	Skipped []string `json:"skipped"`
	// Missing are live blobs without a file; -1: not looked for. Of MissingOlder only
	// superseded revisions that are stored have none. Of revisions of live blobs, Found have a
	// file, EmptyFile an empty one, and that of NotKnown is behind a symbolic link, if there is one.
	Missing      int64   `json:"missing"`
	MissingOlder int64   `json:"missing_older"`
	EmptyFile    int64   `json:"empty_file"`
	NotKnown     int64   `json:"not_known"`
	Found        int64   `json:"found"`
	FirstMissing []int64 `json:"first_missing"` // zoids, at most 10
	// WithoutRow are live blobs without a row in blob_chunk, where blobs are in the database.
	WithoutRow int64 `json:"without_row"`

	LargeObjects LargeObjects `json:"large_objects"`

	Phases     []figures.Phase `json:"phases"`
	PeakMemory int64           `json:"peak_memory"` // of this process
}

// Files are some files.
type Files struct {
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
}

func (f *Files) add(bytes int64) {
	f.Files++
	f.Bytes += bytes
}

// String is for people.
func (f Files) String() string {
	return fmt.Sprintf("%s, %s", figures.Plural(f.Files, "file"), figures.Size(f.Bytes))
}

// A Kind is what is to be said of some files.
type Kind struct {
	Kind    string `json:"kind"`
	Meaning string `json:"meaning"`
	Orphan  bool   `json:"orphan"` // nobody needs them
	Files
	First []string `json:"first"` // paths below the blob directory
}

// LargeObjects are those that no row of blob_chunk names.
type LargeObjects struct {
	Unnamed int64    `json:"unnamed"`
	Bytes   *int64   `json:"bytes"` // nil: this role may not see it
	First   []uint32 `json:"first"` // at most 10
}

// kinds of files, in the order of a report.
var kinds = []Kind{
	{Kind: "stored", Meaning: "stored revisions"},
	{Kind: "superseded", Meaning: "superseded revisions", Orphan: true},
	{Kind: "unnamed", Meaning: "revisions that no row names", Orphan: true},
	{Kind: "duplicate", Meaning: "stored revisions once more, in the other layout", Orphan: true},
	{Kind: "gone", Meaning: "of objects that are gone"},
	{Kind: "temporary", Meaning: "temporary, older than a day", Orphan: true},
	{Kind: "young", Meaning: "superseded or gone, within the grace or open to a transaction"},
	{Kind: "fresh", Meaning: "temporary, of the last day"},
	{Kind: "unjudged", Meaning: "not stored, or just written: a pack has to look first"},
	{Kind: "last_copy", Meaning: "superseded, but the stored revision has no file beside it, or an empty one"},
	{Kind: "behind_link", Meaning: "superseded, but the stored revision is behind a symbolic link"},
	{Kind: "replaced", Meaning: "superseded or gone, but written before object_state was replaced, less than 30 days ago"},
	{Kind: "beyond", Meaning: "of object ids that were never given out here"},
	{Kind: "arrived", Meaning: "superseded, but not there when the directory was last cleared"},
	{Kind: "referred", Meaning: "of objects that are gone, which other databases may refer to"},
	{Kind: "listed", Meaning: "listed for packs, which remove them"},
	{Kind: "missing", Meaning: "of rows that vanished, kept"},
	{Kind: "other_layout", Meaning: "stored revisions, in the other layout, which may be needed"},
	{Kind: "newer", Meaning: "later than the stored revision"},
	{Kind: "above", Meaning: "later than all that is stored (was an older backup restored?); they stay"},
	{Kind: "foreign", Meaning: "of objects that are no blobs here"},
	{Kind: "nested", Meaning: "markers of blob directories within this one"},
	{Kind: "other", Meaning: "not understood"},
}

func newReport(name string, o Options) *Report {
	r := &Report{Storage: name, Version: o.Version, Started: time.Now(), Days: o.Days, Remove: o.Remove, Gone: o.Gone,
		Files: make([]Kind, len(kinds)), Skipped: []string{}, Missing: -1, FirstMissing: []int64{},
		LargeObjects: LargeObjects{First: []uint32{}}, Phases: []figures.Phase{}}
	copy(r.Files, kinds)
	for i := range r.Files {
		r.Files[i].First = []string{}
		if r.Files[i].Kind == "gone" {
			r.Files[i].Orphan = o.Gone
		}
	}
	return r
}

func (r *Report) finish(err error) {
	r.Seconds, r.PeakMemory = time.Since(r.Started).Seconds(), figures.PeakMemory()
	well := "listed"
	if r.Remove {
		well = "removed"
	}
	r.ExitCode, r.Outcome = fault.ExitCode(err), fault.Outcome(err, well)
	if err != nil {
		r.Error = fault.Message(err)
	}
}

// Empty tells whether there is nothing to tell: what was refused outright has no
// phases.
func (r *Report) Empty() bool { return len(r.Phases) == 0 }

// Write prints the report for people.
func (r *Report) Write(w io.Writer) error {
	s := figures.NewSheet(w, r.Storage)
	if r.Directory != "" {
		s.Line("blob directory", "%s (%s)", r.Directory, r.Layout)
	} else {
		s.Line("blob directory", "%s", r.None)
	}
	shown := 0
	for _, k := range r.Files {
		if k.Files.Files == 0 {
			continue
		}
		s.Line(figures.Once("files", shown), "%s: %s", k.Meaning, k.Files)
		shown++
		for _, path := range k.First {
			s.Line("", "    %s", printable(path))
		}
	}
	if text := r.missing(); text != "" {
		s.Line("without a file", "%s; \"relpack check\" names the files", text)
	}
	if n := r.WithoutRow; n > 0 {
		s.Line("damage", "%s no row in blob_chunk; \"relpack check\" names them",
			figures.Plural(n, "live blob")+map[bool]string{true: " has", false: " have"}[n == 1])
	}
	if n := r.LargeObjects.Unnamed; n > 0 {
		size := "size not known"
		if r.LargeObjects.Bytes != nil {
			size = figures.Size(*r.LargeObjects.Bytes)
		}
		s.Line("large objects", "%s that no row of blob_chunk names, %s", figures.Plural(n, "large object"), size)
	}
	if r.EmptyFile > 0 {
		s.Line("with an empty file", "%s of live blobs", figures.Plural(r.EmptyFile, "revision"))
	}
	if r.NotKnown > 0 {
		s.Line("not known", "whether there is a file of %s of live blobs: it would be behind a symbolic link", figures.Plural(r.NotKnown, "revision"))
	}
	switch {
	case r.Directory == "":
	case r.Doubt != "":
		s.Line("in doubt", "%s", r.Doubt)
	case !r.Remove:
		s.Line("nobody needs", "%s, if no other storage and no copy of this database uses the directory", r.Orphans)
	}
	if r.Remove {
		s.Line("removed", "%s", r.Removed)
	}
	for _, k := range r.Files {
		if k.Kind == "gone" && k.Files.Files > 0 && !r.Gone {
			s.Line("gone", "%s: they stay, unless you say with \"--remove --claim --gone\" that no such row will be put back without its file: from no backup, from no later timeline, by nobody", k.Files)
		}
	}
	if r.Kept > 0 {
		s.Line("kept", "%s: needed by now, or changed since the list was made", figures.Plural(r.Kept, "file"))
	}
	for i, skipped := range r.Skipped {
		s.Line(figures.Once("not removed", i), "%s", printable(skipped))
	}
	s.Spent(r.Seconds, r.Phases, r.PeakMemory)
	return s.Flush()
}

// missing says which live blobs lack files, "" for none.
func (r *Report) missing() string {
	var texts []string
	if r.Missing > 0 {
		texts = append(texts, figures.Plural(r.Missing, "live blob"))
	}
	if r.MissingOlder > 0 {
		texts = append(texts, figures.Plural(r.MissingOlder, "live blob")+" of which only older revisions lack theirs")
	}
	return strings.Join(texts, ", ")
}

// printable quotes a name that would do something to a terminal.
func printable(path string) string {
	if !utf8.ValidString(path) {
		return strconv.Quote(path)
	}
	for _, r := range path {
		if !strconv.IsPrint(r) {
			return strconv.Quote(path)
		}
	}
	return path
}
