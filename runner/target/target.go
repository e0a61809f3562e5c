package target

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"relpack/runner/conninfo"
	"relpack/runner/fault"
	"relpack/runner/pickle"
	"relpack/runner/zconfig"
)

// A Target is one storage to work on.
type Target struct {
	// Name is how messages and reports call it: its name in the configuration
	// file, or else where that file has it; "" when there is only a DSN.
	Name  string
	DSN   string // as libpq takes it; "" for what its environment says
	DSNAt string // file and line that have it
	// BlobDir is the shared blob directory; "" when it isn't known, or when
	// blobs are in the database.
	BlobDir string
	section int // of the configuration
	// BlobsInDatabase is set when the configuration says in so many words
	// shared-blob-dir false: no file is the storage's own.
	BlobsInDatabase bool

	NoBlobIndex bool // migrate up is to leave blob_chunk as it is

	CommitLockTimeout time.Duration // how long to try for a lock; 0: no limit
	BatchTimeout      time.Duration // aimed-at duration of a batch
	PrepackOnly       bool          // the configuration wants nothing deleted
	KeepsGarbage      bool          // it says pack-gc false

	Notes    []string // on what the configuration says in vain
	Warnings []string // for every report: what relpack can't take care of

	refused   error  // why pack may not touch it
	unfit     error  // why migrate may not either
	Foreign   bool   // it isn't in PostgreSQL: there is nothing to connect to
	SaysFree  string // where the configuration says in so many words that it keeps no history
	SaysKeeps string // where it says that it does
	Names     []string
	Called    bool // references call it by one of Names for certain

	File *File // that names it; nil without one
}

// A File is a configuration file: what its storages have to know of each other.
type File struct {
	Path    string // as the command line has it
	Targets []Target

	names      map[string]bool // folded, of all its databases
	blobDirs   []zconfig.BlobDir
	unreadable []string // warnings about databases that relpack can't read
}

// Knows tells whether the file has a database of this name.
func (f *File) Knows(database string) bool { return f != nil && f.names[FoldName(database)] }

// MayBe are the other storages that a database may be of which the file does not tell
// how references call them.
func (f *File) MayBe(t Target, database string) (names []string) {
	if f == nil || f.Knows(database) {
		return nil
	}
	for _, other := range f.Targets {
		if !other.Called && !other.Foreign && other.Name != t.Name {
			names = append(names, other.Name)
		}
	}
	return names
}

// Section is the path of the file, if a storage of it has this name.
func (f *File) Section(storage string) string {
	if f != nil && slices.ContainsFunc(f.Targets, func(t Target) bool { return t.Name == storage }) {
		return f.Path
	}
	return ""
}

// NoBlobDir says what follows from a configuration file that names no blob directory,
// where blobs are not in the database; "" if it names one, or says where they are.
func (t Target) NoBlobDir() string {
	if t.File == nil || t.BlobDir != "" || t.BlobsInDatabase {
		return ""
	}
	return t.File.Path + ` names no blob directory, and blobs of this storage are not in the database: files of deleted blobs stay listed. Add "shared-blob-dir true" and blob-dir.`
}

// BlobDirUsers are where the file names, for another section of whatever type, the
// blob directory of the storage as well, or one that lies within it or around it.
func (t Target) BlobDirUsers() []string {
	if t.File == nil {
		return nil
	}
	mine := resolved(t.BlobDir)
	var users []string
	for _, dir := range t.File.blobDirs {
		if dir.Section == t.section {
			continue
		}
		if theirs := resolved(dir.Path); within(mine, theirs) || within(theirs, mine) || same(mine, theirs) {
			users = append(users, fmt.Sprintf("%s:%d", dir.File, dir.Line))
		}
	}
	return users
}

// SameBlobDir are the other storages of the file whose blob directory is the target's. One
// may be the same database.
func (t Target) SameBlobDir() (others []Target) {
	if t.File == nil || t.BlobDir == "" {
		return nil
	}
	for _, other := range t.File.Targets {
		if other.section != t.section && other.BlobDir != "" && same(t.BlobDir, other.BlobDir) {
			others = append(others, other)
		}
	}
	return others
}

// RefuseApart is why pack refuses a storage whose blob directory is another database's as
// well: both have blobs of the same oids, and nothing that is locked in one holds off those
// who write files for the other.
func (t Target) RefuseApart(other Target) error {
	as := ""
	if other.BlobDir != t.BlobDir {
		as = ", as " + other.BlobDir
	}
	return fault.Refuse("Give each storage a blob-dir of its own; a copy will do", "blob directory %s: %s uses it, too%s", t.BlobDir, other.Name, as)
}

// resolved is a path without links, as far as it exists.
func resolved(path string) string {
	if whole, err := filepath.Abs(path); err == nil {
		path = whole
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return filepath.Clean(path)
}

func within(path, dir string) bool {
	below, err := filepath.Rel(dir, path)
	return err == nil && below != ".." && !strings.HasPrefix(below, "../")
}

// same tells of one directory that is mounted at two places.
func same(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

// Packable returns why pack refuses the storage, or nil.
func (t Target) Packable() error { return t.refused }

// Migratable returns why migrate refuses the storage, or nil: one that is not to
// be packed may have to be read, as it may refer to others.
func (t Target) Migratable() error { return t.unfit }

// What the two timeouts are where no configuration says otherwise.
const (
	DefaultLockTimeout  = 30 * time.Second
	DefaultBatchTimeout = 15 * time.Second
)

// Targets finds the storages to work on: those of a configuration file, or
// without one the database of the DSN, which may be empty (libpq's
// environment).
func Targets(config, dsn, blobDir string) ([]Target, error) {
	if config == "" {
		return []Target{{
			DSN: dsn, BlobDir: blobDir,
			CommitLockTimeout: DefaultLockTimeout, BatchTimeout: DefaultBatchTimeout,
		}}, nil
	}
	if dsn != "" || blobDir != "" {
		return nil, &fault.Error{Code: fault.ExitUsage, Err: fmt.Errorf("%s says where the database and the blobs are: --dsn and --blob-dir are for use without a configuration file", config)}
	}
	file, err := zconfig.Load(config)
	if err != nil {
		return nil, &fault.Error{Code: fault.ExitFailure, Err: err}
	}
	f := newFile(file)
	f.Path = config
	for _, s := range file.Storages {
		f.Targets = append(f.Targets, fromConfig(s))
	}
	nameByDatabase(f.Targets, file.Storages)
	for i := range f.Targets {
		f.Targets[i].File = f
		f.Targets[i].Warnings = append(f.Targets[i].Warnings, f.unreadable...)
	}
	return f.Targets, nil
}

// nameByDatabase names storages that have no name in the file: by the database,
// and by the place in the file only where that doesn't tell.
func nameByDatabase(targets []Target, storages []zconfig.Storage) {
	count := map[string]int{}
	for i := range targets {
		t := &targets[i]
		if t.Name == "" && !t.Foreign {
			if config, _, err := conninfo.Parse(t.DSN); err == nil {
				t.Name = config.Database
			}
		}
		count[t.Name]++
	}
	for i := range targets {
		t, place := &targets[i], fmt.Sprintf("%s:%d", storages[i].File, storages[i].Line)
		switch {
		case t.Name == "":
			t.Name = place
		case count[t.Name] > 1:
			t.Name = fmt.Sprintf("%s (%s)", t.Name, place)
		}
	}
}

func fromConfig(s zconfig.Storage) Target {
	t := Target{
		Name: s.Name, DSN: s.DSN,
		CommitLockTimeout: s.CommitLockTimeout, BatchTimeout: s.PackBatchTimeout,
		PrepackOnly: s.PackPrepackOnly, KeepsGarbage: !s.PackGC,
		Names:   s.Names,
		Called:  s.Called,
		section: s.Section,
	}
	if s.SharedBlobDir {
		t.BlobDir = s.BlobDir
	} else {
		// Unwritten, it was true before RelStorage 3.0: nothing is known then.
		t.BlobsInDatabase = s.LineOf("shared-blob-dir") > 0
	}
	at := func(key string) string {
		file, line := s.Where(key)
		return fmt.Sprintf("%s:%d", file, line)
	}
	if s.LineOf("dsn") > 0 {
		t.DSNAt = at("dsn")
	}
	note := func(set bool, key, text string) {
		if set {
			t.Notes = append(t.Notes, fmt.Sprintf("%s: %s %s", at(key), key, text))
		}
	}
	note(s.PackSkipPrepack, "pack-skip-prepack", "is ignored: relpack has no prepack state: it always brings the graph up to date")
	note(s.ReplicaConf != "", "replica-conf", "is ignored: relpack works on the primary that the dsn names")
	note(s.ROReplicaConf != "", "ro-replica-conf", "is ignored: relpack works on the primary that the dsn names")
	if s.LineOf("keep-history") > 0 {
		t.SaysFree, t.SaysKeeps = at("keep-history"), ""
		if s.KeepHistory {
			t.SaysFree, t.SaysKeeps = "", at("keep-history")
		}
	}
	var wrapped error
	t.Warnings, wrapped = judgeSurroundings(s)
	switch {
	case s.BlobDir != "" && !s.SharedBlobDir && s.LineOf("shared-blob-dir") == 0:
		t.Warnings = append(t.Warnings, at("blob-dir")+`: blob-dir is not used: "shared-blob-dir true" is missing, without which it may be a cache. Files of deleted blobs stay.`)
	case s.SharedBlobDir && s.BlobDir == "":
		t.Warnings = append(t.Warnings, at("shared-blob-dir")+": blob-dir is missing. Files of deleted blobs stay.")
	}
	switch {
	case s.Adapter != "postgresql":
		what := "has no database"
		if s.Adapter != "" {
			what = "is in <" + s.Adapter + ">"
		}
		t.Foreign = true
		t.unfit = fault.Refuse("relpack packs PostgreSQL only; use zodbpack",
			"%s:%d: the storage %s", s.File, s.Line, what)
	case wrapped != nil:
		t.unfit = wrapped
	case s.ReadOnly:
		t.unfit = fault.Refuse("", "%s: the storage is read-only", at("read-only"))
	}
	t.refused = t.unfit
	if t.refused == nil && !s.PackGC {
		t.refused = fault.Refuse("Objects that only other databases refer to would be deleted",
			"%s: pack-gc is false: this storage is not to be garbage collected", at("pack-gc"))
	}
	return t
}

// newFile collects the names of the databases of a file, and which of them relpack
// can't read.
func newFile(file *zconfig.File) *File {
	f := &File{names: map[string]bool{}, blobDirs: file.BlobDirs}
	know := func(names []string) string {
		for _, name := range names {
			f.names[FoldName(name)] = true
		}
		if len(names) == 0 {
			return ""
		}
		return names[0]
	}
	for _, s := range file.Storages {
		if name := know(s.Names); s.Adapter != "postgresql" && s.Adapter != "" {
			f.unreadable = append(f.unreadable, unreadable(name, s.Adapter, s.File, s.Line))
		}
	}
	for _, db := range file.Databases {
		if name := know(db.Names); !transient[db.Kind] {
			f.unreadable = append(f.unreadable, unreadable(name, db.Kind, db.File, db.Line))
		}
	}
	return f
}

// FoldName makes names of databases comparable: ZConfig lower-cases those of
// sections.
func FoldName(name string) string { return strings.ToLower(pickle.Plain([]byte(name))) }
