package blobdir

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// Unlink unlinks a temporary file that Walk found, if it is still the very file: of this
// size, and untouched since. It tells whether it did.
func (d *Dir) Unlink(e Entry) (bool, error) {
	opened, name, err := d.again(e, Temporary)
	if err != nil || opened == nil {
		return false, err
	}
	defer opened.close()
	at := opened.object()
	if err := at.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, at.named(err)
	}
	return true, nil
}

// again opens the directory of a file that Walk found; nil if the file is not the very
// same any more. What is of another kind, or of unknown purpose, stays.
func (d *Dir) again(e Entry, kind EntryKind) (opened levels, name string, err error) {
	if e.Kind != kind {
		return nil, "", fmt.Errorf("remove %s: nobody knows what it is", filepath.Join(d.path, e.Path))
	}
	parts := strings.Split(e.Path, string(filepath.Separator))
	opened, err = d.descendTo(parts[:len(parts)-1])
	if err != nil || opened == nil {
		return nil, "", err
	}
	at := opened.object()
	name = parts[len(parts)-1]
	info, err := at.root.Lstat(name)
	if err == nil && info.Mode().IsRegular() && info.Size() == e.Size && changed(info).Equal(e.Time) {
		return opened, name, nil
	}
	opened.close()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, "", at.named(err)
	}
	return nil, "", nil
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
