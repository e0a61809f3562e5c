package blobdir

import (
	"errors"
	"io/fs"
	"syscall"
)

// A Removal says which file of one blob goes: that of revision Tid.
type Removal struct {
	Zoid int64
	Tid  int64
	// Newest is the highest zoid of the storage. Directories above the
	// object's own go only far below it. 0: they all stay.
	Newest int64
}

// Removed says what went. Lock files are not counted.
type Removed struct {
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
