package blobdir

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
)

// A Removal says which files of one blob go: those of revision Tid and of all
// older ones.
type Removal struct {
	Zoid int64
	Tid  int64
	// Newest is the highest zoid of the storage. Directories above the
	// object's own go only far below it. 0: they all stay.
	Newest int64
	// Before is asked before each file is unlinked, if it is not nil. Its
	// error ends the removal and is returned as it is.
	Before func() error
}

// Removed says what went. Lock files are not counted.
type Removed struct {
	Found bool // the file of exactly r.Tid was there
	Files int
	Bytes int64
}

// farBelow is how far below the newest zoid all oids of a directory above an
// object's own must lie before the directory may go. ZODB makes the directories
// down to an object's own (os.makedirs) and then creates a file in the last one
// without expecting any to vanish in between; a commit that meets this fails.
// It makes them for new oids only: an older blob's are there, and not empty. A
// client takes new oids from the sequence 16 at a time and may hold on to them
// for long; 65536 such helpings back nobody does.
const farBelow = 65536 * 16

// Remove unlinks the files of a blob's revisions with tid <= r.Tid, their locks,
// and then the object's directory if nothing is left in it.
//
// It does nothing unless the file of exactly r.Tid is there, in whichever
// layout: a file that went before is no error, and a directory that belongs to
// another storage loses nothing. That file is unlinked last, so that an interrupted removal is found
// again. Newer revisions and files of other names stay. With an error, Removed
// counts what went until then.
func (d *Dir) Remove(r Removal) (Removed, error) {
	for _, layout := range d.layouts() {
		if removed, err := d.removeIn(layout, r); removed.Found || err != nil {
			return removed, err
		}
	}
	return Removed{}, nil
}

func (d *Dir) removeIn(layout Layout, r Removal) (Removed, error) {
	opened, err := d.descend(layout, r.Zoid)
	if err != nil || opened == nil {
		return Removed{}, err
	}
	defer opened.close()
	files, err := opened.object().doomed(r)
	if err != nil || len(files) == 0 {
		return Removed{}, err
	}
	removed, err := opened.object().unlink(files, r.Before)
	if err != nil {
		return removed, err
	}
	return removed, removeDirs(opened, levelNames(layout, r.Zoid), r)
}

// file is one to unlink.
type file struct {
	name string
	tid  int64
	size int64
}

// doomed lists what to unlink, in order: older revisions before newer ones, a
// lock before its file, then the directory's own lock, if nothing else stays,
// and at last the file of exactly r.Tid. Nothing if that file is not there.
func (l level) doomed(r Removal) ([]file, error) {
	exact := revisionName(r.Tid)
	info, err := l.root.Lstat(exact)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, l.named(err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("remove %s: not a regular file", l.join(exact))
	}
	names, err := l.names()
	if err != nil {
		return nil, err
	}
	var files []file
	var lock *file
	stays := false // something besides
	for _, name := range names {
		tid, known := parseRevision(strings.TrimSuffix(name, lockSuffix))
		if name != dirLock && (!known || tid > r.Tid) {
			stays = true
			continue
		}
		info, err := l.root.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // somebody else tidies up too
		case err != nil:
			return nil, l.named(err)
		case !info.Mode().IsRegular():
			stays = true
		case name == dirLock:
			lock = &file{name: name}
		default:
			files = append(files, file{name, tid, info.Size()})
		}
	}
	slices.SortFunc(files, func(a, b file) int {
		return cmp.Or(cmp.Compare(a.tid, b.tid), -cmp.Compare(len(a.name), len(b.name)))
	})
	last := len(files) - 1
	if last < 0 || files[last].name != exact {
		return nil, nil // gone since we looked
	}
	if lock != nil && !stays {
		files = slices.Insert(files, last, *lock)
	}
	return files, nil
}

func (l level) unlink(files []file, before func() error) (Removed, error) {
	removed := Removed{Found: true}
	for _, file := range files {
		if before != nil {
			if err := before(); err != nil {
				return removed, err
			}
		}
		err := l.root.Remove(file.name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // somebody else tidies up too
		}
		if err != nil {
			return removed, l.named(err)
		}
		if strings.HasSuffix(file.name, blobSuffix) {
			removed.Files++
			removed.Bytes += file.size
		}
	}
	return removed, nil
}

// removeDirs removes the object's directory if it is empty, and those above it
// as far as they are empty and far below the newest object.
func removeDirs(opened levels, names []string, r Removal) error {
	for depth := len(names); depth > 0; depth-- {
		if depth < len(names) && !far(r, oidBytes-depth) {
			return nil
		}
		parent := opened[depth-1]
		err := parent.root.Remove(names[depth-1])
		if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return parent.named(err)
		}
	}
	return nil
}

// far tells whether all oids that share r.Zoid's bytes but for the last so many
// lie far below the newest one.
func far(r Removal, freeBytes int) bool {
	last := uint64(r.Zoid) | (1<<(bitsPerLevel*freeBytes) - 1)
	return r.Newest > farBelow && last < uint64(r.Newest-farBelow)
}
