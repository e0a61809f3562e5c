// Package program builds the command relpack for tests, and runs it as an operator
// does: to bring a storage to where a test begins, whatever the packages behind it
// are called.
package program

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/pgtest"
)

// path is that of the program, once Main has built it.
var path string

// Build writes the program, as a release of version 9.9.9, to a file.
func Build(path string) error {
	out, err := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-X main.version=v9.9.9", "-o", path, "relpack/cmd/relpack").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build relpack: %w\n%s", err, out)
	}
	return nil
}

// Main builds the program and runs the tests of a package, whose databases are
// prepared like this and have relpack installed.
func Main(m *testing.M, prepare func(ctx context.Context, conn *pgx.Conn) error) int {
	dir, err := os.MkdirTemp("", "relpack-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path = filepath.Join(dir, "relpack")
	if err := Build(path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return pgtest.Main(m, func(ctx context.Context, conn *pgx.Conn) error {
		if err := prepare(ctx, conn); err != nil {
			return err
		}
		config := conn.Config()
		dsn := fmt.Sprintf("host='%s' port=%d dbname='%s' user='%s'", config.Host, config.Port, config.Database, config.User)
		if config.Password != "" {
			dsn += fmt.Sprintf(" password='%s'", config.Password)
		}
		if out, err := exec.CommandContext(ctx, path, "migrate", "up", "-q", "--dsn", dsn).CombinedOutput(); err != nil {
			return fmt.Errorf("relpack migrate up: %w: %s", err, out)
		}
		return nil
	})
}

// A Result is what a command printed, and its exit code.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// Run runs the program. Times are printed in UTC.
func Run(t testing.TB, args ...string) Result {
	t.Helper()
	var out, warn strings.Builder
	command := exec.CommandContext(t.Context(), path, args...)
	command.Stdout, command.Stderr, command.Env = &out, &warn, append(os.Environ(), "TZ=UTC")
	var exit *exec.ExitError
	if err := command.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return Result{out.String(), warn.String(), command.ProcessState.ExitCode()}
}

// Pack brings the graph of a storage up to date, and deletes nothing.
func Pack(t testing.TB, dsn string) {
	t.Helper()
	if r := Run(t, "pack", "--quiet", "--dry-run", "--days", "-1", "--dsn", dsn); r.Code != 0 {
		t.Fatalf("relpack pack --dry-run: exit code %d: %s", r.Code, r.Stderr)
	}
}
