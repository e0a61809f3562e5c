// Package blobdir finds and removes the blob files of a RelStorage storage with
// shared-blob-dir true.
//
// ZODB keeps every blob in a directory of its own, found by the object's id in
// one of two layouts, and in it a file for every revision, named after the
// transaction. RelStorage never removes the superseded ones. Where storages
// share a directory, only the transaction tells whose a file is: no file goes
// but those of revisions that are named. All access goes through os.Root and
// follows no symbolic link below the blob directory: what is unlinked lies where
// its name says.
package blobdir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
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
	top    *os.File // the same, for Absent
	layout Layout
	marked bool
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
	layout, marked, err := level{root, path}.layout()
	var top *os.File
	if err == nil {
		top, err = root.Open(".")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open blob directory: %w", err), root.Close())
	}
	return &Dir{path: path, root: root, top: top, layout: layout, marked: marked}, nil
}

// Close closes the directory.
func (d *Dir) Close() error { return errors.Join(d.top.Close(), d.root.Close()) }

// Layout is the directory's layout, as it is marked or else as ZODB takes it.
func (d *Dir) Layout() Layout { return d.layout }

// Marked tells whether a marker file names the layout.
func (d *Dir) Marked() bool { return d.marked }

// Empty tells whether there is nothing in the directory, not even a marker.
func (d *Dir) Empty() (bool, error) {
	dir, err := d.root.Open(".")
	if err != nil {
		return false, level{d.root, d.path}.named(err)
	}
	defer dir.Close()
	_, err = dir.ReadDir(1)
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	if err != nil {
		return false, level{d.root, d.path}.named(err)
	}
	return false, nil
}

// layouts are both, the directory's own first.
func (d *Dir) layouts() [2]Layout {
	if d.layout == Lawn {
		return [2]Layout{Lawn, Bushy}
	}
	return [2]Layout{Bushy, Lawn}
}

// Find looks for one revision of a blob, in the directory's own layout and then
// in the other: the marker may be missing or wrong. "" if it is in neither.
func (d *Dir) Find(zoid, tid int64) (Layout, error) {
	for _, layout := range d.layouts() {
		opened, err := d.descend(layout, zoid)
		if err != nil {
			return "", err
		}
		if opened == nil {
			continue
		}
		there, err := opened.object().has(revisionName(tid))
		opened.close()
		if there || err != nil {
			return layout, err
		}
	}
	return "", nil
}

// Absent tells whether one revision of a blob has no file in either layout, not even behind
// a link. It costs one system call a layout, not one a level: of very many that were not
// there before, few are. Where it can't tell, or there is anything, it says no.
func (d *Dir) Absent(zoid, tid int64) bool {
	for _, layout := range d.layouts() {
		var stat unix.Stat_t
		name := path.Join(append(levelNames(layout, zoid), revisionName(tid))...)
		err := unix.Fstatat(int(d.top.Fd()), name, &stat, unix.AT_SYMLINK_NOFOLLOW)
		if err != unix.ENOENT && err != unix.ENOTDIR {
			return false
		}
	}
	return true
}

// A Found file is one of a revision, where Look found it.
type Found struct {
	Layout Layout
	Size   int64
	Time   time.Time // it was last written, renamed or put here
}

// Look looks for one revision of a blob as Find does, and says more of it. Nil if it
// is in neither layout, or a plain file is in place of its directory. ErrLink if a link is in its place, or in that of a directory
// above it: what is behind it is not known.
func (d *Dir) Look(zoid, tid int64) (*Found, error) {
	for _, layout := range d.layouts() {
		info, err := d.lookIn(layout, zoid, tid)
		if err != nil {
			return nil, err
		}
		if info != nil {
			return &Found{layout, info.Size(), changed(info)}, nil
		}
	}
	return nil, nil
}

// lookIn looks for a regular file in a layout, nil if there is none.
func (d *Dir) lookIn(layout Layout, zoid, tid int64) (fs.FileInfo, error) {
	opened, err := d.descend(layout, zoid)
	if errors.Is(err, errNotDirectory) {
		return nil, nil
	}
	if err != nil || opened == nil {
		return nil, err
	}
	defer opened.close()
	at := opened.object()
	info, err := at.root.Lstat(revisionName(tid))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, at.named(err)
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, fmt.Errorf("%s is a %w", at.join(revisionName(tid)), ErrLink)
	case !info.Mode().IsRegular():
		return nil, nil
	}
	return info, nil
}

// has tells whether there is a regular file of this name.
func (l level) has(name string) (bool, error) {
	info, err := l.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, l.named(err)
	}
	return info.Mode().IsRegular(), nil
}

// Path is the directory of a blob's revisions, whether it exists or not.
func (d *Dir) Path(zoid int64) string {
	return filepath.Join(append([]string{d.path}, levelNames(d.layout, zoid)...)...)
}

// File is the path of one revision of a blob, whether it exists or not.
func (d *Dir) File(zoid, tid int64) string {
	return filepath.Join(d.path, d.Below(zoid, tid))
}

// Below is File as seen from the blob directory.
func (d *Dir) Below(zoid, tid int64) string {
	return filepath.Join(append(levelNames(d.layout, zoid), revisionName(tid))...)
}

// layout also tells whether the marker names it.
func (l level) layout() (Layout, bool, error) {
	// Read even if the marker says all: a directory that can't be listed is
	// better noticed now than in the middle of a removal.
	visible, err := l.hasVisibleEntry()
	if err != nil {
		return "", false, err
	}
	text, err := l.root.ReadFile(marker)
	switch {
	case errors.Is(err, fs.ErrNotExist) && visible:
		return Lawn, false, nil
	case errors.Is(err, fs.ErrNotExist):
		return Bushy, false, nil
	case err != nil:
		return "", false, l.named(err)
	}
	switch layout := Layout(strings.TrimSpace(string(text))); layout {
	case Bushy, Lawn:
		return layout, true, nil
	default:
		return "", false, fmt.Errorf("%s names the layout %q; relpack knows %q and %q",
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

// Size is how many bytes one revision of a blob has, in the directory's own layout or
// in the other, and whether it is there. Links are followed within the directory:
// nothing is removed.
func (d *Dir) Size(zoid, tid int64) (bytes int64, found bool, err error) {
	for _, layout := range d.layouts() {
		name := filepath.Join(append(levelNames(layout, zoid), revisionName(tid))...)
		info, err := d.root.Stat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return 0, false, level{d.root, d.path}.named(err)
		case info.Mode().IsRegular():
			return info.Size(), true, nil
		}
	}
	return 0, false, nil
}
