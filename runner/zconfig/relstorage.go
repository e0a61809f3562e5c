package zconfig

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// A setter stores the value of a key. The reason it returns follows the key's
// name in the message.
type setter func(s *Storage, value string) (reason string)

// storageKeys are the keys of <relstorage> in RelStorage 1.5 to 4.2. Those with
// a nil setter don't concern a packer: any value is accepted.
// revert_when_stale is the one that is really spelt with underscores; the
// documentation spells it with hyphens.
var storageKeys = map[string]setter{
	"keep-history":        boolean(func(s *Storage) *bool { return &s.KeepHistory }),
	"shared-blob-dir":     boolean(func(s *Storage) *bool { return &s.SharedBlobDir }),
	"pack-gc":             boolean(func(s *Storage) *bool { return &s.PackGC }),
	"pack-prepack-only":   boolean(func(s *Storage) *bool { return &s.PackPrepackOnly }),
	"pack-skip-prepack":   boolean(func(s *Storage) *bool { return &s.PackSkipPrepack }),
	"read-only":           boolean(func(s *Storage) *bool { return &s.ReadOnly }),
	"blob-dir":            text(func(s *Storage) *string { return &s.BlobDir }),
	"replica-conf":        text(func(s *Storage) *string { return &s.ReplicaConf }),
	"ro-replica-conf":     text(func(s *Storage) *string { return &s.ROReplicaConf }),
	"commit-lock-timeout": setCommitLockTimeout,
	"pack-batch-timeout":  setPackBatchTimeout,
	"name":                setName,

	"blob-cache-size":                nil,
	"blob-cache-size-check":          nil,
	"blob-cache-size-check-external": nil,
	"blob-chunk-size":                nil,
	"cache-delta-size-limit":         nil,
	"cache-local-compression":        nil,
	"cache-local-dir":                nil,
	"cache-local-dir-compress":       nil,
	"cache-local-dir-count":          nil,
	"cache-local-dir-read-count":     nil,
	"cache-local-dir-write-max-size": nil,
	"cache-local-mb":                 nil,
	"cache-local-object-max":         nil,
	"cache-local-storage":            nil,
	"cache-module-name":              nil,
	"cache-prefix":                   nil,
	"cache-servers":                  nil,
	"commit-lock-id":                 nil,
	"create-schema":                  nil,
	"pack-commit-busy-delay":         nil,
	"poll-interval":                  nil,
	"replica-timeout":                nil,
	"revert-when-stale":              nil,
	"revert_when_stale":              nil,
}

// postgresqlKeys are the keys of <postgresql>. An unknown one is refused: with
// "dns" for "dsn" the packer would look for a database on this machine.
var postgresqlKeys = map[string]setter{
	"dsn":    func(s *Storage, value string) string { s.DSN = value; return "" },
	"driver": setDriver,
}

// adapters are RelStorage's own, and that of Newt DB, which wraps <postgresql>.
var adapters = map[string]bool{"postgresql": true, "mysql": true, "oracle": true, "sqlite3": true, "newt": true}

// begin opens section s within outer.
func (p *parser) begin(outer, s *section) error {
	switch {
	case outer.storage == nil:
		if s.kind == "relstorage" {
			s.storage = newStorage(s)
		}
	case outer.kind == "relstorage":
		if !adapters[s.kind] {
			return p.at.errorf("<relstorage> can't hold a section <%s>: expected postgresql, mysql, oracle or sqlite3", printable(s.kind))
		}
		if had := outer.storage.Adapter; had != "" {
			return p.at.errorf("<relstorage> of line %d has two adapters, <%s> and <%s>", outer.storage.Line, had, s.kind)
		}
		s.storage = outer.storage
		s.storage.Adapter = s.kind
	case outer.kind == "postgresql":
		return p.at.errorf("<postgresql> can't hold a section <%s>", printable(s.kind))
	}
	return nil
}

// end closes section s: a storage is complete when its section is.
func (p *parser) end(s *section) {
	if s.kind != "relstorage" || s.storage == nil {
		return
	}
	if s.storage.Name == "" {
		s.storage.Name = s.name
	}
	p.storages = append(p.storages, s.storage)
}

func newStorage(s *section) *Storage {
	return &Storage{
		Name: s.name, chain: s.chain, db: s.db, File: s.at.file, Line: s.at.line, Section: s.number,
		Driver:            "auto",
		KeepHistory:       true,
		PackGC:            true,
		CommitLockTimeout: defaultCommitLockTimeout,
		PackBatchTimeout:  defaultPackBatchTimeout,
		set:               map[string]position{},
	}
}

// set stores a key of <relstorage> or of its adapter.
func (s *section) set(at position, key, value string) error {
	known := storageKeys
	switch s.kind {
	case "relstorage":
	case "postgresql":
		known = postgresqlKeys
	default:
		return nil // another database: relpack refuses the storage as a whole
	}
	key, ok := basicKey(key)
	if !ok {
		return at.errorf("malformed line in <%s>: no key in front (a value can't go on over several lines)", s.kind)
	}
	store, ok := known[key]
	if !ok {
		return at.errorf("<%s> has no key %s%s", s.kind, quote(key), hint(key, known))
	}
	if before, ok := s.storage.set[key]; ok {
		return at.errorf("%s was set already, at %s:%d", key, before.file, before.line)
	}
	s.storage.set[key] = at
	if store == nil {
		return nil
	}
	if reason := store(s.storage, value); reason != "" {
		return at.errorf("%s %s", key, reason)
	}
	return nil
}

// needs tells whether a value matters to relpack.
func (s *section) needs(key string) bool {
	key, _ = basicKey(key)
	switch {
	case s.storage == nil:
		return isDatabase(s.kind) && key == "database-name"
	case s.kind == "relstorage":
		store, known := storageKeys[key]
		return store != nil || !known
	}
	return s.kind == "postgresql"
}

// hint points out a key written with underscores.
func hint(key string, known map[string]setter) string {
	if hyphens := strings.ReplaceAll(key, "_", "-"); hyphens != key {
		if _, ok := known[hyphens]; ok {
			return ": it is spelt " + hyphens
		}
	}
	return ""
}

// basicKey lower-cases a key and reports whether it is one ("basic-key" in
// ZConfig's standard datatypes).
func basicKey(key string) (string, bool) {
	for i := range len(key) {
		if !isKeyByte(key[i], i) {
			return "", false
		}
	}
	return strings.ToLower(key), key != ""
}

func isKeyByte(c byte, i int) bool {
	letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
	return letter || i > 0 && (c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_')
}

func boolean(field func(*Storage) *bool) setter {
	return func(s *Storage, value string) string {
		switch strings.ToLower(value) {
		case "true", "yes", "on":
			*field(s) = true
		case "false", "no", "off":
			*field(s) = false
		case "":
			return "has no value: expected true or false"
		default:
			return "is " + quote(value) + ": expected true, yes, on, false, no or off"
		}
		return ""
	}
}

func text(field func(*Storage) *string) setter {
	return func(s *Storage, value string) string {
		if value == "" {
			return "has no value: give one or leave the line out"
		}
		*field(s) = value
		return ""
	}
}

// setName: the section's own name wins over the key, and the key over the name
// of a section around it.
func setName(s *Storage, value string) string {
	if s.Name == "" {
		s.Name = value
	}
	return ""
}

func setDriver(s *Storage, value string) string {
	s.Driver = value
	return ""
}

// maxSeconds is what a time.Duration holds.
const maxSeconds = int64(math.MaxInt64 / time.Second)

// setCommitLockTimeout reads whole seconds (ZConfig's "integer": no unit).
func setCommitLockTimeout(s *Storage, value string) string {
	seconds, err := strconv.ParseInt(value, 10, 64)
	switch {
	case value == "":
		return "has no value: expected whole seconds"
	case err != nil || seconds < 0 || seconds > maxSeconds:
		return "is " + quote(value) + ": expected whole seconds, without a unit"
	}
	s.CommitLockTimeout = time.Duration(seconds) * time.Second
	return ""
}

// setPackBatchTimeout reads seconds with a fraction (ZConfig's "float").
func setPackBatchTimeout(s *Storage, value string) string {
	seconds, err := strconv.ParseFloat(value, 64)
	switch {
	case value == "":
		return "has no value: expected seconds"
	case err != nil || math.IsNaN(seconds) || seconds < 0 || seconds >= float64(maxSeconds):
		return "is " + quote(value) + ": expected seconds, such as 15 or 0.5, without a unit"
	}
	s.PackBatchTimeout = time.Duration(seconds * float64(time.Second))
	return ""
}
