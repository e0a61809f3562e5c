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
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/orphans"
	"relpack/runner/target"
)

// atPhase looks, and does something when a phase begins.
func (s *shelf) atPhase(o orphans.Options, phase string, do func()) (*orphans.Report, error) {
	s.t.Helper()
	o.Max, o.Migrations = 100, migrations.Files
	o.Progress = after{file: func() {}, phase: func(begun string) {
		if begun == phase {
			do()
		}
	}}
	return orphans.Storage(s.t.Context(), s.Target, o, slog.New(slog.DiscardHandler))
}

func TestFilesThatAreNobodysRefuseAndAreNamed(t *testing.T) {
	t.Parallel()
	for name, come := range map[string]func(s *shelf) (zoid, tid int64){
		"later than its row":           func(s *shelf) (int64, int64) { return 3, s.then + 7 },
		"of an object that is no blob": func(s *shelf) (int64, int64) { return 1, s.then - 5 },
		"of an oid that was not given out": func(s *shelf) (int64, int64) {
			packtest.Run(s.t, s.conn, "SELECT setval('zoid_seq', 2)")
			return 33, s.then
		},
	} {
		s := newShelf(t, zodbtest.Bushy)
		s.clutter()
		zoid, tid := come(s)
		s.aside(zoid, tid)
		path := s.below(zoid, tid, s.layout)
		_, err := s.look(s.removing())
		if err == nil {
			t.Fatalf("%s: not refused", name)
		}
		s.expectRefused(err, fault.ExitRefused, "1 file can't be this database's", path, "move out of the directory")
		delete(s.files, path)
		if err := os.Remove(filepath.Join(s.BlobDir, path)); err != nil {
			t.Fatal(err)
		}
		s.expectRemoved(s.removing(), "superseded", "temporary")
	}
}

func TestFilesLaterThanAllThatIsStoredStayAndAreCounted(t *testing.T) {
	t.Parallel()
	for name, come := range map[string]func(s *shelf) (zoid, tid int64){
		"of no row":                    func(s *shelf) (int64, int64) { return 30, s.last + 7 },
		"of a row":                     func(s *shelf) (int64, int64) { return 3, s.last + 7 },
		"of a clock that was ahead":    func(s *shelf) (int64, int64) { return 31, zodbtest.TimeTid(s.now.Add(time.Hour)) },
		"of a minute ago":              func(s *shelf) (int64, int64) { return 32, zodbtest.TimeTid(time.Now().Add(-time.Minute)) },
		"of an object that is no blob": func(s *shelf) (int64, int64) { return 1, s.last + 7 },
		"beside a tid of a future": func(s *shelf) (int64, int64) {
			packtest.Run(s.t, s.conn, "UPDATE object_state SET tid = $1 WHERE zoid = 0", zodbtest.TimeTid(s.now.Add(400*day)))
			return 30, s.last + 7
		},
	} {
		s := newShelf(t, zodbtest.Bushy)
		s.clutter()
		zoid, tid := come(s)
		s.write(s.layout, zoid, tid, 20*day, "above")
		r, err := s.look(orphans.Options{Days: 1, Now: s.later()})
		if err != nil || r.Doubt != "" || kind(r, "above") != 1 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		var text strings.Builder
		if err := r.Write(&text); err != nil || !strings.Contains(text.String(), "nobody needs") {
			t.Errorf("%s: %v\n%s", name, err, &text)
		}
		packtest.ExpectWords(t, text.String(), "later than all that is stored (was an older backup restored?); they stay: 1 file, 7 B", s.below(zoid, tid, s.layout))
		if r = s.expectRemoved(s.removing(), "superseded", "temporary"); kind(r, "above") != 1 || r.Doubt != "" {
			t.Errorf("%s: %+v", name, r)
		}
		if r, err = s.look(s.removing()); err != nil || r.Removed.Files != 0 || kind(r, "above") != 1 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// Those beside are no excuse.
func TestFilesLaterThanAllThatIsStoredDoNotHideThoseOfSomebodyElse(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.clutter()
	s.write(s.layout, 30, s.last+7, 20*day, "above")
	s.write(s.layout, 3, s.then+7, 20*day, "newer")
	_, err := s.look(s.removing())
	s.expectRefused(err, fault.ExitRefused, "1 file can't be this database's", s.below(3, s.then+7, s.layout))
}

// As after the restore of an older backup, of a site that was written to for long. What is
// judged again is bounded; what the site writes meanwhile must not be missed for that.
func TestManyFilesLaterThanAllThatIsStoredStay(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.clutter()
	for i := range int64(1001) {
		s.write(s.layout, 100+i, s.last+7*(1001-i), 20*day, "above")
	}
	lookBeside := func(tid int64) (r *orphans.Report, err error) {
		t.Helper()
		end := s.reading()
		done := make(chan struct{})
		go func() {
			defer close(done)
			r, err = s.look(s.removing())
		}()
		s.untilItWaits()
		s.commit(tid, map[int64][]byte{40: zodbtest.Record(zodbtest.Document)})
		end()
		<-done
		return r, err
	}
	for name, tid := range map[string]int64{"later than the first": s.last + 8, "later than all": s.last + 10_000} {
		_, err := lookBeside(tid)
		if err == nil {
			t.Fatalf("%s: not refused", name)
		}
		s.expectRefused(err, fault.ExitRefused, "1,001 files were later than all that was stored", "too many", "again")
		packtest.Run(s.t, s.conn, "DELETE FROM object_state WHERE zoid = 40")
	}
	r, err := lookBeside(s.last + 6)
	if err != nil || r.Removed.Files != 2 || kind(r, "above") != 1001 {
		t.Errorf("%+v, %v", r, err)
	}
	s.expectThere("superseded", "temporary")
}

// untilItWaits polls until a removal waits for open transactions.
func (s *shelf) untilItWaits() {
	s.t.Helper()
	packtest.Until(s.t, "it waits", func() bool {
		return packtest.Get[bool](s.t, s.conn, `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'relpack blobs' AND query LIKE '%grace_oldest_transaction() >%')`)
	})
}

// Its file has its name while the transaction is open.
func TestAVoteInFlightTellsOfNobodyElse(t *testing.T) {
	t.Parallel()
	for _, commits := range []bool{true, false} {
		s := newShelf(t, zodbtest.Bushy)
		s.clutter()
		tid := zodbtest.TimeTid(time.Now())
		s.write(s.layout, 3, tid, 0, "vote")
		voter := (&pgtest.Database{DSN: s.DSN}).Connect(t)
		packtest.Run(t, voter, "BEGIN")
		packtest.Run(t, voter, "SELECT txid_current()")
		type outcome struct {
			r   *orphans.Report
			err error
		}
		done := make(chan outcome, 1)
		go func() {
			r, err := s.look(s.removing())
			done <- outcome{r, err}
		}()
		s.untilItWaits()
		s.expectThere()
		if commits {
			packtest.Run(t, voter, "UPDATE object_state SET tid = $1 WHERE zoid = 3", tid)
		} else { // was killed, and somebody else commits
			s.commit(tid+5, map[int64][]byte{40: zodbtest.Record(zodbtest.Document)})
		}
		packtest.Run(t, voter, "COMMIT")
		o := <-done
		switch {
		case commits && (o.err != nil || o.r.Removed.Files != 2):
			t.Errorf("a commit: %+v, %v", o.r, o.err)
		case !commits && (fault.ExitCode(o.err) != fault.ExitRefused || o.r.Removed.Files != 0 || o.r.Doubt == ""):
			t.Errorf("a client that was killed: %+v, %v", o.r, o.err)
		}
	}
}

// The storage goes on, so that they are no longer the latest.
func TestFilesOfSomebodyElseAreNotForgottenWithTheNextCommit(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.clutter()
	s.aside(30, zodbtest.TimeTid(s.now.Add(-2*time.Minute)))
	reader := (&pgtest.Database{DSN: s.DSN}).Connect(t)
	packtest.Run(t, reader, "BEGIN ISOLATION LEVEL REPEATABLE READ")
	packtest.Run(t, reader, "SELECT count(*) FROM object_state")
	done := make(chan error, 1)
	go func() {
		_, err := s.look(s.removing())
		done <- err
	}()
	s.untilItWaits()
	s.commit(zodbtest.TimeTid(time.Now()), map[int64][]byte{40: zodbtest.Record(zodbtest.Document)})
	packtest.Run(t, reader, "COMMIT")
	if err := <-done; fault.ExitCode(err) != fault.ExitRefused {
		t.Error(err)
	}
	s.expectThere()
}

func TestNothingIsRemovedWhereAnotherDirectoryLiesWithin(t *testing.T) {
	t.Parallel()
	for _, nested := range []string{"tmp/.layout", "0x00/.layout", "0x00/0x00/0x00/0x00/0x00/0x00/0x00/.layout"} {
		s := newShelf(t, zodbtest.Bushy)
		s.clutter()
		s.put(nested, 20*day, "nested")
		_, err := s.look(s.removing())
		if fault.ExitCode(err) != fault.ExitRefused || !strings.Contains(fault.Message(err), "another blob directory lies within it") {
			t.Errorf("%s: %v", nested, err)
		}
		if r, err := s.look(orphans.Options{}); err != nil || kind(r, "nested") != 1 || r.Doubt == "" {
			t.Errorf("%s: %+v, %v", nested, r, err)
		}
	}
}

// A storage's temporary directory is no place for another one.
func TestSectionsWhoseDirectoriesLieWithinEachOtherAreRefused(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.clutter()
	for _, other := range []string{filepath.Join(s.BlobDir, "tmp"), filepath.Dir(s.BlobDir), filepath.Join(s.BlobDir, "not", "there")} {
		path := filepath.Join(t.TempDir(), "site.conf")
		text := fmt.Sprintf("<relstorage main>\nkeep-history false\nshared-blob-dir true\nblob-dir %s\n<postgresql>\ndsn %s\n</postgresql>\n</relstorage>\n"+
			"<filestorage>\npath Data.fs\nblob-dir %s\n</filestorage>\n", s.BlobDir, s.DSN, other)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		targets, err := target.Targets(path, "", "")
		if err != nil {
			t.Fatal(err)
		}
		o := s.removing()
		o.Migrations = migrations.Files
		_, err = orphans.Storage(t.Context(), targets[0], o, slog.New(slog.DiscardHandler))
		s.expectRefused(err, fault.ExitRefused, "named by "+path+":", "lies within the other")
	}
}

func TestARemovalStopsWhereTheDirectoryOrTheRowsAreOthersMeanwhile(t *testing.T) {
	t.Parallel()
	for words, change := range map[string]func(s *shelf){
		"is not in the blob directory any more": func(s *shelf) { s.unmark() },
		"another database has cleared the blob directory": func(s *shelf) {
			if err := os.WriteFile(s.markPath(), []byte(`{"origin": "other", "cleared": 0}`), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"object_state was emptied": func(s *shelf) {
			packtest.Run(s.t, s.conn, "CREATE TABLE dump AS SELECT * FROM object_state; TRUNCATE object_state CASCADE; INSERT INTO object_state SELECT * FROM dump")
		},
	} {
		s := newShelf(t, zodbtest.Bushy)
		s.clutter()
		r, err := s.atPhase(s.removing(), "remove blob files", func() { change(s) })
		if fault.ExitCode(err) != fault.ExitRefused || !strings.Contains(fault.Message(err), words) || r.Removed.Files > 1 {
			t.Errorf("%s: %+v, %v", words, r, err)
		}
		s.expectThere("temporary")
	}
}

// zodbconvert --clear into the wrong storage; its dump is restored the next day.
func TestFilesFromBeforeObjectStateWasReplacedStayForAMonth(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string]string{
		"TRUNCATE": "TRUNCATE object_state CASCADE",
		"DELETE":   "DELETE FROM object_state",
		"--clean": `ALTER TABLE object_state RENAME TO away; CREATE TABLE object_state (LIKE away INCLUDING ALL); DROP TABLE away CASCADE;
			ALTER TABLE blob_chunk ADD FOREIGN KEY (zoid) REFERENCES object_state ON DELETE CASCADE`,
	} {
		s := newShelf(t, zodbtest.Bushy)
		s.clutter()
		packtest.Run(s.t, s.conn, "CREATE TABLE dump AS SELECT * FROM object_state")
		packtest.Run(s.t, s.conn, replace)
		packtest.Run(s.t, s.conn, "INSERT INTO object_state SELECT * FROM dump")
		if name == "--clean" {
			packtest.MigrateUp(s.t, s.Target)
		}
		s.pack()
		if r := s.expectRemoved(s.removing(), "temporary"); kind(r, "replaced") != 3 {
			t.Errorf("%s: %+v", name, r)
		}
		packtest.Run(s.t, s.conn, "UPDATE relpack.storage SET replaced = replaced - interval '31 days'")
		s.expectRemoved(s.removing(), "superseded", "temporary")
	}
}

// A deletion of some rows is no such thing.
func TestRowsThatSomebodyDeletedDoNotKeepFiles(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.clutter()
	var replaced bool
	if err := s.conn.QueryRow(t.Context(), "SELECT replaced > '-infinity' FROM relpack.storage").Scan(&replaced); err != nil || replaced {
		t.Error(replaced, err)
	}
	s.expectRemoved(s.removing(), "superseded", "temporary")
}

// Whatever --days says.
func TestNothingThatWasSupersededWithinAnHourGoes(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	tid := zodbtest.TimeTid(time.Now().Add(-time.Minute))
	s.commit(tid, map[int64][]byte{3: zodbtest.Record(zodbtest.Blob)})
	s.write(s.layout, 3, tid, 20*day, "stored")
	o := s.removing()
	o.Days = 0
	if r := s.expectRemoved(o, "superseded"); kind(r, "young") != 1 {
		t.Errorf("%+v", r)
	}
	packtest.Run(s.t, s.conn, "SELECT relpack.try_pack_lock()")
	var n int
	if err := s.conn.QueryRow(t.Context(), `SELECT count(orphaned) FROM relpack.blobs_listed() AS list CROSS JOIN LATERAL
		relpack.blobs_orphaned('{3}', ARRAY[$1::bigint], ARRAY[$2::bigint], '{superseded}', 9223372036854775807, relpack.blobs_mark(0), listed, version) AS orphaned`,
		s.then, tid).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d, %v", n, err)
	}
}

// The name and the content are the same; somebody has put it there, or reads it.
func TestAFileThatWasReplacedOrReadSinceItWasListedStays(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(path string) error{
		"cp -a": func(path string) error {
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			text, err := os.ReadFile(path)
			return errors.Join(err, os.Remove(path), os.WriteFile(path, text, info.Mode()), os.Chtimes(path, info.ModTime(), info.ModTime()))
		},
		"loadBlob": func(path string) error {
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			return os.Chtimes(path, time.Now(), info.ModTime())
		},
		"a longer one": func(path string) error {
			return errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, []byte("other content"), 0o600))
		},
	} {
		s := newShelf(t, zodbtest.Bushy)
		var err error
		r, failed := s.atPhase(s.removing(), "remove blob files", func() {
			err = change(zodbtest.BlobPath(s.BlobDir, s.layout, 2, s.then))
		})
		if err != nil || failed != nil || r.Kept != 1 || r.Removed.Files != 0 {
			t.Errorf("%s: %+v, %v, %v", name, r, err, failed)
		}
		s.expectThere()
	}
}
