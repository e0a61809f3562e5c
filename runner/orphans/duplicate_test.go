package orphans_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/orphans"
)

// A directory whose layout was changed, and which has the files of both.
func TestAFileInTheOtherLayoutGoesIfItIsThereOnceMore(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{zodbtest.Bushy, zodbtest.Lawn} {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			s := newShelf(t, layout)
			for zoid, tid := range map[int64]int64{2: s.last, 3: s.then, 4: s.then} {
				s.write(s.otherLayout(), zoid, tid, 20*day, "duplicate")
			}
			o := s.removing()
			o.Days = 40
			if r, err := s.look(o); err != nil || r.Removed.Files != 0 || kind(r, "other_layout") != 3 {
				t.Fatalf("%+v, %v", r, err)
			}
			s.expectThere()
			o = s.removing()
			r := s.expectRemoved(o, "superseded", "duplicate")
			if r.Removed.Files != 4 || r.Orphans != r.Removed || kind(r, "stored") != 3 || !strings.Contains(s.mark(), `"cleared"`) {
				t.Errorf("%+v", r)
			}
			for _, zoid := range []int64{2, 3, 4} {
				if _, err := os.Stat(zodbtest.ObjectDir(s.BlobDir, s.otherLayout(), zoid)); !os.IsNotExist(err) {
					t.Error(zoid, err)
				}
			}
		})
	}
}

func (s *shelf) marker() string { return filepath.Join(s.BlobDir, ".layout") }

func (s *shelf) empty(layout string, zoid, tid int64) {
	s.t.Helper()
	path := zodbtest.BlobPath(s.BlobDir, layout, zoid, tid)
	if err := errors.Join(os.Chmod(path, 0o600), os.Truncate(path, 0)); err != nil {
		s.t.Fatal(err)
	}
}

// newTwinShelf has a file of blob 4, which is garbage, in the other layout, too.
func newTwinShelf(t *testing.T) *shelf {
	t.Helper()
	s := newShelf(t, zodbtest.Bushy)
	s.write(zodbtest.Lawn, 4, s.then, 20*day, "duplicate")
	return s
}

func TestAFileInTheOtherLayoutStaysIfItMayBeNeeded(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(s *shelf, own, other string) error{
		"there is no other file": func(s *shelf, own, _ string) error {
			delete(s.files, s.below(4, s.then, zodbtest.Bushy))
			return os.Remove(own)
		},
		"the other one is empty":   func(s *shelf, _, _ string) error { s.empty(zodbtest.Bushy, 4, s.then); return nil },
		"the other one is shorter": func(s *shelf, _, _ string) error { s.shorten(zodbtest.Bushy, 4, s.then); return nil },
		"this one is shorter":      func(s *shelf, _, _ string) error { s.shorten(zodbtest.Lawn, 4, s.then); return nil },
		"the other one has just come": func(s *shelf, own, _ string) error {
			return os.Chtimes(own, s.later(), s.later())
		},
		"this one has just come": func(s *shelf, _, other string) error { return os.Chtimes(other, s.later(), s.later()) },
		"a link is in place of the other one": func(s *shelf, own, _ string) error {
			return errors.Join(os.Remove(own), os.Symlink("/etc/hostname", own))
		},
		"a link is in place of its directory": func(s *shelf, own, other string) error {
			delete(s.files, s.below(4, s.then, zodbtest.Bushy))
			s.files[filepath.Dir(s.below(4, s.then, zodbtest.Bushy))] = "link"
			return errors.Join(os.RemoveAll(filepath.Dir(own)), os.Symlink(filepath.Dir(other), filepath.Dir(own)))
		},
		// As where the one directory is mounted in the place of the other.
		"it is the very same file":         func(s *shelf, own, other string) error { return errors.Join(os.Remove(other), os.Link(own, other)) },
		"the marker has just been written": func(s *shelf, _, _ string) error { return os.Chtimes(s.marker(), s.later(), s.later()) },
		"no marker names the layout":       func(s *shelf, _, _ string) error { return os.Remove(s.marker()) },
		"it was stored within the grace": func(s *shelf, _, _ string) error {
			packtest.Run(s.t, s.conn, "UPDATE relpack.storage SET graph = graph")
			s.files[s.below(4, s.then, zodbtest.Lawn)] = "another"
			tid := zodbtest.TimeTid(s.now.Add(-2 * 3600e9))
			s.commit(tid, map[int64][]byte{4: zodbtest.Record(zodbtest.Blob)})
			for _, layout := range []string{zodbtest.Bushy, zodbtest.Lawn} {
				s.write(layout, 4, tid, 20*day, "stored just now")
			}
			return nil
		},
	} {
		s := newTwinShelf(t)
		if err := spoil(s, zodbtest.BlobPath(s.BlobDir, zodbtest.Bushy, 4, s.then), zodbtest.BlobPath(s.BlobDir, zodbtest.Lawn, 4, s.then)); err != nil {
			t.Fatal(err)
		}
		o := s.removing()
		r, err := s.look(o)
		if err != nil || kind(r, "duplicate") != 0 || kind(r, "other_layout") == 0 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		for _, path := range s.there() {
			delete(s.files, path)
		}
		delete(s.files, s.below(2, s.then, zodbtest.Bushy)) // superseded
		if len(s.files) > 0 {
			t.Errorf("%s: %v went", name, s.files)
		}
	}
}

// The marker is wrong: in the layout that it names ZODB finds next to nothing.
func TestNothingInTheOtherLayoutGoesWhereLiveBlobsLieThere(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Lawn)
	s.write(zodbtest.Bushy, 3, s.then, 20*day, "other_layout")
	if err := os.MkdirAll(zodbtest.ObjectDir(s.BlobDir, zodbtest.Bushy, 2), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(zodbtest.BlobPath(s.BlobDir, zodbtest.Lawn, 2, s.last), zodbtest.BlobPath(s.BlobDir, zodbtest.Bushy, 2, s.last)); err != nil {
		t.Fatal(err)
	}
	delete(s.files, s.below(2, s.last, zodbtest.Lawn))
	s.files[s.below(2, s.last, zodbtest.Bushy)] = "stored"
	if r := s.expectRemoved(s.removing()); kind(r, "other_layout") != 2 || kind(r, "duplicate") != 0 {
		t.Errorf("%+v", r)
	}
}

func TestAFileInTheOtherLayoutThatDiffersIsNamedAndStays(t *testing.T) {
	t.Parallel()
	s := newTwinShelf(t)
	path := zodbtest.BlobPath(s.BlobDir, zodbtest.Lawn, 4, s.then)
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, make([]byte, 7), 0o600)); err != nil {
		t.Fatal(err)
	}
	r, err := s.look(s.removing())
	if fault.ExitCode(err) != fault.ExitFailure || !strings.Contains(fault.Message(err), path+" and "+zodbtest.BlobPath(s.BlobDir, zodbtest.Bushy, 4, s.then)+" differ") ||
		r.Removed.Files != 1 || len(r.Skipped) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	s.expectThere("superseded")
}

func TestWhatChangesWhileADuplicateGoesKeepsIt(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(s *shelf) error{
		"the other one goes": func(s *shelf) error {
			delete(s.files, s.below(4, s.then, zodbtest.Bushy))
			return os.Remove(zodbtest.BlobPath(s.BlobDir, zodbtest.Bushy, 4, s.then))
		},
		"the other one is written": func(s *shelf) error {
			path := zodbtest.BlobPath(s.BlobDir, zodbtest.Bushy, 4, s.then)
			return errors.Join(os.Remove(path), os.WriteFile(path, []byte("content"), 0o400), os.Chtimes(path, s.later(), s.later()))
		},
		"the other one is cut off": func(s *shelf) error { s.shorten(zodbtest.Bushy, 4, s.then); return nil },
		"the marker goes":          func(s *shelf) error { return os.Remove(s.marker()) },
		"the marker changes":       func(s *shelf) error { return os.WriteFile(s.marker(), []byte("lawn"), 0o600) },
		"the row goes":             func(s *shelf) error { s.unstore(4); return nil },
		"the row is written": func(s *shelf) error {
			s.commit(s.last+5, map[int64][]byte{4: zodbtest.Record(zodbtest.Blob)})
			return nil
		},
	} {
		s := newTwinShelf(t)
		var failed error
		r, err := s.atPhase(s.removing(), "remove blob files", func() { failed = change(s) })
		if err = errors.Join(err, failed); err != nil && !strings.Contains(err.Error(), "differ") || r.Removed.Files != 1 || r.Kept+int64(len(r.Skipped)) != 1 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		s.expectThere("superseded")
	}
}

// Of old revisions, too, which undo and readers of the past find where ZODB looks for them.
func TestDuplicatesOfOldRevisionsOfAHistoryGo(t *testing.T) {
	t.Parallel()
	s, a, _ := newPackedShelf(t)
	s.write(zodbtest.Lawn, 2, a.Second, 20*day, "duplicate")
	s.write(zodbtest.Lawn, 2, a.First+3, 20*day, "without a row")
	r := s.expectRemoved(s.removing(), "unnamed", "duplicate")
	if r.Removed.Files != 2 || kind(r, "last_copy") != 1 {
		t.Errorf("%+v", r)
	}
	if r, err := s.look(orphans.Options{Now: s.later()}); err != nil || kind(r, "stored") != 3 {
		t.Errorf("%+v, %v", r, err)
	}
}
