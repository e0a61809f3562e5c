// Package blobdir finds and removes the blob files of a RelStorage storage with
// shared-blob-dir true.
//
// ZODB keeps every blob in a directory of its own, found by the object's id in
// one of two layouts, and in it a file for every revision, named after the
// transaction. RelStorage never removes the superseded ones. All access goes
// through os.Root and follows no symbolic link below the blob directory: what
// is unlinked lies where its name says.
package blobdir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A Layout says how objects' directories are arranged.
type Layout string

// The layouts of ZODB.
const (
	// Bushy has a directory level for each of the eight bytes of an oid:
	// 0x00/0x00/0x00/0x00/0x00/0x00/0x1a/0x2b.
	Bushy Layout = "bushy"
	// Lawn has one level: 0x1a2b.
	Lawn Layout = "lawn"
)

// marker is the file in a blob directory that names its layout.
const marker = ".layout"

// Dir is an open blob directory. Its methods may be called from several
// goroutines, for different objects.
type Dir struct {
	path   string
	root   *os.Root
	layout Layout
}

// Open opens a blob directory, which may itself be a symbolic link, and finds
// its layout as ZODB does: the marker file .layout decides; without one the
// layout is bushy if there is nothing but hidden files, else lawn.
func Open(path string) (*Dir, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open blob directory: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("open blob directory: %s is not a directory", path)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open blob directory: %w", err)
	}
	layout, err := level{root, path}.layout()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open blob directory: %w", err), root.Close())
	}
	return &Dir{path: path, root: root, layout: layout}, nil
}

// Close closes the directory.
func (d *Dir) Close() error { return d.root.Close() }

// Layout is the directory's layout.
func (d *Dir) Layout() Layout { return d.layout }

// Path is the directory of a blob's revisions, whether it exists or not.
func (d *Dir) Path(zoid int64) string {
	return filepath.Join(append([]string{d.path}, d.levelNames(zoid)...)...)
}

// File is the path of one revision of a blob, whether it exists or not.
func (d *Dir) File(zoid, tid int64) string {
	return filepath.Join(d.Path(zoid), revisionName(tid))
}

func (l level) layout() (Layout, error) {
	// Read even if the marker says all: a directory that can't be listed is
	// better noticed now than in the middle of a removal.
	visible, err := l.hasVisibleEntry()
	if err != nil {
		return "", err
	}
	text, err := l.root.ReadFile(marker)
	switch {
	case errors.Is(err, fs.ErrNotExist) && visible:
		return Lawn, nil
	case errors.Is(err, fs.ErrNotExist):
		return Bushy, nil
	case err != nil:
		return "", l.named(err)
	}
	switch layout := Layout(strings.TrimSpace(string(text))); layout {
	case Bushy, Lawn:
		return layout, nil
	default:
		return "", fmt.Errorf("%s names the layout %q; relpack knows %q and %q",
			l.join(marker), string(layout), Bushy, Lawn)
	}
}

// hasVisibleEntry tells whether the directory holds anything but hidden files.
// It reads no further than to the first visible one: a lawn can be wide.
func (l level) hasVisibleEntry() (bool, error) {
	dir, err := l.root.Open(".")
	if err != nil {
		return false, l.named(err)
	}
	defer dir.Close()
	for {
		entries, err := dir.ReadDir(64)
		for _, entry := range entries {
			if !strings.HasPrefix(entry.Name(), ".") {
				return true, nil
			}
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, l.named(err)
		}
	}
}
