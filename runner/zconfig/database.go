package zconfig

import (
	"iter"
	"strings"
)

// A database is a <zodb> or <zodb_db> section while its text is read.
type database struct {
	section Section
	name    string    // its database-name
	named   bool      // it has one
	inside  []Section // all sections in it, but for those within <relstorage>
	holds   bool      // a <relstorage>
}

// isDatabase tells whether a section of this type is a database.
func isDatabase(kind string) bool { return kind == "zodb" || kind == "zodb_db" }

// storageKinds are section types of storages that stand in files without a
// <zodb> around them.
var storageKinds = map[string]bool{
	"filestorage": true, "clientstorage": true, "zeoclient": true, "demostorage": true,
	"mappingstorage": true, "temporarystorage": true,
}

// noteSection remembers where an opened section belongs.
func (p *parser) noteSection(outer, s *section) {
	here := Section{s.kind, s.name, s.at.file, s.at.line}
	s.chain = &enclosed{here, outer.chain}
	s.db = outer.db
	switch {
	case outer.storage != nil:
		return
	case isDatabase(s.kind):
		s.db = &database{section: here}
		p.databases = append(p.databases, s.db)
		return
	case s.db == nil && storageKinds[s.kind]:
		p.bare = append(p.bare, here)
	case s.db != nil:
		s.db.inside = append(s.db.inside, here)
		s.db.holds = s.db.holds || s.kind == "relstorage"
	}
}

// setDatabaseName stores the only key that matters of a <zodb>.
func (s *section) setDatabaseName(key, value string) {
	if name, ok := basicKey(key); ok && name == "database-name" && value != "" {
		s.db.name, s.db.named = value, true
	}
}

// names are what a database is called in references. ZConfig keeps the case of
// a value and lower-cases a section's name.
func (db *database) names() []string {
	if db.named {
		return []string{db.name}
	}
	return []string{db.section.Name}
}

// storage is the section of a database's storage, that in a wrapper included.
func (db *database) storage() Section {
	for _, section := range db.inside {
		if storageKinds[section.Kind] && section.Kind != "demostorage" {
			return section
		}
	}
	return db.inside[0]
}

// result completes what could not be known while the text was read.
func (l *loader) result() *File {
	f := &File{BlobDirs: l.blobDirs}
	for _, s := range l.storages {
		switch {
		case s.db != nil:
			s.Names, s.Called = s.db.names(), true
		case s.Name != "":
			s.Names = []string{s.Name}
		}
		if s.Name != "" && !contains(s.Names, s.Name) {
			s.Names = append(s.Names, s.Name)
		}
		f.Storages = append(f.Storages, *s)
	}
	for _, db := range l.databases {
		if !db.holds && len(db.inside) > 0 {
			f.Databases = append(f.Databases, Database{db.names(), db.storage()})
		}
	}
	for _, bare := range l.bare {
		f.Databases = append(f.Databases, Database{[]string{bare.Name}, bare})
	}
	return f
}

// enclosed is a section and what encloses it.
type enclosed struct {
	Section
	outer *enclosed
}

// Around yields the sections that enclose the storage, the innermost first.
func (s Storage) Around() iter.Seq[Section] {
	return func(yield func(Section) bool) {
		for around := s.chain.outer; around != nil && yield(around.Section); around = around.outer {
		}
	}
}

// Beside yields the sections in the innermost <zodb> or <zodb_db> around the
// storage that don't enclose it.
func (s Storage) Beside() iter.Seq[Section] {
	return func(yield func(Section) bool) {
		if s.db == nil {
			return
		}
		own := map[Section]bool{s.chain.Section: true}
		for around := range s.Around() {
			own[around] = true
		}
		for _, section := range s.db.inside {
			if !own[section] && !yield(section) {
				return
			}
		}
	}
}

func contains(names []string, name string) bool {
	for _, known := range names {
		if strings.EqualFold(known, name) {
			return true
		}
	}
	return false
}
