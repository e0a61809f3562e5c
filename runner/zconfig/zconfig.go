// Package zconfig reads the configuration file that RelStorage's own zodbpack
// takes, and finds the <relstorage> sections in it.
//
// The syntax is ZConfig 4's: lines of "key value", sections that nest, %define,
// %include, %import and $-substitution. There is no schema: sections that
// relpack has no use for, such as the rest of a zope.conf, are checked for
// balance and skipped. Inside <relstorage> the keys are those of RelStorage 1.5
// to 4.2 (src/relstorage/component.xml) and nothing else, for a misspelt
// keep-history must not pass for an absent one.
//
// Values and names of unknown keys may hold passwords: no error repeats them,
// except for the words that should have been a boolean or a number.
package zconfig

import "time"

// RelStorage's defaults (relstorage/options.py of 4.2). Before 3.3.3
// pack-batch-timeout was 1 s.
const (
	defaultCommitLockTimeout = 30 * time.Second
	defaultPackBatchTimeout  = 15 * time.Second
)

// A Storage is one <relstorage> section with RelStorage 4.2's defaults filled
// in where the file is silent.
type Storage struct {
	// Name is the section's name (<relstorage NAME>), else its "name" key, else
	// the name of the nearest section around it that has one, else "". ZConfig
	// lower-cases section names.
	Name string

	// File and Line say where the section starts. File is the path as it was
	// given to Load, or for an included file as it was resolved.
	File string
	Line int
	// Section is the number of the section, which no other of the configuration
	// has, though it be included twice.
	Section int

	// Adapter is the type of the section inside: "postgresql", "mysql",
	// "oracle" or "sqlite3"; "" if there is none.
	Adapter string
	// DSN and Driver are the adapter's. A missing or empty DSN means libpq's
	// defaults. Driver is "auto" when it is not set.
	DSN    string
	Driver string

	// KeepHistory is true unless the file says otherwise.
	KeepHistory bool

	// BlobDir is as written; RelStorage takes a relative one from the working
	// directory, not from the file's. "" if there is none.
	BlobDir string
	// SharedBlobDir is false unless the file says otherwise, as in RelStorage
	// since 3.0a7 (1.5 to 2.1 had true; LineOf tells whether it was written).
	SharedBlobDir bool

	// CommitLockTimeout is in whole seconds, 30 by default; RelStorage waits
	// without limit when it is 0.
	CommitLockTimeout time.Duration
	// PackBatchTimeout is 15 seconds by default (1 before RelStorage 3.3.3).
	PackBatchTimeout time.Duration

	PackGC          bool // default true
	PackPrepackOnly bool
	PackSkipPrepack bool
	ReadOnly        bool

	// ReplicaConf and ROReplicaConf are paths as written.
	ReplicaConf   string
	ROReplicaConf string

	// Names are what references from other databases of a ZODB multi-database
	// may call this one: the database-name of the <zodb> around it, the section's
	// name, or "" where that has none (which is how ZODB then calls it). No names
	// at all: the file doesn't tell.
	Names []string
	// Called tells whether a <zodb> or <zodb_db> is around it. Where none is, as in a file
	// of zodbpack's, the section's name need not be what references say.
	Called bool
	set    map[string]position // where each key stands, the adapter's among them
	chain  *enclosed           // the section itself
	db     *database
}

// A Section is one of the file's, by its type.
type Section struct {
	Kind, Name string // both in lower case
	File       string
	Line       int
}

// A Database is one of the file's that is no <relstorage>: a FileStorage, a
// ZEO client, and the like. Section is that of its storage.
type Database struct {
	Names []string
	Section
}

// A File is what a configuration file holds.
type File struct {
	Storages  []Storage
	Databases []Database
	BlobDirs  []BlobDir
}

// A BlobDir is a blob-dir that a section of any type has, as written. Sections may
// have the same line: by %include.
type BlobDir struct {
	Path    string
	File    string
	Line    int
	Section int // as Storage.Section; 0: outside of all
}

// LineOf returns the line at which key was set, 0 if it was not. The adapter's
// keys ("dsn", "driver") count as the storage's. With %include the line may be
// in another file than the section: see Where.
func (s Storage) LineOf(key string) int {
	return s.set[key].line
}

// Where returns the file and line at which key was set, or those of the section
// if it was not: the place to name in a message about the key.
func (s Storage) Where(key string) (file string, line int) {
	if at, ok := s.set[key]; ok {
		return at.file, at.line
	}
	return s.File, s.Line
}

// Load reads the configuration file at path and returns its storages in the
// order in which they stand there, included files being read in place.
//
// Relative %include paths start at the including file. A file that breaks
// ZConfig's rules or RelStorage's, or has no <relstorage> section, gives an
// *Error; so does one that can't be read, with the system's error wrapped.
// Variables that the environment lacks matter only where a storage needs them.
func Load(path string) (*File, error) {
	l := newLoader()
	if err := l.load(path); err != nil {
		return nil, err
	}
	if len(l.storages) == 0 {
		return nil, &Error{File: path, What: "no <relstorage> section in it"}
	}
	if err := l.unset.error(); err != nil {
		return nil, err
	}
	return l.result(), nil
}
