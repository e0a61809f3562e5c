package packtest

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/program"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// Crasher ends a pack after so many statements, as a lost client would.
type Crasher struct {
	slog.Handler
	mu     sync.Mutex
	Left   int
	Cancel context.CancelFunc
	Last   string
	seen   func(statement string) // if set: is told of each
}

func (c *Crasher) Enabled(context.Context, slog.Level) bool { return true }

func (c *Crasher) Handle(_ context.Context, r slog.Record) error {
	statement := false
	r.Attrs(func(a slog.Attr) bool { statement = statement || a.Key == "time"; return true })
	if !statement {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Left--
	if c.seen != nil {
		c.seen(r.Message)
	}
	if c.Left == 0 {
		c.Last = r.Message
		c.Cancel()
	}
	return nil
}

func (c *Crasher) WithAttrs([]slog.Attr) slog.Handler { return c }

func (c *Crasher) WithGroup(string) slog.Handler { return c }

// onlyLooks are the statements of a pack that does not have the pack lock yet.
var onlyLooks = regexp.MustCompile(`^\s*(SELECT|WITH)\b`)

// StatementsUntilLocked is after how many statements a dry run has the pack lock.
// Before, it must write nothing, so that a crash there leaves nothing to be made good.
func StatementsUntilLocked(t testing.TB, target target.Target) (n int) {
	t.Helper()
	o := Everything
	o.DryRun = true
	c := &Crasher{Left: math.MaxInt}
	c.seen = func(statement string) {
		switch {
		case n > 0:
		case strings.Contains(statement, "relpack.try_pack_lock()"):
			n = math.MaxInt - c.Left
		case !onlyLooks.MatchString(statement) || strings.Contains(strings.SplitAfter(statement, "FROM")[0], "relpack."):
			t.Errorf("before it has the pack lock, it says %s", statement)
		}
	}
	if _, err := pack.Run(t.Context(), target, o, slog.New(c)); err != nil {
		t.Fatal(fault.Message(err))
	}
	if n == 0 {
		t.Fatal("no pack lock was taken")
	}
	return n
}

// CrashAfter packs until n statements are done. It returns the last of them,
// or "" when the pack came to its end.
func CrashAfter(t testing.TB, target target.Target, o pack.Options, n int) string {
	t.Helper()
	return Crash(t, target, n, func(ctx context.Context, log *slog.Logger) error {
		_, err := pack.Run(ctx, target, o, log)
		return err
	})
}

// Crash is CrashAfter for whatever works on a storage.
func Crash(t testing.TB, target target.Target, n int, work func(context.Context, *slog.Logger) error) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := &Crasher{Left: n, Cancel: cancel}
	err := work(ctx, slog.New(c))
	if err != nil && !errors.Is(err, context.Canceled) && ctx.Err() == nil {
		t.Fatalf("it failed: %s", fault.Message(err))
	}
	if err == nil {
		return ""
	}
	UntilGone(t, Session(t, target))
	return c.Last
}

// BuildCommand builds the command, for the subtests of a test.
func BuildCommand(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "relpack")
	if err := program.Build(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// A Process is "relpack pack --days -1" on a storage.
type Process struct {
	t      *testing.T
	Cmd    *exec.Cmd
	Output bytes.Buffer
	Ended  chan error
}

// StartPack starts the program on a storage.
func StartPack(t *testing.T, program string, target target.Target) *Process {
	t.Helper()
	args := []string{"pack", "--days", "-1", "--dsn", target.DSN}
	if target.BlobDir != "" {
		args = append(args, "--blob-dir", target.BlobDir)
	}
	p := &Process{t: t, Cmd: exec.Command(program, args...), Ended: make(chan error, 1)}
	p.Cmd.Stdout, p.Cmd.Stderr = &p.Output, &p.Output
	if err := p.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.Ended <- p.Cmd.Wait() }()
	return p
}

// Kill ends the process as the machine would that runs out of memory, and
// waits until the server has noticed.
func (p *Process) Kill(conn *pgx.Conn) {
	p.t.Helper()
	_ = p.Cmd.Process.Kill()
	<-p.Ended
	UntilGone(p.t, conn)
}

// UntilGone polls until relpack's sessions in the database are gone.
func UntilGone(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	Until(t, "the sessions of a killed pack are gone", func() bool {
		return Get[int](t, conn, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name LIKE 'relpack %'`) == 0
	})
}
