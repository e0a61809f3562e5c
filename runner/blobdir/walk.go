package blobdir

import (
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// An Entry is a file in a blob directory.
type Entry struct {
	Kind      EntryKind
	Path      string // below the blob directory
	Zoid, Tid int64  // of a revision
	Layout    Layout // in which a revision lies
	Size      int64
	Time      time.Time // it was last written, renamed, read by RelStorage or put here
}

// An EntryKind says what a file is.
type EntryKind int

// The kinds of files. What ZODB locks with is passed over, and so are the marks.
const (
	Revision  EntryKind = iota // of a blob
	Temporary                  // being written, or left behind by somebody who was
	Nested                     // the marker of another blob directory within this one
	Other                      // of unknown purpose, or a link, which is not followed
)

// tmpDir is where ZODB writes before it knows a blob's oid.
const tmpDir = "tmp"

// What clients of ZODB 3 to 6 and RelStorage call a file before they know its
// transaction (ZODB/blob.py: Blob._create_uncommitted_file, FilesystemHelper.blob_mkstemp,
// copyTransactionsFromTo), and mkstemp's own characters.
var (
	inTmp           = regexp.MustCompile(`^(BUC[A-Za-z0-9_]{6,8}|(tmp|CTFT)[A-Za-z0-9_]{6,8}\.tmp)$`)
	besideRevisions = regexp.MustCompile(`^0x[0-9a-f]{2,16}[A-Za-z0-9_]{6,8}\.tmp-?$`)
)

// atOnce is how many names of a directory are read at once: a lawn can be wide.
const atOnce = 512

// Walk calls yield with every file, whatever its layout. The directories come in no
// order. A file that vanishes in between is passed over.
func (d *Dir) Walk(yield func(Entry) error) error {
	return walk(level{d.root, d.path}, nil, yield)
}

func walk(l level, parts []string, yield func(Entry) error) error {
	dir, err := l.root.Open(".")
	if err != nil {
		return l.named(err)
	}
	defer dir.Close()
	for {
		entries, err := dir.ReadDir(atOnce)
		for _, entry := range entries {
			if err := visit(l, parts, entry, yield); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return l.named(err)
		}
	}
}

func visit(l level, parts []string, entry fs.DirEntry, yield func(Entry) error) error {
	name := entry.Name()
	path := append(append(make([]string, 0, len(parts)+1), parts...), name)
	if entry.IsDir() && (isID(name) && len(path) <= oidBytes || len(parts) == 0 && name == tmpDir) {
		below, err := l.open(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer func() { _ = below.root.Close() }()
		return walk(below, path, yield)
	}
	if name == dirLock || strings.HasSuffix(name, lockSuffix) || len(parts) == 0 && (name == marker || name == ownerMark) {
		return nil
	}
	info, err := entry.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return l.named(err)
	}
	found := Entry{Kind: Other, Path: filepath.Join(path...), Size: info.Size(), Time: changed(info)}
	tid, revision := parseRevision(name)
	zoid, layout, object := parseObject(parts)
	switch {
	case !info.Mode().IsRegular():
	case name == marker:
		found.Kind = Nested
	case len(parts) == 1 && parts[0] == tmpDir && inTmp.MatchString(name), object && besideRevisions.MatchString(name):
		found.Kind = Temporary
	case revision && object:
		found.Kind, found.Zoid, found.Tid, found.Layout = Revision, zoid, tid, layout
	}
	return yield(found)
}

// isID tells whether a directory may be one of either layout.
func isID(name string) bool {
	digits, found := strings.CutPrefix(name, idPrefix)
	_, err := hex.DecodeString(digits)
	return found && err == nil && digits != ""
}

// parseObject reads the oid out of the directories down to a file. Only the one
// spelling that ZODB writes is taken.
func parseObject(parts []string) (zoid int64, layout Layout, ok bool) {
	switch len(parts) {
	case 1:
		layout = Lawn
	case oidBytes:
		layout = Bushy
	default:
		return 0, "", false
	}
	var value uint64
	for _, part := range parts {
		decoded, err := hex.DecodeString(strings.TrimPrefix(part, idPrefix))
		if err != nil || len(decoded) > oidBytes {
			return 0, "", false
		}
		for _, b := range decoded {
			value = value<<8 | uint64(b)
		}
	}
	zoid = int64(value)
	if zoid < 0 || filepath.Join(levelNames(layout, zoid)...) != filepath.Join(parts...) {
		return 0, "", false
	}
	return zoid, layout, true
}

// changed is when a file was last written, or came to where it is: cp -a, rsync and
// a rename keep the one, but not the other.
func changed(info fs.FileInfo) time.Time {
	at := info.ModTime()
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		if put := time.Unix(stat.Ctim.Unix()); put.After(at) {
			return put
		}
	}
	return at
}
