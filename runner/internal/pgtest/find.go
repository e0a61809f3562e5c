package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// Programs is an installation of PostgreSQL's server programs.
type Programs struct {
	Dir   string // holds initdb, postgres and pg_ctl
	Major int    // major version, 15 or newer
}

// usualPlaces are where distributions, Homebrew and Postgres.app put the
// server programs. Debian and Ubuntu keep them off PATH on purpose.
var usualPlaces = []string{
	"/usr/lib/postgresql/*/bin",         // Debian, Ubuntu
	"/usr/pgsql-*/bin",                  // packages of postgresql.org for RHEL and kin
	"/usr/lib/postgresql*/bin",          // openSUSE
	"/usr/libexec/postgresql*",          // Alpine
	"/opt/homebrew/opt/postgresql*/bin", // Homebrew on Apple silicon
	"/usr/local/opt/postgresql*/bin",    // Homebrew on Intel
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
	"/opt/homebrew/bin",
	"/usr/local/pgsql/bin", // built from source
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// errNoPrograms says that no usable installation was found anywhere.
var errNoPrograms = errors.New("no server programs of PostgreSQL found")

// Find looks for the server programs in RELPACK_PGBIN, on PATH and in the
// usual places, in this order; of several usual places the newest version is
// taken. An unusable RELPACK_PGBIN is an error and is not passed over.
func Find(ctx context.Context) (Programs, error) {
	if dir := os.Getenv("RELPACK_PGBIN"); dir != "" {
		p, err := inspect(ctx, dir)
		if err != nil {
			return Programs{}, fmt.Errorf("RELPACK_PGBIN=%s: %w", dir, err)
		}
		return p, nil
	}
	var passed []string
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		p, err := inspect(ctx, filepath.Dir(path))
		if err == nil {
			return p, nil
		}
		passed = append(passed, err.Error())
	}
	found, unusable, err := inUsualPlaces(ctx)
	if err != nil {
		return Programs{}, err
	}
	passed = append(passed, unusable...)
	if len(found) == 0 {
		if len(passed) > 0 {
			return Programs{}, fmt.Errorf("%w (passed over: %s)", errNoPrograms, strings.Join(passed, "; "))
		}
		return Programs{}, errNoPrograms
	}
	return found[0], nil
}

// inUsualPlaces lists what the usual places hold, the newest first, and what of
// that is unusable.
func inUsualPlaces(ctx context.Context) (found []Programs, unusable []string, err error) {
	for _, pattern := range usualPlaces {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			return nil, nil, fmt.Errorf("look for PostgreSQL in %s: %w", pattern, err)
		}
		for _, dir := range dirs {
			if _, err := os.Stat(filepath.Join(dir, "postgres")); err != nil {
				continue // client programs only
			}
			p, err := inspect(ctx, dir)
			if err != nil {
				unusable = append(unusable, err.Error())
				continue
			}
			found = append(found, p)
		}
	}
	sort.SliceStable(found, func(i, j int) bool { return found[i].Major > found[j].Major })
	return found, unusable, nil
}

var versionOutput = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// inspect checks that dir holds all programs that a private server needs, in a
// version that relpack supports.
func inspect(ctx context.Context, dir string) (Programs, error) {
	for _, name := range []string{"initdb", "postgres", "pg_ctl"} {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return Programs{}, fmt.Errorf("no program %s in %s", name, dir)
		}
	}
	program := filepath.Join(dir, "postgres")
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return Programs{}, fmt.Errorf("run %s --version: %w", program, err)
	}
	match := versionOutput.FindSubmatch(out)
	if match == nil {
		return Programs{}, fmt.Errorf("%s --version says %q, which names no version", program, out)
	}
	major, err := strconv.Atoi(string(match[1]))
	if err != nil {
		return Programs{}, fmt.Errorf("version of %s: %w", program, err)
	}
	if major < MinVersion {
		return Programs{}, fmt.Errorf("%s is version %d, relpack needs %d or newer", program, major, MinVersion)
	}
	return Programs{Dir: dir, Major: major}, nil
}
