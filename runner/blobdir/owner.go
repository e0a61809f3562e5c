package blobdir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// ownerMark is the file in a blob directory that says which database has removed files
// there. ZODB passes over what is hidden there.
const ownerMark = ".relpack"

// maxMark is how many bytes of a mark are read.
const maxMark = 64 << 10

// Mark reads the mark, nil without one.
func (d *Dir) Mark() ([]byte, error) {
	at := level{d.root, d.path}
	info, err := d.root.Lstat(ownerMark)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, at.named(err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", at.join(ownerMark))
	}
	file, err := d.root.Open(ownerMark)
	if err != nil {
		return nil, at.named(err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxMark))
	if err != nil {
		return nil, at.named(err)
	}
	return append([]byte{}, text...), nil
}

// SetMark writes the mark. Without replace nobody may have done so in the meantime.
func (d *Dir) SetMark(text []byte, replace bool) error {
	at, name := level{d.root, d.path}, ownerMark
	if replace {
		name = ownerMark + ".tmp"
		if err := d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return at.named(err)
		}
	}
	file, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return at.named(err)
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil && replace {
		err = d.root.Rename(name, ownerMark)
	}
	if err != nil {
		return errors.Join(at.named(err), d.root.Remove(name))
	}
	return nil
}
