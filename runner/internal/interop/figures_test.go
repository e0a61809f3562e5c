package interop

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
)

// figures are what the site feels: how long commits take, with and without a
// pack, and for how long relpack keeps writers waiting.
type figures struct {
	w       *site
	periods []period
	halt    context.CancelFunc
	watched sync.WaitGroup
	held    []time.Duration
}

// A period is a time in which something was going on.
type period struct {
	what       string
	start, end time.Time
}

// probeEvery is how exactly lock times are measured.
const probeEvery = 3 * time.Millisecond

// watch begins to measure how long writers wait for relpack: a session asks for
// the lock that every writer shares, again and again. Each time that relpack
// holds it for longer than probeEvery is seen once.
func (w *site) watch() *figures {
	w.t.Helper()
	ctx, halt := context.WithCancel(context.Background())
	f := &figures{w: w, halt: halt}
	w.t.Cleanup(f.stop)
	conn, err := pgx.Connect(ctx, w.dsn+" application_name='relpack probe'")
	if err != nil {
		w.t.Fatal(err)
	}
	f.watched.Go(func() {
		defer func() { _ = conn.Close(context.Background()) }()
		for ctx.Err() == nil {
			var waited float64
			err := conn.QueryRow(ctx, `SELECT pg_advisory_xact_lock_shared(1919249520, 1) IS NULL,
				extract(epoch FROM clock_timestamp() - statement_timestamp())::float8`).Scan(nil, &waited)
			if took := time.Duration(waited * float64(time.Second)); err == nil && took > time.Millisecond {
				f.held = append(f.held, took)
			}
			time.Sleep(probeEvery)
		}
	})
	return f
}

// stop ends the measurement.
func (f *figures) stop() {
	f.halt()
	f.watched.Wait()
}

// during notes when something was going on.
func (f *figures) during(what string, do func()) {
	start := time.Now()
	do()
	f.periods = append(f.periods, period{what, start, time.Now()})
}

// longest is what a commit or a writer may wait on a machine under load, with a
// pack that is stopped in the worst moment: the server lets go of its lock after
// two seconds. The figures say what it really was.
const longest = 8 * time.Second

// report prints the table of latencies.
func (f *figures) report(commits []commit) {
	f.w.t.Helper()
	for _, took := range f.held {
		if took > longest {
			f.w.t.Errorf("a writer waited for relpack for %v", took)
		}
	}
	for _, c := range commits {
		if c.took > longest {
			f.w.t.Errorf("a commit (%s) took %v", c.what, c.took)
		}
	}
	took := map[string][]time.Duration{}
	for _, c := range commits {
		kind := c.kind()
		for _, p := range f.periods {
			// One that began before or goes on after the period tells of both.
			if c.start.Before(p.end) && c.start.Add(c.took).After(p.start) {
				took[kind+"\t"+p.what] = append(took[kind+"\t"+p.what], c.took)
			}
		}
	}
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\twhile\tcommits\tp50\tp99\tmax")
	for _, kind := range []string{otherCommits, "objects 0, 1, 23", garbageRows} {
		for _, what := range []string{"no pack", "pack", "pack stopped", "zodbpack"} {
			if len(took[kind+"\t"+what]) == 0 {
				continue
			}
			fmt.Fprintln(table, kind+"\t"+what+"\t"+quantiles(took[kind+"\t"+what]))
		}
	}
	fmt.Fprintln(table, "writers wait for relpack\t\t"+quantiles(f.held))
	_ = table.Flush()
	f.w.t.Logf("%s\n%s", f.w.shape, text.String())
}

// Kinds of commits.
const (
	otherCommits = "other commits"
	garbageRows  = "rows of garbage"
)

func (c commit) kind() string {
	switch c.what {
	case "touch":
		return "objects 0, 1, 23"
	case "ghost":
		return garbageRows
	}
	return otherCommits
}

// quantiles are the number, the median, 99 % and the maximum of durations.
func quantiles(all []time.Duration) string {
	if len(all) == 0 {
		return "0"
	}
	slices.Sort(all)
	ms := func(q float64) string {
		return fmt.Sprintf("%.1f ms", float64(all[int(q*float64(len(all)-1))].Microseconds())/1000)
	}
	return fmt.Sprintf("%d\t%s\t%s\t%s", len(all), ms(0.5), ms(0.99), ms(1))
}
