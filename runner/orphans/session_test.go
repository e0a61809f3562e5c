package orphans_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/orphans"
	"relpack/runner/progress"
)

// after tells when a file is done, as long as its removal would take, and when a phase
// begins.
type after struct {
	progress.Silent
	file  func()
	phase func(string)
}

func (a after) Add(int64)                            { a.file() }
func (a after) Phase(name string, _ string, _ int64) { a.phase(name) }

// many has blob 2 have so many superseded revisions.
func (s *shelf) many(n int64) {
	s.t.Helper()
	for i := range n {
		_ = os.Remove(zodbtest.BlobPath(s.BlobDir, s.layout, 2, s.then-i))
		if err := zodbtest.WriteBlob(s.BlobDir, s.layout, 2, s.then-i, []byte("x")); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *shelf) left() int {
	s.t.Helper()
	names, err := filepath.Glob(filepath.Join(zodbtest.ObjectDir(s.BlobDir, s.layout, 2), "*.blob"))
	if err != nil {
		s.t.Fatal(err)
	}
	return len(names) - 1 // the stored one
}

func (s *shelf) watch(o orphans.Options, file func()) (*orphans.Report, error) {
	s.t.Helper()
	o.Migrations, o.Progress = migrations.Files, after{file: file, phase: func(string) {}}
	return orphans.Storage(s.t.Context(), s.Target, o, slog.New(slog.DiscardHandler))
}

// A slow disk: the server lets go of the writers' lock after two seconds. What was on its
// way then stays.
func TestAFileThatTakesLongDoesNotEndTheRemoval(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Lawn)
	s.many(20)
	listed := 0
	r, err := s.watch(s.removing(), func() {
		if s.left() < 20 {
			if listed++; listed == 3 || listed == 9 {
				time.Sleep(2500 * time.Millisecond)
			}
		}
	})
	if err != nil || s.left() != 2 || r.Removed.Files != 18 || r.Kept != 2 || listed != 20 {
		t.Errorf("%+v, %v: %d left, %d", r, err, s.left(), listed)
	}
}

func TestARowThatIsPutBackWhileAFileTakesLongHasItsFile(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Lawn)
	r, err := s.watch(s.removing(), func() {
		if s.left() == 0 {
			time.Sleep(2500 * time.Millisecond)
			packtest.Run(t, s.conn, "UPDATE object_state SET tid = $1 WHERE zoid = 2", s.then)
		}
	})
	if err != nil || r.Removed.Files != 0 || r.Kept != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	s.expectThere()
}

func TestNothingMoreIsRemovedOnceTheSessionHasEnded(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Lawn)
	s.many(20)
	const session = "datname = current_database() AND application_name = 'relpack blobs'"
	at := -1
	_, err := s.watch(s.removing(), func() {
		if at < 0 && s.left() < 20 {
			// At once, or the group would be over anyway: the server's own wait takes longer.
			packtest.Run(t, s.conn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "+session)
			for there := true; there; {
				if err := s.conn.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE "+session+")").Scan(&there); err != nil {
					t.Fatal(err)
				}
			}
			at = s.left()
		}
	})
	if fault.ExitCode(err) != fault.ExitFailure || !strings.Contains(fault.Message(err), "the connection to the server was lost") || s.left() != at+1 { // one was on its way
		t.Errorf("%d of %d are left: %v", s.left(), at, err)
	}
	if _, err := s.look(s.removing()); err != nil || s.left() != 0 {
		t.Errorf("the next run: %d left, %v", s.left(), err)
	}
}

func TestManyRevisionsOfABlobTakeTheirTimeEach(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Lawn)
	took := func(n int64) time.Duration {
		s.many(n)
		_ = os.Remove(s.markPath())
		r, err := s.look(s.removing())
		if err != nil || r.Removed.Files < n {
			t.Fatal(r.Removed, err)
		}
		for _, phase := range r.Phases {
			if phase.Name == "remove" {
				return time.Duration(phase.Seconds * float64(time.Second))
			}
		}
		return 0
	}
	var told []string
	for range 4 { // others may take the machine's time from either
		a, b := took(500), took(4000)
		if b <= 16*a {
			return
		}
		told = append(told, fmt.Sprintf("500: %v, 4,000: %v", a, b))
	}
	t.Error(strings.Join(told, "; "))
}

// Each file is looked at once more, while no writer is in flight.
func TestWhatChangesAfterTheListWasMadeIsSeen(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(s *shelf) error{
		"the superseding file is cut off": func(s *shelf) error {
			path := zodbtest.BlobPath(s.BlobDir, s.layout, 2, s.last)
			return errors.Join(os.Chmod(path, 0o600), os.Truncate(path, 0))
		},
		"the superseding file is lost": func(s *shelf) error {
			path := zodbtest.BlobPath(s.BlobDir, s.layout, 2, s.last)
			delete(s.files, s.below(2, s.last, s.layout))
			return os.Remove(path)
		},
		"the superseding file is behind a link": func(s *shelf) error {
			path := zodbtest.BlobPath(s.BlobDir, s.layout, 2, s.last)
			return errors.Join(os.Rename(path, path+".tmp"), os.Symlink("/", path), os.Remove(path+".tmp"))
		},
		"the file is written": func(s *shelf) error {
			return os.Chtimes(zodbtest.BlobPath(s.BlobDir, s.layout, 2, s.then), s.later(), s.later())
		},
		"the row goes back": func(s *shelf) error {
			s.commit(s.last+5, map[int64][]byte{40: zodbtest.Record(zodbtest.Document)})
			_, err := s.conn.Exec(t.Context(), "UPDATE object_state SET tid = $1 WHERE zoid = 2", s.then)
			return err
		},
	} {
		s := newShelf(t, zodbtest.Bushy)
		var err error
		o := s.removing()
		o.Migrations, o.Progress = migrations.Files, after{file: func() {}, phase: func(phase string) {
			if phase == "remove blob files" {
				err = change(s)
			}
		}}
		r, failed := orphans.Storage(t.Context(), s.Target, o, slog.New(slog.DiscardHandler))
		if err != nil || failed != nil || r.Kept != 1 || r.Removed.Files != 0 {
			t.Errorf("%s: %+v, %v, %v", name, r, err, failed)
		}
		s.expectThere()
	}
}
