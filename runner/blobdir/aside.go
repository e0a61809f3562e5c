package blobdir

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// asideSuffix stands in place of blobSuffix while it is not certain that a file may go. To
// Walk such a file is a temporary one.
const asideSuffix = "relpack_.tmp"

// An Aside is the file of a revision that is about to go. It has another name beside its
// own, by which nobody finds it. Finish has it go, PutBack come back. Who asks in between
// whether nobody may write knows that none could before it was out of sight, however long
// that took.
type Aside struct {
	opened levels
	name   string // its own
	size   int64
	dirs   []string // those down to it, which go with it; nil: they stay
	r      Removal
}

// SetAside takes the file of one revision out of sight, in whichever layout it is. Nil
// unless the file of exactly r.Tid is there, or was set aside by a run that was killed: a
// file that went before is no error, and a directory that belongs to another storage
// loses nothing.
func (d *Dir) SetAside(r Removal) (*Aside, error) {
	for _, layout := range d.layouts() {
		if aside, err := d.setAsideIn(layout, r); aside != nil || err != nil {
			return aside, err
		}
	}
	return nil, nil
}

func (d *Dir) setAsideIn(layout Layout, r Removal) (*Aside, error) {
	opened, err := d.descend(layout, r.Zoid)
	if err != nil || opened == nil {
		return nil, err
	}
	at, a := opened.object(), &Aside{opened: opened, name: revisionName(r.Tid), dirs: levelNames(layout, r.Zoid), r: r}
	for _, name := range []string{a.name, a.aside()} {
		info, err := at.root.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			err = at.named(err)
		case !info.Mode().IsRegular():
			err = fmt.Errorf("remove %s: not a regular file", at.join(name))
		default:
			a.size = info.Size()
			if name == a.name {
				err = a.rename()
			}
		}
		if err != nil {
			opened.close()
			return nil, err
		}
		return a, nil
	}
	opened.close()
	return nil, nil
}

// SetFoundAside does so with a revision that Walk found, if it is still the very file: of
// this size, and untouched since. A copy that was put in its place is another one,
// whatever its name and content: nil. Its directory stays.
func (d *Dir) SetFoundAside(e Entry) (*Aside, error) {
	opened, name, err := d.again(e, Revision)
	if err != nil || opened == nil {
		return nil, err
	}
	a := &Aside{opened: opened, name: name, size: e.Size}
	if err := a.rename(); err != nil {
		opened.close()
		return nil, err
	}
	return a, nil
}

func (a *Aside) aside() string { return strings.TrimSuffix(a.name, blobSuffix) + asideSuffix }

func (a *Aside) rename() error {
	at := a.opened.object()
	if err := at.root.Rename(a.name, a.aside()); err != nil {
		return fmt.Errorf("remove %s: %w", at.join(a.name), errors.Unwrap(err))
	}
	return nil
}

// Finish unlinks the file, its locks before it, and then the object's directory if nothing
// is left in it.
//
// Files of other revisions stay, older ones too. RelStorage leaves what it
// overwrites, but what lies beside the deleted revision may as well be the live
// file of another storage that uses the directory and has a blob of that oid:
// only the tid, which no other storage has, tells whose a file is.
//
// With an error, Removed tells whether the file went. If not, it is put back.
func (a *Aside) Finish() (Removed, error) {
	removed := Removed{}
	locks, others, err := a.beside()
	at := a.opened.object()
	for _, name := range append(locks, a.aside()) {
		if err != nil {
			break
		}
		// Somebody else tidies up too.
		if err = at.root.Remove(name); errors.Is(err, fs.ErrNotExist) {
			err = nil
		} else if err != nil {
			err = at.named(err)
		}
	}
	if err != nil {
		return removed, errors.Join(err, a.PutBack())
	}
	defer a.opened.close()
	removed = Removed{Files: 1, Bytes: a.size, Others: others}
	if a.dirs != nil {
		err = removeDirs(a.opened, a.dirs, a.r)
	}
	return removed, err
}

// beside finds the revision's lock, that of the directory if nothing else stays there and
// it may go, and paths of other revisions.
func (a *Aside) beside() (locks, others []string, err error) {
	at, known := a.opened.object(), []string{a.name + lockSuffix}
	if a.dirs != nil {
		names, err := at.names()
		if err != nil {
			return nil, nil, err
		}
		known = append(known, dirLock)
		for _, name := range names {
			if name == a.aside() || slices.Contains(known, name) {
				continue
			}
			known = known[:1] // somebody may need the directory's
			if _, revision := parseRevision(name); revision {
				others = append(others, at.join(name))
			}
		}
	}
	for _, lock := range known {
		regular, err := at.has(lock)
		if err != nil {
			return nil, nil, err
		}
		if regular {
			locks = append(locks, lock)
		}
	}
	return locks, others, nil
}

// PutBack gives the file its name again. One that has come there meanwhile stays.
func (a *Aside) PutBack() error {
	defer a.opened.close()
	at := a.opened.object()
	err := at.root.Link(a.aside(), a.name)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err == nil:
		err = at.root.Remove(a.aside())
	default: // not every file system has links
		var there bool
		if there, err = at.has(a.name); err == nil && !there {
			err = at.root.Rename(a.aside(), a.name)
		}
	}
	if err != nil {
		return fmt.Errorf("%s could not be put back, rename it to %s: %w", at.join(a.aside()), a.name, errors.Unwrap(err))
	}
	return nil
}
