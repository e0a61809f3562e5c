package zconfig

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Limits that no configuration comes near. They keep a wrong path (a database
// dump, /dev/zero) and files that include each other many times from filling
// the memory or running for hours.
const (
	maxFileSize   = 16 << 20 // bytes of one file
	maxTotalSize  = 64 << 20 // bytes read, and bytes substituted, altogether
	maxInclusions = 1000
	maxDepth      = 50   // files including files
	maxNesting    = 1000 // sections within sections, in one file
)

// An openFile is a file being read, in the chain of those that included it.
type openFile struct {
	path   string
	info   fs.FileInfo
	parent *openFile
	depth  int
}

// read returns the whole text of the file at path.
func (l *loader) read(path string, parent *openFile) (*openFile, string, error) {
	f, info, err := openRegular(path, parent == nil)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	of := &openFile{path: path, info: info, parent: parent}
	if parent != nil {
		of.depth = parent.depth + 1
	}
	for up := parent; up != nil; up = up.parent {
		if os.SameFile(up.info, info) {
			return nil, "", fmt.Errorf("%s is being read already: it includes itself", path)
		}
	}
	if of.depth > maxDepth {
		return nil, "", fmt.Errorf("more than %d files include each other", maxDepth)
	}
	if l.inclusions++; l.inclusions > maxInclusions {
		return nil, "", fmt.Errorf("more than %d files are included", maxInclusions)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, "", err
	}
	if len(text) > maxFileSize {
		return nil, "", fmt.Errorf("%s is larger than %d MiB: that is no configuration file", path, maxFileSize>>20)
	}
	if l.bytesRead += len(text); l.bytesRead > maxTotalSize {
		return nil, "", fmt.Errorf("the included files are larger than %d MiB together", maxTotalSize>>20)
	}
	return of, strings.TrimPrefix(string(text), "\ufeff"), nil
}

// openRegular opens path for reading. Pipes are allowed for the main file, which
// a shell may feed through one; opening a pipe that nobody writes to would wait
// for ever.
func openRegular(path string, pipes bool) (*os.File, fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if info.IsDir() {
		return nil, nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("is a directory")}
	}
	if !info.Mode().IsRegular() && !pipes {
		return nil, nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("is not a regular file")}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	return f, info, nil
}

// resolve turns the argument of %include into a path: relative to the directory
// of the including file, or a file: URL.
func resolve(target, including string) (string, error) {
	path := target
	if scheme, rest, ok := strings.Cut(target, ":"); ok && isScheme(scheme) {
		if !strings.EqualFold(scheme, "file") {
			return "", fmt.Errorf("can't include %s: URLs: copy it to a file beside this one and include that", scheme)
		}
		decoded, err := fileURLPath(rest)
		if err != nil {
			return "", err
		}
		path = decoded
	}
	if filepath.IsAbs(path) {
		return filepath.Clean(path), nil
	}
	return filepath.Join(filepath.Dir(including), path), nil
}

// isScheme reports whether word looks like an URL's scheme. A single letter does
// not (ZConfig takes it for a drive).
func isScheme(word string) bool {
	if len(word) < 2 {
		return false
	}
	for i := range len(word) {
		c := word[i] | 0x20
		if letter := 'a' <= c && c <= 'z'; !letter && (i == 0 || !strings.ContainsRune("0123456789+-.", rune(word[i]))) {
			return false
		}
	}
	return true
}

// fileURLPath returns the path in what follows "file:": ///a, //localhost/a, /a
// or a relative path, percent-encoded.
func fileURLPath(rest string) (string, error) {
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		host, path, _ := strings.Cut(after, "/")
		if host != "" && !strings.EqualFold(host, "localhost") {
			return "", fmt.Errorf("the file: URL names another host, %s: write file:///path", quote(host))
		}
		rest = "/" + path
	}
	if strings.ContainsAny(rest, "#?") {
		return "", errors.New("a file: URL can't have a fragment or a query: write # as %23 and ? as %3F")
	}
	path, err := url.PathUnescape(rest)
	if err != nil {
		return "", fmt.Errorf("file: URL: %w", err)
	}
	if strings.Trim(path, "/") == "" {
		return "", errors.New("the file: URL has no path")
	}
	return path, nil
}
