package target

import (
	"fmt"

	"relpack/runner/fault"
	"relpack/runner/zconfig"
)

// harmless are sections that may stand around a storage or beside it: they
// neither keep objects of their own nor hide what objects refer to.
var harmless = map[string]bool{
	"zodb": true, "zodb_db": true, // the database
	"zlibstorage": true, "serverzlibstorage": true, // states are compressed, which relpack reads
	"s3blobstorage": true, // see judgeSurroundings
}

// unharmless say of sections that are known what speaks against a pack.
var unharmless = map[string]struct{ reason, hint string }{
	"demostorage": {"one of the two storages in it may refer to objects that look like garbage in the other",
		"Pack the database from a file without <demostorage>, while no client has one around it"},
	"encryptingstorage": {"its states are encrypted, so that relpack can't see what they refer to", "Use zodbpack"},
	"relstorage":        {"a database has one storage", "Give each a <zodb> of its own"},
}

// judgeSurroundings looks at the sections around a storage and at those beside
// it in its database. What relpack doesn't know may keep objects elsewhere that
// refer to the storage's, and is refused.
func judgeSurroundings(s zconfig.Storage) (warnings []string, refused error) {
	for section := range s.Around() {
		if section.Kind == "s3blobstorage" {
			warnings = append(warnings, fmt.Sprintf(
				"%s:%d: <s3blobstorage>: the bucket keeps the blobs of deleted objects: only its own pack removes them.", section.File, section.Line))
		}
		if !harmless[section.Kind] {
			return nil, refuseSection(section, "around")
		}
	}
	for section := range s.Beside() {
		if !harmless[section.Kind] {
			return nil, refuseSection(section, "beside")
		}
	}
	return warnings, nil
}

func refuseSection(section zconfig.Section, where string) error {
	reason, hint := "relpack doesn't know what it does with the objects", "Use its own packer"
	if known, ok := unharmless[section.Kind]; ok {
		reason, hint = known.reason, known.hint
	}
	return fault.Refuse(hint, "%s:%d: <%s> %s the storage: %s", section.File, section.Line, section.Kind, where, reason)
}

// transient databases hold nothing longer than their process lives.
var transient = map[string]bool{"mappingstorage": true, "temporarystorage": true}

// unreadable tells of a database that may refer to the others of its file
// without relpack ever knowing.
func unreadable(name, kind, file string, line int) string {
	if name != "" {
		name = " " + name
	}
	return fmt.Sprintf("%s:%d: the database%s is in <%s>, which relpack can't read: whether it refers to this one is unknown.", file, line, name, kind)
}
