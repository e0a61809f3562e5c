package packtest

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/graph"
	"relpack/runner/job"
	"relpack/runner/pack"
	"relpack/runner/schema"
	"relpack/runner/status"
	"relpack/runner/target"
)

// Everything packs without grace: the sample data is young.
var Everything = pack.Options{Days: -1, Version: "test", Migrations: migrations.Files}

// Pack packs a storage, which has to succeed.
func Pack(t testing.TB, target target.Target, o pack.Options) *pack.Report {
	t.Helper()
	report, err := pack.Run(t.Context(), target, o, Log(t))
	if err != nil {
		t.Fatalf("pack: %s", fault.Message(err))
	}
	return report
}

// DryRun brings the graph up to date and deletes nothing.
func DryRun(t testing.TB, target target.Target) *pack.Report {
	t.Helper()
	o := Everything
	o.DryRun = true
	return Pack(t, target, o)
}

// PackWithGrace packs with so many days of grace.
func PackWithGrace(t *testing.T, target target.Target, days float64) *pack.Report {
	t.Helper()
	o := Everything
	o.Days = days
	return Pack(t, target, o)
}

// Ranged packs the sample in several ranges of blocks.
func Ranged() pack.Options {
	o := Everything
	o.RangeBlocks = 16
	return o
}

// Hooks is a Progress that lets a test act in the middle of a pack.
type Hooks struct {
	OnPhase func(name string)
	OnAdd   func(name string, n int64)
	mu      sync.Mutex
	name    string
}

// Phase is told which phase begins.
func (h *Hooks) Phase(name, _ string, _ int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.name = name
	if h.OnPhase != nil {
		h.OnPhase(name)
	}
}

// Add is told how much more is done.
func (h *Hooks) Add(n int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.OnAdd != nil {
		h.OnAdd(h.name, n)
	}
}

// End is told nothing.
func (h *Hooks) End() {}

// Before is for a pack that runs act once, when the phase begins.
func Before(phase string, act func()) pack.Options {
	var once sync.Once
	o := Everything
	o.Progress = &Hooks{OnPhase: func(name string) {
		if name == phase {
			once.Do(act)
		}
	}}
	return o
}

// PackWith packs, and acts once: before a phase, or while "during" it the other
// sessions go on. It tells whether it came to that.
func PackWith(t testing.TB, target target.Target, phase string, act func()) (met bool, err error) {
	t.Helper()
	var once sync.Once
	begins := func(name string) {
		if name == phase {
			once.Do(func() {
				met = true
				act()
			})
		}
	}
	o := Ranged()
	o.Progress = &Hooks{OnPhase: begins, OnAdd: func(name string, _ int64) { begins("during " + name) }}
	_, err = pack.Run(t.Context(), target, o, slog.New(phaseLog{slog.DiscardHandler, begins}))
	t.Logf("at the phase %q: %v", phase, met)
	return met, err
}

// PhaseLog is a log for a pack that runs act once, when the phase begins, also one that no
// progress tells of.
func PhaseLog(phase string, act func()) *slog.Logger {
	var once sync.Once
	return slog.New(phaseLog{slog.DiscardHandler, func(name string) {
		if name == phase {
			once.Do(act)
		}
	}})
}

// A phaseLog is a log that lets a test act when a phase begins, those included
// that no progress tells of.
type phaseLog struct {
	slog.Handler
	begins func(phase string)
}

func (p phaseLog) Enabled(context.Context, slog.Level) bool { return true }

func (p phaseLog) Handle(_ context.Context, r slog.Record) error {
	if name, found := strings.CutPrefix(r.Message, "phase "); found {
		p.begins(name)
	}
	return nil
}

func (p phaseLog) WithAttrs([]slog.Attr) slog.Handler { return p }

func (p phaseLog) WithGroup(string) slog.Handler { return p }

// Packer is a pack at work in a session.
func Packer(t testing.TB, target target.Target, conn *pgx.Conn) *graph.Packer {
	return &graph.Packer{Job: job.New(target, Log(t), nil, nil), Seen: &graph.Seen{}, Conn: conn, PID: conn.PgConn().PID()}
}

// PackRefused packs and wants an error with ExitRefused that says all of words.
func PackRefused(t *testing.T, target target.Target, words ...string) *pack.Report {
	t.Helper()
	report, err := pack.Run(t.Context(), target, Everything, Log(t))
	ExpectRefusal(t, err, words...)
	return report
}

// Outcome calls sweep as a DBA would.
func Outcome(t testing.TB, conn *pgx.Conn) string {
	t.Helper()
	return Get[string](t, conn, "SELECT outcome FROM relpack.sweep(1000, NULL)")
}

// RowsRead counts by a query the rows that a pack reads, which a session reports
// when it ends: before it is gone from pg_stat_activity.
func RowsRead(t testing.TB, target target.Target, count string, pack func()) int64 {
	t.Helper()
	conn := Session(t, target)
	settled := func() (rows int64) {
		Until(t, "the statistics", func() bool {
			last := rows
			time.Sleep(300 * time.Millisecond)
			rows = Get[int64](t, conn, count)
			return rows == last && !Get[bool](t, conn, `SELECT EXISTS (SELECT FROM pg_stat_activity
				WHERE datname = current_database() AND application_name LIKE 'relpack %')`)
		})
		return rows
	}
	before := settled()
	pack()
	return settled() - before
}

// Status is what "relpack status" prints.
func Status(t *testing.T, target target.Target) string {
	t.Helper()
	report, err := status.Look(t.Context(), target, migrations.Files, Log(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(report); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := report.Write(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// MigrateUp installs relpack.
func MigrateUp(t testing.TB, target target.Target) {
	t.Helper()
	if err := schema.Up(t.Context(), target, migrations.Files, Log(t)); err != nil {
		t.Fatal(err)
	}
}
