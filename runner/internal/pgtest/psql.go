package pgtest

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
)

// Psql finds psql: beside the server programs, in the usual places, on PATH.
// Debian's psql on PATH is a wrapper that chooses a version; the others come
// first. Some packages of the server lack psql, which is an error here.
func Psql(programs Programs) (string, error) {
	candidates := []string{programs.Dir}
	for _, pattern := range usualPlaces {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			return "", fmt.Errorf("look for psql in %s: %w", pattern, err)
		}
		candidates = append(candidates, dirs...)
	}
	for _, dir := range candidates {
		if path, err := exec.LookPath(filepath.Join(dir, "psql")); err == nil {
			return path, nil
		}
	}
	if path, err := exec.LookPath("psql"); err == nil {
		return path, nil
	}
	return "", errors.New("no psql found beside the server programs, in the usual places or on PATH")
}
