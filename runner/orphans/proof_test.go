package orphans_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/orphans"
	"relpack/runner/target"
)

// A volume that is not mounted: what is behind the link is not known, and what was
// left elsewhere may be the last copy.
func TestALinkProvesNoFile(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.write(zodbtest.Lawn, 2, s.then, 20*day, "what is left")
	link := func(to string, from ...string) {
		t.Helper()
		path := filepath.Join(append([]string{s.BlobDir}, from...)...)
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
	}
	link("/nonexistent/volume", "0x00")
	if r, err := s.look(s.removing()); fault.ExitCode(err) != fault.ExitRefused || r.NotKnown != 2 || r.Found != 0 || r.Removed.Files > 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := s.look(orphans.Options{Now: s.later()}); err != nil || kind(r, "behind_link") != 1 || r.Orphans.Files != 0 {
		t.Errorf("%+v, %v", r, err)
	}

	// One file of twelve.
	s = newShelf(t, zodbtest.Bushy)
	live := map[int64][]byte{1: zodbtest.Record(zodbtest.Document, 2, 3, 7, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29)}
	for zoid := int64(20); zoid < 30; zoid++ {
		live[zoid] = zodbtest.Record(zodbtest.Blob)
		s.write(s.layout, zoid, s.last+1, 20*day, "stored")
	}
	s.commit(s.last+1, live)
	s.pack()
	path, _ := filepath.Rel(s.BlobDir, zodbtest.BlobPath(s.BlobDir, s.layout, 2, s.last))
	link("/nonexistent", path)
	r, err := s.look(s.removing())
	if err != nil || r.NotKnown != 1 || kind(r, "behind_link") != 1 || r.Removed.Files > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// A disk that was full, a power failure: the stored revision's file is cut off.
func TestAnEmptyFileProvesNoLaterRevision(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	live := map[int64][]byte{1: zodbtest.Record(zodbtest.Document, 2, 3, 7, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29)}
	for zoid := int64(20); zoid < 30; zoid++ {
		live[zoid] = zodbtest.Record(zodbtest.Blob)
		s.write(s.layout, zoid, s.last+1, 20*day, "stored")
	}
	s.commit(s.last+1, live)
	s.pack()
	empty := func(tid int64) {
		t.Helper()
		path := zodbtest.BlobPath(s.BlobDir, s.layout, 2, tid)
		if err := errors.Join(os.Chmod(path, 0o600), os.Truncate(path, 0)); err != nil {
			t.Fatal(err)
		}
	}
	empty(s.last)
	if r := s.expectRemoved(s.removing()); kind(r, "last_copy") != 1 || r.EmptyFile != 1 {
		t.Errorf("%+v", r)
	}
	empty(s.then)
	s.expectRemoved(s.removing(), "superseded")
}

// A client whose clock is behind, or zodbconvert, writes files of old tids.
func TestTheGraceBeginsWhenTheSupersedingFileCame(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	o := s.removing()
	path := zodbtest.BlobPath(s.BlobDir, s.layout, 2, s.last)
	if err := os.Chtimes(path, o.Now, o.Now); err != nil {
		t.Fatal(err)
	}
	if r := s.expectRemoved(o); kind(r, "young") != 1 {
		t.Errorf("%+v", r)
	}
	o.Now = o.Now.Add(2 * day)
	s.expectRemoved(o, "superseded")
}

// Which of its objects they refer to is not known here: the row of one may be put back.
func TestWhatOtherDatabasesMayReferToStays(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.clutter()
	packtest.Run(s.t, s.conn, "INSERT INTO relpack.referred_by (refs, unreadable, looked, origin, holder) VALUES (1, 0, now(), 'x', 'other')")
	if r := s.expectRemoved(s.removing(), "temporary", "superseded"); kind(r, "referred") != 2 {
		t.Errorf("%+v", r)
	}
}

func TestALineThatTwoSectionsIncludeIsNamedByBoth(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	dir := t.TempDir()
	path := filepath.Join(dir, "site.conf")
	if err := os.WriteFile(filepath.Join(dir, "common.conf"), []byte("keep-history false\nshared-blob-dir true\nblob-dir "+s.BlobDir+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	one := fmt.Sprintf("<relstorage main>\n%%include common.conf\n<postgresql>\ndsn %s\n</postgresql>\n</relstorage>\n", s.DSN)
	both := func(text string) []target.Target {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		targets, err := target.Targets(path, "", "")
		if err != nil {
			t.Fatal(err)
		}
		return targets
	}
	o := orphans.Options{Remove: true, Claim: true, Migrations: migrations.Files}
	removeFrom := func(who target.Target) error {
		_, err := orphans.Storage(t.Context(), who, o, slog.New(slog.DiscardHandler))
		return err
	}
	for _, who := range both(one + "<relstorage other>\n%include common.conf\n<postgresql>\ndsn dbname=other\n</postgresql>\n</relstorage>\n") {
		s.expectRefused(removeFrom(who), fault.ExitRefused, "named by", "of its own")
	}
	if err := removeFrom(both(one)[0]); err != nil {
		t.Error(err)
	}
}

// In a layout that the directory had once lies what was left there.
func TestAFileInAnotherLayoutIsNoSuccessor(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.write(zodbtest.Lawn, 2, s.then, 20*day, "left")
	if r := s.expectRemoved(s.removing(), "superseded"); kind(r, "last_copy") != 1 {
		t.Errorf("%+v", r)
	}
}

// Its name is in the way of the blob's next revision; all others can be judged.
func TestAPlainFileInPlaceOfADirectoryIsABlobWithoutAFile(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Lawn)
	path := zodbtest.ObjectDir(s.BlobDir, s.layout, 3)
	if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, []byte("content"), 0o600)); err != nil {
		t.Fatal(err)
	}
	r, err := s.look(orphans.Options{Now: s.later()})
	if err != nil || r.Missing != 1 || kind(r, "superseded") != 1 || kind(r, "other") != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// A terminal would take the bytes for something else.
func TestNamesThatAreNoTextAreQuoted(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.put("caf\xe9\x9b2J", 20*day, "other")
	r, err := s.look(orphans.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := r.Write(&text); err != nil || !strings.Contains(text.String(), `"caf\xe9\x9b2J"`) || strings.Contains(text.String(), "\x9b") {
		t.Errorf("%v\n%q", err, &text)
	}
}
