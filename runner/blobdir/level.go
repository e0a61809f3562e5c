package blobdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// level is an open directory at or below the blob directory.
type level struct {
	root *os.Root
	path string // os.Root knows only the part below its parent
}

// levels are the blob directory and those below it down to an object's own.
type levels []level

func (l levels) object() level { return l[len(l)-1] }

// close closes all but the blob directory itself, which is the Dir's.
func (l levels) close() {
	for i := 1; i < len(l); i++ {
		_ = l[i].root.Close() // nothing was written through it
	}
}

// descend opens an object's directory level by level; nil if it does not exist.
// os.Root alone would follow a link to another place within the blob directory,
// and so to another object's files.
func (d *Dir) descend(layout Layout, zoid int64) (levels, error) {
	opened, err := d.descendTo(levelNames(layout, zoid))
	if err != nil {
		return nil, fmt.Errorf("find the files of blob %d: %w", zoid, err)
	}
	return opened, nil
}

// descendTo opens the directories of a path.
func (d *Dir) descendTo(names []string) (levels, error) {
	opened := levels{{d.root, d.path}}
	for _, name := range names {
		child, err := opened.object().open(name)
		if errors.Is(err, fs.ErrNotExist) {
			opened.close()
			return nil, nil
		}
		if err != nil {
			opened.close()
			return nil, err
		}
		opened = append(opened, child)
	}
	return opened, nil
}

// ErrLink is what a link in place of a directory comes to.
var ErrLink = errors.New("symbolic link, which relpack does not follow")

// errNotDirectory is what a plain file in place of a directory comes to.
var errNotDirectory = errors.New("not a directory")

func (l level) open(name string) (level, error) {
	expected, err := l.root.Lstat(name)
	if err != nil {
		return level{}, l.named(err)
	}
	path := l.join(name)
	if expected.Mode()&fs.ModeSymlink != 0 {
		return level{}, fmt.Errorf("%s is a %w", path, ErrLink)
	}
	if !expected.IsDir() {
		return level{}, fmt.Errorf("%s is %w", path, errNotDirectory)
	}
	child, err := l.root.OpenRoot(name)
	if err != nil {
		return level{}, l.named(err)
	}
	opened, err := child.Stat(".")
	if err != nil || !os.SameFile(expected, opened) {
		return level{}, errors.Join(fmt.Errorf("%s was replaced while it was being opened", path), err, child.Close())
	}
	return level{child, path}, nil
}

// names are those in the directory.
func (l level) names() ([]string, error) {
	dir, err := l.root.Open(".")
	if err != nil {
		return nil, l.named(err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, l.named(err)
	}
	return names, nil
}

func (l level) join(name string) string { return filepath.Join(l.path, name) }

// named puts the whole path into an error of os.Root, which names only the part
// below the root.
func (l level) named(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return &fs.PathError{
			Op:   strings.TrimSuffix(pathError.Op, "at"),
			Path: l.join(pathError.Path),
			Err:  pathError.Err,
		}
	}
	return fmt.Errorf("%s: %w", l.path, err)
}
