package orphans_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/orphans"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// newWholeShelf is a shelf whose rows are all there.
func newWholeShelf(t *testing.T, layout string) *shelf {
	t.Helper()
	s := newShelf(t, layout)
	s.store(7, s.then)
	s.files[s.below(7, s.then, layout)] = "stored"
	s.pack()
	return s
}

// store puts a row back, of an old transaction.
func (s *shelf) store(zoid, tid int64) {
	s.t.Helper()
	packtest.Run(s.t, s.conn, "INSERT INTO object_state (zoid, tid, state_size, state) SELECT $1, $2, state_size, state FROM object_state WHERE zoid = 3", zoid, tid)
}

// unstore deletes a row, and forgets that its file is to go.
func (s *shelf) unstore(zoid int64) {
	s.t.Helper()
	packtest.Run(s.t, s.conn, "DELETE FROM object_state WHERE zoid = $1", zoid)
	packtest.Run(s.t, s.conn, "DELETE FROM relpack.blob_removal WHERE zoid = $1", zoid)
}

// removingGone are the options with which files of objects that are gone go, too.
func (s *shelf) removingGone() orphans.Options {
	o := s.removing()
	o.Gone = true
	return o
}

func TestFilesOfObjectsThatAreGoneGoWhenSomebodySaysSo(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{zodbtest.Bushy, zodbtest.Lawn} {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			s := newWholeShelf(t, layout)
			s.clutter()
			s.write(s.layout, 10, s.then+5, 20*day, "gone")
			s.write(s.otherLayout(), 9, s.then, 20*day, "gone")
			r := s.expectRemoved(s.removing(), "superseded", "temporary")
			if r.Gone || kind(r, "gone") != 4 {
				t.Errorf("%+v", r)
			}
			r = s.expectRemoved(s.removingGone(), "superseded", "temporary", "gone")
			if r.Removed != (orphans.Files{Files: 4, Bytes: 28}) || !r.Gone || r.Orphans != r.Removed || r.Kept != 0 {
				t.Errorf("%+v", r)
			}
			for _, dir := range []string{zodbtest.ObjectDir(s.BlobDir, s.layout, 9), zodbtest.ObjectDir(s.BlobDir, s.layout, 10), zodbtest.ObjectDir(s.BlobDir, s.otherLayout(), 9)} {
				if _, err := os.Stat(dir); !os.IsNotExist(err) {
					t.Errorf("%s: %v", dir, err)
				}
			}
			var text strings.Builder
			if err := r.Write(&text); err != nil || strings.Contains(text.String(), "they stay") {
				t.Errorf("%v\n%s", err, &text)
			}
			if r = s.expectRemoved(s.removingGone(), "superseded", "temporary", "gone"); r.Orphans.Files != 0 || r.Removed.Files != 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestADirectoryOfAnObjectThatIsGoneStaysWithWhatElseIsInIt(t *testing.T) {
	t.Parallel()
	s := newWholeShelf(t, zodbtest.Bushy)
	s.clutter()
	dir := filepath.Dir(s.below(9, s.then, s.layout))
	s.put(filepath.Join(dir, "notes.txt"), 20*day, "other")
	s.write(s.layout, 9, zodbtest.TimeTid(s.now.Add(-12*time.Hour)), 20*day, "above")
	s.commit(zodbtest.TimeTid(s.now.Add(-11*time.Hour)), map[int64][]byte{50: zodbtest.Record(zodbtest.Document)})
	if r := s.expectRemoved(s.removingGone(), "superseded", "temporary", "gone"); kind(r, "young") != 1 {
		t.Errorf("%+v", r)
	}
}

// They may be copied there before their rows are put back.
func TestFilesOfObjectsThatAreGoneLieThereForADay(t *testing.T) {
	t.Parallel()
	s := newWholeShelf(t, zodbtest.Bushy)
	s.clutter()
	o := s.removingGone()
	o.Days, o.Now = 0, s.now.Add(20*time.Hour)
	if r := s.expectRemoved(o, "superseded"); kind(r, "young") != 2 {
		t.Errorf("%+v", r)
	}
	o.Now = s.now.Add(25 * time.Hour)
	s.expectRemoved(o, "superseded", "temporary", "gone")
}

// What is missing may be the folder in which they were.
func TestFilesOfObjectsThatAreGoneStayWhileRowsAreMissing(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.clutter()
	_, err := s.look(s.removingGone())
	s.expectRefused(err, fault.ExitRefused, "rows have vanished to which others refer", "zoid 7", "relpack check", "--accept-missing")
	s.store(7, s.then)
	s.expectRemoved(s.removingGone(), "superseded", "temporary", "gone")
}

// What hung on an object that was lost before relpack came is gone as well, and nobody
// knows that it did. What garbage refers to may be attached again.
func TestFilesOfObjectsThatAreGoneStayWhileReferencesDangle(t *testing.T) {
	t.Parallel()
	for name, holder := range map[string]int64{"live": 0, "garbage": 51} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newWholeShelf(t, zodbtest.Bushy)
			s.clutter()
			written := map[int64][]byte{51: zodbtest.Record(zodbtest.Document)}
			if holder == 0 {
				refs := packtest.Get[[]int64](t, s.conn, "SELECT array_agg(zoid) FROM relpack.object_inref WHERE inref = 0")
				written[0] = zodbtest.Record(zodbtest.Document, append(refs, 60)...)
			} else {
				written[holder] = zodbtest.Record(zodbtest.Document, 60)
			}
			s.commit(zodbtest.TimeTid(time.Now().Add(-time.Minute)), written)
			_, err := s.look(s.removingGone())
			s.expectRefused(err, fault.ExitRefused, "others refer to 1 object that is not stored", "zoid 60", "relpack check", "--given-up 1")
			packtest.Run(t, s.conn, "SELECT relpack.try_pack_lock()")
			_, err = s.removableGone("relpack.blobs_listed()", s.then, "gone", s.then)
			packtest.ExpectRefusal(t, err, "others refer to 1 object")
			packtest.Run(t, s.conn, "SELECT relpack.release_pack_lock()")
			o := s.removingGone()
			o.GivenUp = 1
			s.expectRemoved(o, "superseded", "temporary", "gone")
		})
	}
}

// A holder that was captured is read as it is by then, when it may refer to what was stored
// later, or put back: that is looked at, too.
func TestWhatWasStoredSinceTheCaptureIsNotLost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		late bool // the reference is as old as the capture
		refs []int64
		lost string
	}{
		"stored with its holder":              {false, nil, ""},
		"put back":                            {true, nil, ""},
		"put back, and refers to what is not": {true, []int64{9}, "zoid 9"},
	} {
		s := newWholeShelf(t, zodbtest.Bushy)
		s.clutter()
		refs := packtest.Get[[]int64](t, s.conn, "SELECT array_agg(zoid) FROM relpack.object_inref WHERE inref = 0")
		root := map[bool][]int64{false: refs, true: append(refs, 60)}
		s.commit(zodbtest.TimeTid(time.Now().Add(-time.Minute)), map[int64][]byte{0: zodbtest.Record(zodbtest.Document, root[c.late]...)})
		once := false
		r, err := s.atPhase(s.removingGone(), "apply", func() {
			if !once {
				s.commit(zodbtest.TimeTid(time.Now()), map[int64][]byte{
					0: zodbtest.Record(zodbtest.Document, root[true]...), 60: zodbtest.Record(zodbtest.Document, c.refs...)})
			}
			once = true
		})
		if c.lost != "" {
			s.expectRefused(err, fault.ExitRefused, "others refer to 1 object that is not stored", c.lost)
		} else if err != nil || r.Removed.Files != 4 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// removableGone are files of object 9 that the server lets go, of those with these tids.
func (s *shelf) removableGone(listing string, until int64, verdict string, tids ...int64) ([]int64, error) {
	s.t.Helper()
	rows, err := s.conn.Query(s.t.Context(), `SELECT orphaned.tid FROM `+listing+` AS list
		CROSS JOIN LATERAL relpack.blobs_orphaned(array_fill(9::bigint, ARRAY[cardinality($1::bigint[])]), $1, $1,
			array_fill($3::text, ARRAY[cardinality($1::bigint[])]), $2, relpack.blobs_mark(0), list.listed, list.version) AS orphaned
		ORDER BY tid`, tids, until, verdict)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

func TestTheServerLetsFilesOfObjectsThatAreGoneGoByTheirRows(t *testing.T) {
	t.Parallel()
	s := newWholeShelf(t, zodbtest.Bushy)
	minute := zodbtest.TimeTid(time.Now().Add(-time.Minute))
	s.commit(minute, map[int64][]byte{51: zodbtest.Record(zodbtest.Document)})
	s.pack()
	packtest.Run(t, s.conn, "SELECT relpack.try_pack_lock()")
	tids := []int64{s.then, s.last, minute - 1}
	for _, c := range []struct {
		why     string
		until   int64
		verdict string
		do      string
		want    []int64
	}{
		{"as they are", minute, "gone", "SELECT", tids[:2]},
		{"within the grace", s.last - 1, "gone", "SELECT", tids[:1]},
		{"said to be superseded", minute, "superseded", "SELECT", nil},
		{"said to be stored", minute, "stored", "SELECT", nil},
		{"said to be another file of what is stored", minute, "duplicate", "SELECT", nil},
		{"later than the last capture", minute, "gone", "UPDATE relpack.storage SET watermark = 5, applied_tid = 5", nil},
		{"stored again", minute, "gone", "INSERT INTO object_state (zoid, tid, state_size, state) SELECT 9, tid + 5, state_size, state FROM object_state WHERE zoid = 3", nil},
		{"named by an event", minute, "gone", "INSERT INTO relpack.write_event (kind, zoid, tid) VALUES ('deleted', 9, 1)", nil},
		{"a node", minute, "gone", "INSERT INTO relpack.object (zoid, tid, class, size) SELECT 9, tid, class, size FROM relpack.object WHERE zoid = 3", nil},
		{"referred to by what lives", minute, "gone", "INSERT INTO relpack.object_inref (zoid, inref) VALUES (9, 1)", nil},
		{"referred to by garbage", minute, "gone", "INSERT INTO relpack.object_inref (zoid, inref) VALUES (9, 4)", nil},
		{"another revision is listed", minute, "gone", "INSERT INTO relpack.blob_removal (zoid, tid) VALUES (9, 5)", nil},
		{"another revision was listed, and is not there", minute, "gone", "INSERT INTO relpack.blob_removal (zoid, tid, missed) VALUES (9, 5, now())", tids[:2]},
		{"it is listed itself, though it was not there", minute, "gone", "INSERT INTO relpack.blob_removal (zoid, tid, missed) VALUES (9, " + fmt.Sprint(s.then) + ", now())", tids[1:2]},
		{"other databases may refer to it", minute, "gone", "INSERT INTO relpack.referred_by (refs, unreadable, looked, origin, holder) VALUES (1, 0, now(), 'x', 'other')", nil},
		{"before rows were replaced", minute, "gone", "UPDATE relpack.storage SET replaced = now()", nil},
		{"given out last", minute, "gone", "SELECT setval('zoid_seq', 1)", tids[:2]},
		{"never given out", minute, "gone", "SELECT setval('zoid_seq', 1, false); ALTER SEQUENCE zoid_seq MINVALUE 0; SELECT setval('zoid_seq', 0)", nil},
	} {
		packtest.Run(t, s.conn, "BEGIN")
		packtest.Run(t, s.conn, "CREATE TEMP TABLE list ON COMMIT DROP AS SELECT * FROM relpack.blobs_listed()")
		packtest.Run(t, s.conn, "SET LOCAL session_replication_role = replica") // no guard
		packtest.Run(t, s.conn, c.do)
		packtest.Run(t, s.conn, "SET LOCAL session_replication_role = origin")
		packtest.Run(t, s.conn, "UPDATE list SET version = (SELECT xmin::text FROM relpack.storage)")
		got, err := s.removableGone("list", c.until, c.verdict, tids...)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %d, want %d: %v", c.why, got, c.want, err)
		}
		packtest.Run(t, s.conn, "ROLLBACK")
	}
	end := s.reading()
	if got, err := s.removableGone("(SELECT now() AS listed, version FROM relpack.blobs_listed())", minute, "gone", tids...); err != nil || len(got) > 0 {
		t.Errorf("an open transaction may read it: %d, %v", got, err)
	}
	end()
	packtest.Run(t, s.conn, "INSERT INTO relpack.missing (zoid) VALUES (3)")
	_, err := s.removableGone(listing, minute, "gone", tids...)
	packtest.ExpectRefusal(t, err, "rows have vanished to which others refer", "zoid 3")
}

func TestWhatIsPutBackWhileFilesOfGoneObjectsGoKeepsThem(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(s *shelf){
		"put back": func(s *shelf) { s.store(9, s.then) },
		"stored later": func(s *shelf) {
			s.commit(zodbtest.TimeTid(time.Now()), map[int64][]byte{9: zodbtest.Record(zodbtest.Blob)})
		},
		"put back and deleted again": func(s *shelf) { s.store(9, s.then); s.unstore(9) },
		"DELETE and INSERT": func(s *shelf) {
			packtest.Run(s.t, s.conn, "BEGIN")
			s.store(9, s.last)
			s.unstore(9)
			s.store(9, s.then)
			packtest.Run(s.t, s.conn, "COMMIT")
		},
	} {
		s := newWholeShelf(t, zodbtest.Bushy)
		s.clutter()
		s.files[s.below(9, s.then, s.layout)] = "kept"
		r, err := s.atPhase(s.removingGone(), "remove blob files", func() { change(s) })
		if err != nil || r.Kept != 1 || r.Removed.Files != 3 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		s.expectThere("superseded", "temporary", "gone")
	}
	s := newWholeShelf(t, zodbtest.Bushy)
	s.clutter()
	r, err := s.atPhase(s.removingGone(), "remove blob files", func() {
		packtest.Run(s.t, s.conn, "BEGIN")
		s.store(9, s.then)
		packtest.Run(s.t, s.conn, "ROLLBACK")
	})
	if err != nil || r.Kept != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	s.expectThere("superseded", "temporary", "gone")
}

func TestARowThatVanishesWhileFilesOfGoneObjectsGoKeepsItsOwn(t *testing.T) {
	t.Parallel()
	s := newWholeShelf(t, zodbtest.Bushy)
	s.clutter()
	s.files[s.below(7, s.then, s.layout)] = "its row has just gone"
	r, err := s.atPhase(s.removingGone(), "remove blob files", func() { s.unstore(7) })
	if err != nil || r.Kept != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	s.expectThere("superseded", "temporary", "gone")
	s.clutter()
	_, err = s.look(s.removingGone())
	if fault.ExitCode(err) != fault.ExitRefused || !strings.Contains(fault.Message(err), "zoid 7") {
		t.Error(err)
	}
}

// The file is the same by its name, but came since.
func TestAFileOfAGoneObjectThatIsReplacedWhileItGoesStays(t *testing.T) {
	t.Parallel()
	s := newWholeShelf(t, zodbtest.Bushy)
	s.clutter()
	path := zodbtest.BlobPath(s.BlobDir, s.layout, 9, s.then)
	s.files[s.below(9, s.then, s.layout)] = "kept"
	var failed error
	r, err := s.atPhase(s.removingGone(), "remove blob files", func() {
		failed = errors.Join(os.Remove(path), os.WriteFile(path, []byte("content"), 0o400))
	})
	if err = errors.Join(err, failed); err != nil || r.Kept != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	s.expectThere("superseded", "temporary", "gone")
}

func TestFilesOfGoneObjectsAreRemovedFromAHistory(t *testing.T) {
	t.Parallel()
	s, a, _ := newPackedShelf(t)
	s.write(a.Layout, 9, a.First, 20*day, "gone")
	s.write(a.Layout, 9, a.Second, 20*day, "gone")
	s.expectRemoved(s.removing(), "unnamed")
	if r := s.expectRemoved(s.removingGone(), "unnamed", "gone"); r.Removed.Files != 2 {
		t.Errorf("%+v", r)
	}
	// A row that is put back and deleted again.
	s.write(a.Layout, 9, a.First, 20*day, "kept")
	r, err := s.atPhase(s.removingGone(), "remove blob files", func() {
		a.PutBack(t, 9, a.First)
		packtest.Run(t, s.conn, "DELETE FROM current_object WHERE zoid = 9")
		packtest.Run(t, s.conn, "DELETE FROM object_state WHERE zoid = 9")
	})
	if err != nil || r.Kept != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	s.expectThere("unnamed", "gone")
}

// An undo brings back an old revision, and with it what that refers to.
func TestWhatAnOldRevisionOfAHistoryRefersToIsMissing(t *testing.T) {
	t.Parallel()
	for _, dry := range []bool{false, true} {
		s, a, _ := newPackedShelf(t)
		for _, zoid := range []int64{8, 9} {
			s.write(a.Layout, zoid, a.First, 20*day, "missing")
		}
		a.Write(t, packtest.DaysAgo(0.5), map[int64][]byte{1: packtest.Document(2, 4, 8, 9)})
		a.Write(t, packtest.DaysAgo(0.4), map[int64][]byte{1: packtest.Document(2, 4, 8)})
		if dry { // to a horizon by which that revision does not count
			packtest.Pack(t, a.Target, pack.Options{DryRun: true, Days: 0.3, Migrations: migrations.Files})
			_, err := s.conn.Exec(t.Context(), "SELECT relpack.require_none_missing()")
			packtest.ExpectRefusal(t, err, "not all references of old revisions are recorded")
		}
		_, err := s.look(s.removingGone())
		s.expectRefused(err, fault.ExitRefused, "others refer to 2 objects that are not stored", "zoid 8, 9", "--given-up 2")
		o := s.removingGone()
		o.GivenUp = 2
		if r := s.expectRemoved(o, "unnamed"); kind(r, "missing") != 2 {
			t.Errorf("after a dry run %t: %+v", dry, r)
		}
	}
}

// A row that is gone may be put back for what another storage refers to.
func TestFilesOfGoneObjectsStayUntilTheOthersOfTheFileWereRead(t *testing.T) {
	t.Parallel()
	s := newWholeShelf(t, zodbtest.Bushy)
	s.clutter()
	path := filepath.Join(t.TempDir(), "site.conf")
	if err := os.WriteFile(path, fmt.Appendf(nil, "<relstorage main>\nkeep-history false\nshared-blob-dir true\nblob-dir %s\n<postgresql>\ndsn %s\n</postgresql>\n</relstorage>\n"+
		"<relstorage other>\nkeep-history false\n<postgresql>\ndsn dbname=other\n</postgresql>\n</relstorage>\n", s.BlobDir, s.DSN), 0o600); err != nil {
		t.Fatal(err)
	}
	targets, err := target.Targets(path, "", "")
	if err != nil {
		t.Fatal(err)
	}
	s.Target = targets[slices.IndexFunc(targets, func(t target.Target) bool { return t.Name == "main" })]
	for _, looked := range []string{"", "now() - interval '25 hours'"} {
		if looked != "" {
			packtest.Run(t, s.conn, "INSERT INTO relpack.referred_by (refs, unreadable, looked, origin, holder) VALUES (0, 0, "+looked+", 'x', 'other')")
		}
		_, err = s.look(s.removingGone())
		s.expectRefused(err, fault.ExitRefused, "were not read within a day: other", "relpack pack --dry-run")
	}
	packtest.Run(t, s.conn, "UPDATE relpack.referred_by SET looked = now() - interval '1 minute'")
	if r, err := s.look(s.removingGone()); err != nil || kind(r, "young")+kind(r, "gone") != 3 {
		t.Errorf("%+v, %v", r, err)
	}
}
