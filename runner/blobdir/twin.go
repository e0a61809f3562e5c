package blobdir

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// Twin looks in the directory's own layout for the file of a revision that Walk found in
// the other one. Nil if it is not there, or is the very same file by another path, and
// where no marker names the layout, or another one by now. ErrLink as from Look. Its time
// is not before that of the marker: who began before that reads in the other layout.
func (d *Dir) Twin(e Entry) (*Found, error) {
	layout, marked, err := level{d.root, d.path}.layout()
	if err != nil || !marked || layout != d.layout || e.Kind != Revision || e.Layout == layout {
		return nil, err
	}
	own, err := d.lookIn(layout, e.Zoid, e.Tid)
	if err != nil || own == nil {
		return nil, err
	}
	other, err := d.lookIn(e.Layout, e.Zoid, e.Tid)
	if err != nil || other == nil || os.SameFile(own, other) {
		return nil, err
	}
	named, err := d.root.Lstat(marker)
	if err != nil {
		return nil, level{d.root, d.path}.named(err)
	}
	at := changed(own)
	if since := changed(named); since.After(at) {
		at = since
	}
	return &Found{layout, own.Size(), at}, nil
}

// SameContent tells whether a revision that Walk found in the other layout has the content
// of its twin.
func (d *Dir) SameContent(e Entry) (bool, error) {
	own, err := d.root.Open(filepath.Join(append(levelNames(d.layout, e.Zoid), revisionName(e.Tid))...))
	if err != nil {
		return false, level{d.root, d.path}.named(err)
	}
	defer own.Close()
	other, err := d.root.Open(e.Path)
	if err != nil {
		return false, level{d.root, d.path}.named(err)
	}
	defer other.Close()
	return sameContent(own, other)
}

func sameContent(a, b io.Reader) (bool, error) {
	const atOnce = 256 << 10
	one, another := make([]byte, atOnce), make([]byte, atOnce)
	for {
		n, err := io.ReadFull(a, one)
		m, errB := io.ReadFull(b, another)
		for _, err := range []error{err, errB} {
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return false, err
			}
		}
		if !bytes.Equal(one[:n], another[:m]) {
			return false, nil
		}
		if err != nil || errB != nil {
			return err != nil && errB != nil, nil
		}
	}
}
