// Package pyenv installs Python programs into a virtual environment, for the
// tests and benchmarks that need the real RelStorage.
package pyenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// An Env is a virtual environment of Python.
type Env struct{ dir string }

// RelStorage is what an installation of RelStorage for PostgreSQL needs.
// Without its extra "postgresql", which would compile the driver.
var RelStorage = []string{"RelStorage", "psycopg2-binary"}

// Install creates the environment in dir, with these packages, where it isn't
// yet. It says on progress what it runs.
func Install(ctx context.Context, progress io.Writer, dir string, packages ...string) (*Env, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	e := &Env{dir}
	// Written last: what was interrupted is installed again.
	list, wanted := filepath.Join(dir, "installed.txt"), strings.Join(packages, "\n")+"\n"
	switch found, err := os.ReadFile(list); {
	case err == nil && string(found) == wanted:
		return e, nil
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return nil, err
	}
	for _, args := range [][]string{
		{"python3", "-m", "venv", dir},
		append([]string{e.Program("python"), "-m", "pip", "install", "--quiet", "--retries=10", "--disable-pip-version-check", "--prefer-binary"}, packages...),
	} {
		if _, err := fmt.Fprintln(progress, strings.Join(args, " ")); err != nil {
			return nil, err
		}
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Stdout, cmd.Stderr = progress, progress
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("install %s: %w (Debian: apt install python3-venv)", strings.Join(packages, ", "), err)
		}
	}
	return e, os.WriteFile(list, []byte(wanted), 0o644)
}

// Program is the path of a program of the environment: "python", "zodbpack".
func (e *Env) Program(name string) string { return filepath.Join(e.dir, "bin", name) }

// Versions names the environment's Python and the versions of packages.
func (e *Env) Versions(ctx context.Context, packages ...string) (string, error) {
	const script = `import sys
from importlib.metadata import version
print(", ".join([f"{name} {version(name)}" for name in sys.argv[1:]] + ["Python " + sys.version.split()[0]]))`
	out, err := exec.CommandContext(ctx, e.Program("python"), append([]string{"-c", script}, packages...)...).Output()
	if err != nil {
		return "", fmt.Errorf("ask Python for versions: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
