package check

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"relpack/runner/fault"
	"relpack/runner/figures"
	"relpack/runner/look"
	"relpack/runner/progress"
	"relpack/runner/session"
	"relpack/runner/target"
	"relpack/runner/zoid"
)

// Options say how to check.
type Options struct {
	Max        int    // of each kind so many are listed
	Version    string // relpack's own, for the report
	Quiet      bool   // nobody is shown the report
	Migrations fs.FS  // what the schema must be
	Progress   progress.Meter
	Limits     look.Limits // as a rule none: the defaults
}

// firstHolders is how many holders of a lost object are named.
const firstHolders = 3

// Storage checks one storage. If something is off, the error carries ExitRefused.
// The report is never nil.
func Storage(ctx context.Context, t target.Target, o Options, log *slog.Logger) (*Report, error) {
	began := time.Now()
	r := &Report{Storage: t.Name, Version: o.Version,
		Lost: []Lost{}, Undecodable: []Undecodable{}, Foreign: []Foreign{}, Phases: []figures.Phase{},
		Blobs: Blobs{First: []MissingBlob{}, FirstOlder: []MissingBlob{}, FirstLarge: []Spot{}}}
	err := r.fill(ctx, t, o, log)
	r.Seconds, r.PeakMemory = time.Since(began).Seconds(), figures.PeakMemory()
	if r.Outcome = fault.Outcome(err, "sound"); err == nil && r.Uncertain != "" {
		r.Outcome = "uncertain"
	}
	if err == nil {
		err = r.verdict(o.Quiet)
	}
	if r.ExitCode = fault.ExitCode(err); err != nil {
		r.Error = fault.Message(err)
	}
	return r, err
}

// verdict is the error that somebody has to act on.
func (r *Report) verdict(quiet bool) error {
	refusal := "every pack is refused: " + r.Refusal
	switch {
	case r.off():
		r.Outcome = "damage"
		hint := "relpack repairs none of it"
		if quiet {
			hint += `: "relpack check" without --quiet, or with --json, names the places`
		}
		text := "damage: " + r.summary()
		if r.Refusal != "" {
			text += "; " + refusal
		}
		return &fault.Error{Code: fault.ExitRefused, Err: errors.New(text), Hint: hint}
	case r.Refusal != "":
		r.Outcome = "refused"
		return &fault.Error{Code: fault.ExitRefused, Err: errors.New(refusal)}
	}
	return nil
}

func (r *Report) fill(ctx context.Context, t target.Target, o Options, log *slog.Logger) error {
	dir, err := r.openBlobs(t)
	if err != nil {
		return err
	}
	if dir != nil {
		defer func() { _ = dir.Close() }()
	}
	began := time.Now()
	g, err := look.Open(ctx, t, "check", o.Migrations, o.Limits, o.Progress, log)
	if err != nil {
		return err
	}
	defer g.Close()
	r.phase("read", began)
	r.UpTo, r.Fresh, r.Horizon, r.Uncertain, r.Refusal = g.UpTo, g.Fresh, g.Horizon, g.Uncertain, g.Refusal
	if r.Refusal == "" && g.OnPrimary() {
		r.Refusal = apart(ctx, t, log)
	}
	c := checker{Graph: g, Report: r, max: max(o.Max, 1), dir: dir, inDatabase: t.BlobsInDatabase}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"references", c.references},
		{"states", c.states},
		{"current revisions", c.current},
		{"other databases", func(ctx context.Context) error { return c.foreign(ctx, t.File) }},
		{"blobs", c.blobs},
	} {
		began := time.Now()
		if err := step.do(ctx); err != nil {
			return g.Explain(err)
		}
		r.phase(step.name, began)
		r.Uncertain = cmp.Or(r.Uncertain, g.Uncertain)
	}
	r.Blobs.asked = true
	if r.Blobs.Needed && o.Quiet {
		log.Error("no blob file was looked for, though there are live blobs: " + r.Blobs.Why) // with --quiet too
	}
	return nil
}

// apart is why a pack refuses a storage for whose blob directory it is; "" for nothing. A
// database that can't be asked may be another one.
func apart(ctx context.Context, t target.Target, log *slog.Logger) string {
	origin, asked := "", false
	for _, other := range t.SameBlobDir() {
		if !asked {
			origin, _ = session.Origin(ctx, t, "check", log)
			asked = true
		}
		if theirs, err := session.Origin(ctx, other, "check", log); err != nil || origin == "" || theirs != origin {
			return fault.Message(t.RefuseApart(other))
		}
	}
	return ""
}

func (r *Report) phase(name string, began time.Time) {
	r.Phases = append(r.Phases, figures.Phase{Name: name, Seconds: time.Since(began).Seconds()})
}

// summary says in a few words what is off.
func (r *Report) summary() string {
	var texts []string
	add := func(n int64, what, one, many string) {
		switch n {
		case 0:
		case 1:
			texts = append(texts, "1 "+what+" "+one)
		default:
			texts = append(texts, figures.Plural(n, what)+" "+many)
		}
	}
	add(r.LostCount, "object", "is not stored, though live ones refer to it", "are not stored, though live ones refer to them")
	add(r.unread(), "live object", "can't be decoded", "can't be decoded")
	add(r.Stateless, "live object", "has no state", "have no state")
	add(r.Uncurrent, "live object", "has no current revision (current_object)", "have no current revision (current_object)")
	add(r.Blobs.Missing, "live blob", "has no file", "have no file")
	add(r.Blobs.MissingOlder, "live blob", "lacks files of older revisions", "lack files of older revisions")
	add(r.Blobs.LargeObjects, "live blob", "has no large object", "have no large object")
	return strings.Join(texts, "; ")
}

// checker looks through one storage.
type checker struct {
	*look.Graph
	*Report
	max int
	dir *blobs
	// inDatabase: the configuration says that blobs are there.
	inDatabase bool
}

// spot describes an object by how Python would reach it.
func (c *checker) spot(ctx context.Context, id int64) (Spot, error) {
	s := Spot{Zoid: id}
	way, err := c.Way(ctx, id)
	if err != nil {
		return s, err
	}
	if way.Zoids == nil {
		objects, err := c.Objects(ctx, []int64{id})
		s.Class = objects[0].Class
		return s, err
	}
	steps, err := c.Steps(ctx, way.Zoids)
	if err != nil {
		return s, err
	}
	s.Class, s.Name = steps[len(steps)-1].Class, look.Expression(steps)
	return s, nil
}

// references finds what live objects refer to and is not stored. Those are listed
// that most refer to.
func (c *checker) references(ctx context.Context) error {
	c.Progress().Phase("look for what is not stored", "objects", 0)
	defer c.Progress().End()
	var most []look.Lost
	err := c.EachLost(ctx, func(l look.Lost) error {
		c.Progress().Add(1)
		c.LostCount++
		c.References += l.Holders
		at, _ := slices.BinarySearchFunc(most, l, func(a, b look.Lost) int { return int(b.Holders - a.Holders) })
		for at < len(most) && most[at].Holders == l.Holders {
			at++
		}
		if at < c.max {
			most = slices.Insert(most, at, l)
			most = most[:min(len(most), c.max)]
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, l := range most {
		lost := Lost{Zoid: l.Zoid, Oid: zoid.Hex(l.Zoid), Class: l.Class, Since: l.Since, Holders: l.Holders}
		if lost.First, err = c.holders(ctx, l); err != nil {
			return err
		}
		c.Lost = append(c.Lost, lost)
	}
	return nil
}

// holders names the first that refer to a lost object; last those that only say that
// it holds them.
func (c *checker) holders(ctx context.Context, l look.Lost) ([]Spot, error) {
	names := map[int64]look.Name{}
	for _, holder := range l.Some {
		name, err := c.NameOf(ctx, holder, l.Zoid)
		if err != nil {
			return nil, err
		}
		names[holder] = name
	}
	slices.SortStableFunc(l.Some, func(a, b int64) int {
		switch {
		case names[a].Up == names[b].Up:
			return 0
		case names[a].Up:
			return 1
		}
		return -1
	})
	spots := []Spot{}
	for _, holder := range l.Some[:min(len(l.Some), firstHolders)] {
		s, err := c.spot(ctx, holder)
		if err != nil {
			return nil, err
		}
		s.Name += heldBy(names[holder])
		spots = append(spots, s)
	}
	return spots, nil
}

// heldBy is how a holder has an object.
func heldBy(name look.Name) string {
	switch {
	case name.Inner:
		return " (a part of it)"
	case name.Places == 0:
		return ".?"
	}
	return name.Name
}

// states finds live objects whose state can't be decoded.
func (c *checker) states(ctx context.Context) error {
	c.Progress().Phase("look for states that can't be decoded", "objects", 0)
	defer c.Progress().End()
	var err error
	c.UndecodableGarbage, err = c.EachProblem(ctx, func(p look.Problem) error {
		c.Progress().Add(1)
		if p.Kind == "opaque" {
			c.Blocking++
		}
		return c.undecodable(ctx, p)
	})
	return err
}

// undecodable counts a state that can't be read, and describes one of the first.
func (c *checker) undecodable(ctx context.Context, p look.Problem) error {
	c.UndecodableCount++
	switch p.Kind {
	case "empty":
		c.Stateless++
	case "uncurrent":
		c.Uncurrent++
	}
	if len(c.alike(p.Kind)) >= c.max {
		return nil
	}
	s, err := c.spot(ctx, p.Zoid)
	if err != nil {
		return err
	}
	s.Class = p.Class
	u := Undecodable{Spot: s, Kind: p.Kind, Reason: p.Reason, Remedy: remedy(p, c.KeepsHistory())}
	if p.Offset >= 0 {
		u.Offset = &p.Offset
	}
	c.Undecodable = append(c.Undecodable, u)
	return nil
}

// current finds live objects of a history-preserving storage that nobody can load, since
// current_object does not name them.
func (c *checker) current(ctx context.Context) error {
	if !c.KeepsHistory() {
		return nil
	}
	c.Progress().Phase("look for current revisions", "objects", 0)
	defer c.Progress().End()
	var zoids []int64
	if err := c.Pause(ctx, func() error {
		return c.EachUncurrent(ctx, func(some []int64) { zoids = append(zoids, some[:min(len(some), maxRechecked-len(zoids))]...) })
	}); err != nil {
		return err
	}
	more, err := c.NewlyAlive(ctx)
	if err != nil {
		return err
	}
	zoids = append(zoids, more...)
	slices.Sort(zoids)
	bare, err := c.StillUncurrent(ctx, slices.Compact(zoids))
	if err != nil {
		return err
	}
	for _, p := range bare {
		if err := c.undecodable(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// remedy is what a person can do. The graph may be that of an earlier pack time, up to
// which old revisions count that the next pack removes.
func remedy(p look.Problem, history bool) string {
	switch {
	case p.Kind == "uncurrent":
		return "Restore its row there: the zoid, and the tid of its newest revision (SELECT * FROM relpack.history(zoid))"
	case p.Kind == "empty":
		return "Its creation was undone, or a tool emptied it: restore its row from a backup before the grace of what only it referred to is over, or remove the reference from its holder"
	case p.Kind == "salvaged":
		return "Load it in the application and save it again; until then every 8 bytes of it that name an object count as a reference, and packs go on"
	case strings.Contains(p.Reason, "encrypted"):
		return "relpack can't see what an encrypted record refers to: pack this storage with zodbpack"
	}
	const restore = "Restore its row from a backup, or remove it from its holder in the application; until then every pack is refused"
	if history {
		return restore + ", unless it is an old revision whose time has passed: \"relpack pack --dry-run\" tells"
	}
	return restore
}

func (c *checker) foreign(ctx context.Context, file *target.File) error {
	found, err := c.Foreigns(ctx)
	if err != nil {
		return err
	}
	for _, f := range found {
		s, err := c.spot(ctx, f.First)
		if err != nil {
			return err
		}
		c.Foreign = append(c.Foreign, Foreign{Database: f.Database, References: f.References, Named: file.Knows(f.Database), First: s})
	}
	return nil
}

// more says how many are not listed.
func more(count int64, listed int) string {
	if left := count - int64(listed); left > 0 {
		return "and " + humanize.Comma(left) + " more (--max)"
	}
	return ""
}
