package orphans_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/orphans"
)

func (s *shelf) markPath() string { return filepath.Join(s.BlobDir, ".relpack") }

// mark is the text of the file that a removal leaves.
func (s *shelf) mark() string {
	s.t.Helper()
	text, err := os.ReadFile(s.markPath())
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

func (s *shelf) unmark() {
	s.t.Helper()
	if err := os.Remove(s.markPath()); err != nil {
		s.t.Fatal(err)
	}
}

// copied is the same shelf, of a database that is a copy.
func (s *shelf) copied() *shelf {
	s.t.Helper()
	var name string
	if err := s.conn.QueryRow(s.t.Context(), "SELECT current_database()").Scan(&name); err != nil {
		s.t.Fatal(err)
	}
	if err := s.conn.Close(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	db, admin := pgtest.NewDatabase(s.t), pgtest.NewDatabase(s.t).Connect(s.t)
	packtest.Run(s.t, admin, "DROP DATABASE "+db.Name)
	packtest.Run(s.t, admin, "CREATE DATABASE "+db.Name+" TEMPLATE "+name)
	other := *s
	other.conn, other.DSN = db.Connect(s.t), db.DSN
	s.conn = (&pgtest.Database{DSN: s.DSN}).Connect(s.t)
	return &other
}

// aside writes a file of a revision that is not expected to go.
func (s *shelf) aside(zoid, tid int64) { s.t.Helper(); s.write(s.layout, zoid, tid, 20*day, "aside") }

func (s *shelf) below(zoid, tid int64, layout string) string {
	s.t.Helper()
	path, err := filepath.Rel(s.BlobDir, zodbtest.BlobPath(s.BlobDir, layout, zoid, tid))
	if err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *shelf) expectRemoved(o orphans.Options, kinds ...string) *orphans.Report {
	s.t.Helper()
	r, err := s.look(o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.expectThere(kinds...)
	return r
}

func TestNothingIsRemovedBeforeSomebodySaysWhoUsesTheDirectory(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.clutter()
	o := s.removing()
	o.Claim = false
	_, err := s.look(o)
	s.expectRefused(err, fault.ExitRefused, "no other storage, and no copy of this database", "add --claim")
	if _, err := os.Stat(s.markPath()); !os.IsNotExist(err) {
		t.Errorf("a mark: %v", err)
	}
}

// Nothing in the rows of a copy tells which files the original needs: not those that
// it wrote since, nor those that only the copy has overwritten.
func TestADirectoryFromWhichAnotherDatabaseRemovedFilesIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.expectRemoved(s.removing(), "superseded")
	c := s.copied()
	c.commit(s.last+1000, map[int64][]byte{3: zodbtest.Record(zodbtest.Blob)})
	s.write(s.layout, 3, s.last+1000, 20*day, "of the copy")
	c.pack()
	_, err := c.look(s.removing())
	if fault.ExitCode(err) != fault.ExitRefused {
		t.Fatal(err)
	}
	packtest.ExpectWords(t, fault.Message(err), "another database has cleared the blob directory", "a copy of the other database's, or that one is gone for good", "remove the file .relpack")
	if r, err := c.look(orphans.Options{Now: s.later()}); err != nil || !strings.Contains(r.Doubt, "another database has cleared the blob directory") {
		t.Errorf("the list: %+v, %v", r, err)
	}
	s.expectThere("superseded")

	s.unmark() // the original is gone, or this is a copy of its directory
	if r, err := c.look(s.removing()); err != nil || r.Removed.Files != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	s.pack()
	if _, err = s.look(s.removing()); fault.ExitCode(err) != fault.ExitRefused || !strings.Contains(fault.Message(err), "another database") {
		t.Error(err)
	}
}

func TestAMarkThatCanNotBeReadRefuses(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.clutter()
	for text, words := range map[string]string{
		"": "can't be understood", "null": "can't be understood", "[]": "can't be understood", `"x"`: "can't be understood",
		`{"origin": "a\u0000b", "cleared": 1}`: "can't be understood", `{"origin": "x", "cleared": 9999999999999999999}`: "can't be understood",
		`{"origin": "x", "cleared": -1}`: "can't be understood", `{"cleared": 1}`: "can't be understood",
		"{\"origin\": \"\xff\xfe\", \"cleared\": 1}": "another database",
	} {
		if err := os.WriteFile(s.markPath(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := s.look(s.removing())
		s.expectRefused(err, fault.ExitRefused, words)
	}
	for _, make := range []func() error{
		func() error { return os.Symlink("/etc/hostname", s.markPath()) },
		func() error { return os.Mkdir(s.markPath(), 0o700) },
	} {
		s.unmark()
		if err := make(); err != nil {
			t.Fatal(err)
		}
		_, err := s.look(s.removing())
		s.expectRefused(err, fault.ExitFailure, "not a regular file")
	}
}

// A backup of the database is restored beside it, and its files are copied into the
// directory, none of which is there any more.
func TestSupersededFilesThatCameAfterARemovalRefuse(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.clutter()
	s.expectRemoved(s.removing(), "superseded", "temporary")
	s.files = map[string]string{}
	for _, path := range s.there() {
		s.files[path] = "stays"
	}
	s.aside(2, s.then)
	_, err := s.look(s.removing()) // nothing else is there to go
	s.expectRefused(err, fault.ExitRefused, "came back that nobody needed when it was last cleared")
	s.overwrite()
	_, err = s.look(s.overwritten())
	s.expectRefused(err, fault.ExitRefused, "came back that nobody needed when it was last cleared", "1 file can't be this database's")
	r, err := s.look(orphans.Options{Now: s.later()})
	if err != nil || kind(r, "arrived") != 1 {
		t.Errorf("the list: %+v, %v", r, err)
	}
}

// overwrite supersedes a revision two hours ago, which a backup may have.
func (s *shelf) overwrite() {
	s.t.Helper()
	tid := zodbtest.TimeTid(s.now.Add(-2 * time.Hour))
	s.commit(tid, map[int64][]byte{3: zodbtest.Record(zodbtest.Blob)})
	s.write(s.layout, 3, tid, 20*day, "stored")
	s.files[s.below(3, s.then, s.layout)] = "overwritten"
}

// overwritten are the options with which that goes.
func (s *shelf) overwritten() orphans.Options {
	o := s.removing()
	o.Days = 0
	return o
}

// A blob is overwritten, and deleted later: what was superseded is of an object that is
// gone, and older than the last removal. Such files tell of nobody.
func TestFilesOfObjectsThatWentSinceTheLastRemovalDoNotKeepOthers(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.expectRemoved(s.removing(), "superseded")
	s.clutter()
	s.overwrite()
	if r := s.expectRemoved(s.overwritten(), "superseded", "temporary", "overwritten"); kind(r, "gone") != 2 {
		t.Errorf("%+v", r)
	}
}

// A physical copy of the server says of itself what the original does, but for the
// timeline that its promotion begins.
func TestADirectoryThatWasClearedOnAnotherTimelineIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.expectRemoved(s.removing(), "superseded")
	s.clutter()
	const here, there = `"timeline": "00000001"`, `"timeline": "0000000A"`
	if text := s.mark(); !strings.Contains(text, here) {
		t.Fatal(text)
	}
	if err := os.WriteFile(s.markPath(), []byte(strings.Replace(s.mark(), here, there, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	delete(s.files, s.below(2, s.then, s.layout))
	_, err := s.look(s.removing())
	s.expectRefused(err, fault.ExitRefused, "cleared on timeline 0000000A", "is on 00000001", "this is the site's database, remove the file .relpack", "directory of its own")
	if r, err := s.look(orphans.Options{Now: s.later()}); err != nil || !strings.Contains(r.Doubt, "timeline 0000000A") {
		t.Errorf("the list: %+v, %v", r, err)
	}
	s.unmark()
	s.expectRemoved(s.removing(), "temporary")

	role := packtest.NewRole(t, s.conn)
	packtest.Run(t, s.conn, "REVOKE EXECUTE ON FUNCTION pg_current_wal_lsn() FROM PUBLIC")
	packtest.Run(t, s.conn, "GRANT USAGE ON SCHEMA relpack TO "+role)
	packtest.Run(t, s.conn, "GRANT EXECUTE ON FUNCTION relpack.timeline() TO "+role)
	packtest.Run(t, s.conn, "SET ROLE "+role)
	if !packtest.Get[bool](t, s.conn, "SELECT relpack.timeline() IS NULL") {
		t.Error("a role that may not see the timeline")
	}
}

// What stayed because it was young is no file that came since.
func TestWhatOneRemovalLeftTheNextOneRemoves(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.clutter()
	s.aside(2, s.then-1)
	path := zodbtest.BlobPath(s.BlobDir, s.layout, 2, s.then-1)
	o := s.removing()
	if err := os.Chtimes(path, o.Now, o.Now); err != nil {
		t.Fatal(err)
	}
	s.expectRemoved(o, "superseded", "temporary")
	o.Now = o.Now.Add(2 * day)
	s.expectRemoved(o, "superseded", "temporary", "aside")
	s.aside(2, s.then-1)
	s.overwrite()
	if _, err := s.look(s.overwritten()); fault.ExitCode(err) != fault.ExitRefused {
		t.Error(err)
	}
}

func TestARoleThatPacksMayRemove(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.clutter()
	role := packtest.NewRole(t, s.conn)
	packtest.Run(t, s.conn, "GRANT USAGE ON SCHEMA relpack TO "+role)
	var grants string
	if err := s.conn.QueryRow(t.Context(), "SELECT string_agg(DISTINCT remedy, ' ') FROM relpack.missing_privilege($1)", role).Scan(&grants); err != nil {
		t.Fatal(err)
	}
	packtest.Run(t, s.conn, grants+" GRANT pg_read_all_stats TO "+role)
	s.Target = packtest.As(s.Target, role)
	s.expectRemoved(s.removing(), "superseded", "temporary")
}

// Its row had vanished then, say, and was put back since.
func TestASupersededFileThatLayThereWhenTheDirectoryWasClearedGoes(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.expectRemoved(s.removing(), "superseded")
	s.write(s.layout, 2, s.then, 20*day, "superseded")
	_, err := s.look(s.removing())
	s.expectRefused(err, fault.ExitRefused, "came back that nobody needed when it was last cleared")
	var m map[string]any
	in := json.NewDecoder(strings.NewReader(s.mark()))
	in.UseNumber() // a tid is more than a float can hold
	if err := in.Decode(&m); err != nil {
		t.Fatal(err)
	}
	m["removed"] = time.Now().Add(2 * time.Hour)
	text, err := json.Marshal(m)
	if err == nil {
		err = os.WriteFile(s.markPath(), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if r := s.expectRemoved(s.removing(), "superseded"); r.Removed.Files != 1 || r.Kept != 0 {
		t.Errorf("%+v", r)
	}
}
