package blobdir

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// Unlink unlinks a file that Walk found, and its lock before it, if it is still the
// very file: of this size, and untouched since. A copy that was put in its place is
// another one, whatever its name and content. It tells whether it did. What is of
// unknown purpose stays.
func (d *Dir) Unlink(e Entry) (bool, error) {
	if e.Kind != Revision && e.Kind != Temporary {
		return false, fmt.Errorf("remove %s: nobody knows what it is", filepath.Join(d.path, e.Path))
	}
	parts := strings.Split(e.Path, string(filepath.Separator))
	opened, err := d.descendTo(parts[:len(parts)-1])
	if err != nil || opened == nil {
		return false, err
	}
	defer opened.close()
	at, names := opened.object(), []string{parts[len(parts)-1]}
	info, err := at.root.Lstat(names[0])
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, at.named(err)
	case !info.Mode().IsRegular() || info.Size() != e.Size || !changed(info).Equal(e.Time):
		return false, nil
	}
	if e.Kind == Revision {
		locked, err := at.has(names[0] + lockSuffix)
		if err != nil {
			return false, err
		}
		if locked {
			names = slices.Insert(names, 0, names[0]+lockSuffix)
		}
	}
	for _, name := range names {
		if err := at.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, at.named(err)
		}
	}
	return true, nil
}

// RemoveEmpty removes the directory in which a revision lay that Walk found, and what is
// above it, as Remove does, if no more than its lock is left there.
func (d *Dir) RemoveEmpty(e Entry, newest int64) error {
	opened, err := d.descend(e.Layout, e.Zoid)
	if err != nil || opened == nil {
		return err
	}
	defer opened.close()
	at := opened.object()
	left, err := at.names()
	if err != nil {
		return err
	}
	if slices.Equal(left, []string{dirLock}) {
		regular, err := at.has(dirLock)
		if err != nil || !regular {
			return err
		}
		if err := at.root.Remove(dirLock); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return at.named(err)
		}
		left = nil
	}
	if len(left) > 0 {
		return nil
	}
	return removeDirs(opened, levelNames(e.Layout, e.Zoid), Removal{Zoid: e.Zoid, Newest: newest})
}
