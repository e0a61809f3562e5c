package page

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jackc/pgx/v5"

	"relpack/runner/du"
	"relpack/runner/fault"
	"relpack/runner/figures"
	"relpack/runner/look"
	"relpack/runner/progress"
	"relpack/runner/session"
	"relpack/runner/status"
	"relpack/runner/target"
)

// Options say what to look at.
type Options struct {
	Depth      int    // levels of content
	Max        int    // of what is in one object, so many
	Version    string // relpack's own, for the page
	Migrations fs.FS  // what the schema must be
	Progress   progress.Meter
	Limits     look.Limits // as a rule none: the defaults
}

// A Report is all that the page has of one storage. Sizes are in bytes.
type Report struct {
	Storage string         `json:"storage"`
	Taken   time.Time      `json:"taken"`
	Version string         `json:"version"`
	Status  *status.Report `json:"status"`
	Space   *du.Report     `json:"space"` // nil: see Error
	// LiveByClass and GarbageByClass have the largest classes, and the others in one.
	LiveByClass    []Class `json:"live_by_class"`
	GarbageByClass []Class `json:"garbage_by_class"`
	GarbageByAge   []Age   `json:"garbage_by_age"`
	Error          string  `json:"error,omitempty"`
	ExitCode       int     `json:"exit_code"`
}

// A Class is how much objects of one are.
type Class struct {
	Class   string `json:"class"`
	Objects int64  `json:"objects"`
	Bytes   int64  `json:"bytes"`      // of their states
	Blobs   *int64 `json:"blob_bytes"` // of live blobs, as far as they are known; nil: none is
	Classes int    `json:"classes"`    // so many are in this line
}

// Size is of states and blobs, as far as that is known.
func (c Class) Size() int64 {
	if c.Blobs == nil {
		return c.Bytes
	}
	return c.Bytes + *c.Blobs
}

// BlobSize is for people; "" where there is nothing.
func (c Class) BlobSize() string {
	switch {
	case c.Blobs == nil:
		return "?"
	case *c.Blobs == 0:
		return ""
	}
	return figures.Size(*c.Blobs)
}

// An Age is how much has been garbage for about as long.
type Age struct {
	Label   string `json:"label"`
	Objects int64  `json:"objects"`
	Bytes   int64  `json:"bytes"` // of their states
}

// namedClasses is how many classes a page has.
const namedClasses = 12

// Storage looks at one storage. The report is never nil.
func Storage(ctx context.Context, t target.Target, o Options, log *slog.Logger) (*Report, error) {
	r := &Report{Storage: t.Name, Taken: time.Now(), Version: o.Version,
		LiveByClass: []Class{}, GarbageByClass: []Class{}, GarbageByAge: []Age{}}
	err := r.fill(ctx, t, o, log)
	if r.ExitCode = fault.ExitCode(err); err != nil {
		r.Error = fault.Message(err)
	}
	return r, err
}

func (r *Report) fill(ctx context.Context, t target.Target, o Options, log *slog.Logger) (err error) {
	if r.Status, err = status.Look(ctx, t, o.Migrations, log); err != nil {
		return err
	}
	// Where there is nothing to look at, this says so.
	r.Space, err = du.Storage(ctx, t, du.Options{
		Depth: o.Depth, Max: o.Max, Sort: du.BySize, Version: o.Version, Migrations: o.Migrations, Progress: o.Progress, Limits: o.Limits,
	}, log)
	if err != nil {
		return err
	}
	if why := r.Space.Blobs.Why; why != "" {
		log.Warn("sizes of blobs are not known: " + why)
	}
	return r.readClasses(ctx, t, log)
}

// readClasses reads what is live and what is garbage, by class, and the age of the
// latter.
func (r *Report) readClasses(ctx context.Context, t target.Target, log *slog.Logger) error {
	conn, err := session.Open(ctx, t, "report", log)
	if err != nil {
		return err
	}
	defer session.Close(conn)
	for view, classes := range map[string]*[]Class{"size_by_class": &r.LiveByClass, "garbage_by_class": &r.GarbageByClass} {
		if *classes, err = session.Rows(ctx, conn, pgx.RowToStructByPos[Class],
			"SELECT class, objects, bytes, CASE WHEN class <> $1 THEN 0::bigint END, 1 FROM relpack."+view, blobClass); err != nil {
			return fmt.Errorf("count objects by class: %w", err)
		}
	}
	if i := slices.IndexFunc(r.LiveByClass, func(c Class) bool { return c.Class == blobClass }); i >= 0 {
		if r.Space.Blobs.Where != "" {
			r.LiveByClass[i].Blobs = &r.Space.Top.Blobs
		}
	}
	r.LiveByClass, r.GarbageByClass = largest(r.LiveByClass), largest(r.GarbageByClass)
	if r.GarbageByAge, err = session.Rows(ctx, conn, pgx.RowToStructByPos[Age],
		"SELECT age, objects, bytes FROM relpack.garbage_by_age"); err != nil {
		return fmt.Errorf("count garbage by age: %w", err)
	}
	if len(r.GarbageByClass) == 0 {
		r.GarbageByAge = []Age{}
	}
	return nil
}

const blobClass = "ZODB.blob.Blob"

// largest has the largest classes, and all others in one line.
func largest(classes []Class) []Class {
	slices.SortStableFunc(classes, func(a, b Class) int { return cmp.Compare(b.Size(), a.Size()) })
	if len(classes) <= namedClasses+1 {
		return classes
	}
	others := Class{Class: figures.Plural(int64(len(classes)-namedClasses), "more class")}
	for _, c := range classes[namedClasses:] {
		others.Objects += c.Objects
		others.Bytes += c.Bytes
		others.Classes++
		if c.Blobs != nil {
			sum := others.Size() - others.Bytes + *c.Blobs
			others.Blobs = &sum
		}
	}
	return append(classes[:namedClasses], others)
}

// Empty tells whether there is nothing to tell.
func (r *Report) Empty() bool { return r.Space == nil }

//go:embed page.html page.css page.js
var files embed.FS

// Write writes the page of all reports.
func Write(w io.Writer, reports []*Report) error {
	text := func(name string) string {
		bytes, _ := files.ReadFile(name) // embedded
		return string(bytes)
	}
	page, err := template.New("page.html").Funcs(template.FuncMap{
		"css":    func() template.CSS { return template.CSS(text("page.css")) },
		"js":     func() template.JS { return template.JS(text("page.js")) },
		"size":   figures.Size,
		"count":  humanize.Comma,
		"time":   figures.Clock,
		"past":   func(t *time.Time) string { return figures.Moment(*t, time.Now()) },
		"share":  share,
		"plural": figures.Plural,
		"run":    newRuns,
		"notes":  notes,
		"beside": garbageBlobs,
		"words":  func(identifier string) string { return strings.ReplaceAll(identifier, "_", " ") },
	}).ParseFS(files, "page.html")
	if err != nil {
		return err
	}
	return page.Execute(w, reports)
}

// garbageBlobs says how long the blobs in the garbage are, which the last dry run looked at.
func garbageBlobs(r *Report) string {
	if r.Status == nil || r.Status.Graph == nil || r.Status.Graph.CutOff == nil {
		return ""
	}
	all := r.Status.Graph.CutOff.All()
	switch {
	case all.Blobs == 0:
		return ""
	case all.BlobBytes == nil:
		return "besides, " + figures.Plural(all.Blobs, "blob") + " of unknown size"
	}
	return "besides, " + figures.Plural(all.Blobs, "blob") + " of " + figures.Size(*all.BlobBytes)
}

// share is how much of the largest a value is, for a bar: percent.
func share(value int64, all any) float64 {
	var most int64
	switch all := all.(type) {
	case []Class:
		for _, c := range all {
			most = max(most, c.Size())
		}
	case []Age:
		for _, a := range all {
			most = max(most, a.Bytes)
		}
	}
	if most <= 0 {
		return 0
	}
	return 100 * float64(value) / float64(most)
}

// notes are what an operator should know besides.
func notes(r *Report) (all []string) {
	if r.Error != "" {
		all = append(all, r.Error)
	}
	if r.Status == nil {
		return all
	}
	if r.Status.Advice != "" && r.Error == "" {
		all = append(all, r.Status.Advice)
	}
	all = append(all, r.Status.Warnings...)
	if r.Space != nil && r.Space.Uncertain != "" {
		all = append(all, "what is called garbage here may be alive: "+r.Space.Uncertain)
	}
	if r.Space != nil && r.Space.Blobs.Why != "" {
		all = append(all, "sizes of blobs are not known: "+r.Space.Blobs.Why)
	}
	g := r.Status.Graph
	if g == nil {
		return all
	}
	if g.Doubt != nil {
		all = append(all, "the graph is in doubt: "+*g.Doubt)
	}
	if len(g.Runs) > 0 && g.Runs[0].Message != nil && *g.Runs[0].Message != "" {
		all = append(all, fmt.Sprintf("the last pack (%s) ended with: %s", figures.Clock(g.Runs[0].Started), *g.Runs[0].Message))
	}
	missing, dangling := g.Damage.Lines()
	for _, text := range append([]string{g.Refusal, g.Ahead, missing, dangling}, g.MissingIndexes...) {
		if text != "" {
			all = append(all, text)
		}
	}
	for _, p := range g.Problems {
		all = append(all, fmt.Sprintf("zoid %d could not be decoded (%s): %s", p.Zoid, p.Kind, p.Detail))
	}
	for _, s := range g.SetAside {
		all = append(all, fmt.Sprintf("zoid %d is unreachable and can't be deleted: %s. %s.", s.Zoid, s.Reason, s.Remedy))
	}
	for _, l := range g.Leftovers {
		all = append(all, l.String())
	}
	return append(all, `This page does not tell whether everything is there: "relpack check" tells what is missing or can't be read now.`)
}
