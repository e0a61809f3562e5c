package page

import (
	"context"
	"embed"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jackc/pgx/v5"

	"relpack/runner/du"
	"relpack/runner/fault"
	"relpack/runner/figures"
	"relpack/runner/inventory"
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
	// LiveByClass and GarbageByClass are the largest of their kind.
	LiveByClass    []inventory.ClassCount `json:"live_by_class"`
	GarbageByClass []inventory.ClassCount `json:"garbage_by_class"`
	GarbageByAge   []Age                  `json:"garbage_by_age"`
	Error          string                 `json:"error,omitempty"`
	ExitCode       int                    `json:"exit_code"`
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
		LiveByClass: []inventory.ClassCount{}, GarbageByClass: []inventory.ClassCount{}, GarbageByAge: []Age{}}
	err := r.fill(ctx, t, o, log)
	if r.ExitCode = fault.ExitCode(err); err != nil {
		r.Error = fault.Message(err)
	}
	return r, err
}

func (r *Report) fill(ctx context.Context, t target.Target, o Options, log *slog.Logger) (err error) {
	if r.Status, err = status.Look(ctx, t, o.Migrations, log); err != nil || r.Status.Graph == nil || r.Status.Graph.Busy {
		return err
	}
	if err := r.readClasses(ctx, t, log); err != nil {
		return err
	}
	r.Space, err = du.Storage(ctx, t, du.Options{
		Depth: o.Depth, Max: o.Max, Sort: du.BySize, Version: o.Version, Migrations: o.Migrations, Progress: o.Progress, Limits: o.Limits,
	}, log)
	return err
}

// readClasses reads what is live and what is garbage, by class, and the age of the
// latter.
func (r *Report) readClasses(ctx context.Context, t target.Target, log *slog.Logger) error {
	conn, err := session.Open(ctx, t, "report", log)
	if err != nil {
		return err
	}
	defer session.Close(conn)
	for view, classes := range map[string]*[]inventory.ClassCount{"size_by_class": &r.LiveByClass, "garbage_by_class": &r.GarbageByClass} {
		if *classes, err = session.Rows(ctx, conn, pgx.RowToStructByPos[inventory.ClassCount],
			"SELECT class, objects, bytes FROM relpack."+view+" ORDER BY bytes DESC LIMIT $1", namedClasses); err != nil {
			return fmt.Errorf("count objects by class: %w", err)
		}
	}
	if r.GarbageByAge, err = session.Rows(ctx, conn, pgx.RowToStructByPos[Age],
		"SELECT age, objects, bytes FROM relpack.garbage_by_age"); err != nil {
		return fmt.Errorf("count garbage by age: %w", err)
	}
	if len(r.GarbageByClass) == 0 {
		r.GarbageByAge = []Age{}
	}
	return nil
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
	}).ParseFS(files, "page.html")
	if err != nil {
		return err
	}
	return page.Execute(w, reports)
}

// share is how much of the largest a value is, for a bar: percent.
func share(value int64, all any) float64 {
	var most int64
	switch all := all.(type) {
	case []inventory.ClassCount:
		for _, c := range all {
			most = max(most, c.Bytes)
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
	if r.Status.Advice != "" {
		all = append(all, r.Status.Advice)
	}
	all = append(all, r.Status.Warnings...)
	g := r.Status.Graph
	if g == nil {
		return all
	}
	if g.Doubt != nil {
		all = append(all, "the graph is in doubt: "+*g.Doubt)
	}
	missing, dangling := g.Damage.Lines()
	for _, text := range []string{g.Refusal, g.Ahead, missing, dangling, g.MissingIndex} {
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
	return all
}
