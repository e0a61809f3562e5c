package runner

import (
	"fmt"
	"time"

	"relpack/runner/zconfig"
)

// A Target is one storage to work on.
type Target struct {
	// Name is how messages and reports call it: its name in the configuration
	// file, or else where that file has it; "" when there is only a DSN.
	Name string
	DSN  string
	// BlobDir is the shared blob directory; "" when it isn't known, or when
	// blobs are in the database.
	BlobDir string
	// BlobsInDatabase is set when the configuration says in so many words
	// shared-blob-dir false: no file is the storage's own.
	BlobsInDatabase bool

	CommitLockTimeout time.Duration // how long to try for a lock; 0: no limit
	BatchTimeout      time.Duration // aimed-at duration of a batch
	PrepackOnly       bool          // the configuration wants nothing deleted

	Notes   []string // on what the configuration says in vain
	refused error    // why neither pack nor migrate may touch it
	foreign bool     // it isn't in PostgreSQL: there is nothing to connect to
}

// Writable returns why pack and migrate refuse the storage, or nil.
func (t Target) Writable() error { return t.refused }

const (
	defaultLockTimeout  = 30 * time.Second
	defaultBatchTimeout = 15 * time.Second
)

// Targets finds the storages to work on: those of a configuration file, or
// without one the database of the DSN, which may be empty (libpq's
// environment).
func Targets(config, dsn, blobDir string) ([]Target, error) {
	if config == "" {
		return []Target{{
			DSN: dsn, BlobDir: blobDir,
			CommitLockTimeout: defaultLockTimeout, BatchTimeout: defaultBatchTimeout,
		}}, nil
	}
	if dsn != "" || blobDir != "" {
		return nil, &Error{Code: ExitUsage, Err: fmt.Errorf("%s says where the database and the blobs are: --dsn and --blob-dir are for use without a configuration file", config)}
	}
	storages, err := zconfig.Load(config)
	if err != nil {
		return nil, &Error{Code: ExitFailure, Err: err}
	}
	var targets []Target
	for _, s := range storages {
		targets = append(targets, fromConfig(s))
	}
	return targets, nil
}

func fromConfig(s zconfig.Storage) Target {
	t := Target{
		Name: s.Name, DSN: s.DSN,
		CommitLockTimeout: s.CommitLockTimeout, BatchTimeout: s.PackBatchTimeout,
		PrepackOnly: s.PackPrepackOnly,
	}
	if t.Name == "" {
		t.Name = fmt.Sprintf("%s:%d", s.File, s.Line)
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
	note := func(set bool, key, text string) {
		if set {
			t.Notes = append(t.Notes, fmt.Sprintf("%s: %s %s", at(key), key, text))
		}
	}
	note(s.PackSkipPrepack, "pack-skip-prepack", "is ignored: there is no prepack state to reuse, the graph is always brought up to date")
	note(s.ReplicaConf != "", "replica-conf", "is ignored: relpack works on the primary that the dsn names")
	note(s.ROReplicaConf != "", "ro-replica-conf", "is ignored: relpack works on the primary that the dsn names")
	switch {
	case s.Adapter != "postgresql":
		what := "has no database"
		if s.Adapter != "" {
			what = "is in <" + s.Adapter + ">"
		}
		t.foreign = true
		t.refused = Refuse("relpack packs PostgreSQL only; use zodbpack",
			"%s:%d: the storage %s", s.File, s.Line, what)
	case s.KeepHistory:
		t.refused = Refuse("relpack packs history-free storages only; use zodbpack",
			"%s: the storage keeps history (keep-history true, RelStorage's default)", at("keep-history"))
	case !s.PackGC:
		t.refused = Refuse("Objects that only other databases refer to would be deleted",
			"%s: pack-gc is false: this storage is not to be garbage collected", at("pack-gc"))
	case s.ReadOnly:
		t.refused = Refuse("", "%s: the storage is read-only", at("read-only"))
	}
	return t
}
