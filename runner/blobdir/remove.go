package blobdir

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
)

// A Removal says which file of one blob goes: that of revision Tid.
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
	Found  bool // the file of exactly r.Tid was there
	Files  int
	Bytes  int64
	Others []string // paths of the blob's other revisions, which stay
}

// farBelow is how far below the newest zoid all oids of a directory above an
// object's own must lie before the directory may go. ZODB makes the directories
// down to an object's own (os.makedirs) and then creates a file in the last one
// without expecting any to vanish in between; a commit that meets this fails.
// It makes them for new oids only: an older blob's are there, and not empty. A
// client takes new oids from the sequence 16 at a time and may hold on to them
// for long; 65536 such helpings back nobody does.
const farBelow = 65536 * 16

// Remove unlinks the file of one revision of a blob, its lock, and then the
// object's directory if nothing is left in it.
//
// Files of other revisions stay, older ones too. RelStorage leaves what it
// overwrites, but what lies beside the deleted revision may as well be the live
// file of another storage that uses the directory and has a blob of that oid:
// only the tid, which no other storage has, tells whose a file is.
//
// It does nothing unless the file of exactly r.Tid is there, in whichever
// layout: a file that went before is no error, and a directory that belongs to
// another storage loses nothing. That file is unlinked last, so that an
// interrupted removal is found again. With an error, Removed counts what went
// until then.
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
	found, err := opened.object().look(r.Tid)
	if err != nil || len(found.doomed) == 0 {
		return Removed{}, err
	}
	removed, err := opened.object().unlink(found, r.Before)
	if err != nil {
		return removed, err
	}
	return removed, removeDirs(opened, levelNames(layout, r.Zoid), r)
}

// finding is what lies in an object's directory.
type finding struct {
	doomed []string // in this order: locks, and the blob of the revision
	size   int64    // of that
	others []string // paths of its other revisions
}

// look finds what to unlink: the revision's lock, that of the directory if
// nothing else stays there, and at last the file of exactly this tid. Nothing if
// that file is not there.
func (l level) look(tid int64) (finding, error) {
	exact := revisionName(tid)
	info, err := l.root.Lstat(exact)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return finding{}, nil
	case err != nil:
		return finding{}, l.named(err)
	case !info.Mode().IsRegular():
		return finding{}, fmt.Errorf("remove %s: not a regular file", l.join(exact))
	}
	names, err := l.names()
	if err != nil {
		return finding{}, err
	}
	found := finding{size: info.Size()}
	locks := []string{exact + lockSuffix, dirLock}
	for _, name := range names {
		if name == exact || slices.Contains(locks, name) {
			continue
		}
		locks = locks[:1] // somebody may need the directory's
		if _, revision := parseRevision(name); revision {
			found.others = append(found.others, l.join(name))
		}
	}
	for _, lock := range locks {
		if !slices.Contains(names, lock) {
			continue
		}
		regular, err := l.has(lock)
		if err != nil {
			return finding{}, err
		}
		if !regular {
			break
		}
		found.doomed = append(found.doomed, lock)
	}
	found.doomed = append(found.doomed, exact)
	return found, nil
}

func (l level) unlink(found finding, before func() error) (Removed, error) {
	removed := Removed{Found: true}
	for _, name := range found.doomed {
		if before != nil {
			if err := before(); err != nil {
				return removed, err
			}
		}
		err := l.root.Remove(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // somebody else tidies up too
		}
		if err != nil {
			return removed, l.named(err)
		}
		if strings.HasSuffix(name, blobSuffix) {
			removed.Files++
			removed.Bytes += found.size
		}
	}
	removed.Others = found.others
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
