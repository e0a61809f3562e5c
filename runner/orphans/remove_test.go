package orphans_test

import (
	"errors"
	"fmt"
	"log/slog"
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
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/orphans"
	"relpack/runner/target"
)

// later is when all files have been lying there for longer than any grace.
func (s *shelf) later() time.Time { return s.now.Add(30 * day) }

// removing are the options of a removal then.
func (s *shelf) removing() orphans.Options {
	return orphans.Options{Remove: true, Claim: true, Days: 1, Now: s.later()}
}

// clutter adds what nobody needs, and what is to stay, of a directory that is the
// storage's alone.
func (s *shelf) clutter() {
	s.t.Helper()
	s.write(s.layout, 9, s.then, 20*day, "gone")
	s.write(s.layout, 10, s.then, 20*day, "gone")
	s.put("tmp/BUCx0_z1a2b", 2*day, "temporary")
	s.put("readme", 20*day, "other")
	s.write(s.otherLayout(), 3, s.then, 20*day, "other_layout")
	s.shorten(s.otherLayout(), 3, s.then)
}

// shorten cuts a file off.
func (s *shelf) shorten(layout string, zoid, tid int64) {
	s.t.Helper()
	path := zodbtest.BlobPath(s.BlobDir, layout, zoid, tid)
	if err := errors.Join(os.Chmod(path, 0o600), os.Truncate(path, 3)); err != nil {
		s.t.Fatal(err)
	}
	s.age(path, 20*day, s.files[s.below(zoid, tid, layout)])
}

func (s *shelf) otherLayout() string {
	return map[string]string{zodbtest.Bushy: zodbtest.Lawn, zodbtest.Lawn: zodbtest.Bushy}[s.layout]
}

func (s *shelf) expectRefused(err error, code int, words ...string) {
	s.t.Helper()
	if fault.ExitCode(err) != code {
		s.t.Fatalf("exit code %d, want %d and %q: %v", fault.ExitCode(err), code, words, err)
	}
	for _, word := range words {
		if !strings.Contains(fault.Message(err), word) {
			s.t.Errorf("%q is not in %q", word, fault.Message(err))
		}
	}
	s.expectThere()
}

func TestOnlyWhatNobodyNeedsIsRemoved(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{zodbtest.Bushy, zodbtest.Lawn} {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			s := newShelf(t, layout)
			s.clutter()
			o := s.removing()
			o.Days = 40 // by the files' times all is young
			if r, err := s.look(o); err != nil || r.Removed.Files != 0 || r.Outcome != "removed" {
				t.Fatalf("%+v, %v", r, err)
			}
			s.expectThere()
			r, err := s.look(s.removing())
			if err != nil {
				t.Fatal(err)
			}
			s.expectThere("temporary", "superseded")
			if r.Removed != (orphans.Files{Files: 2, Bytes: 14}) || len(r.Skipped) > 0 || r.Kept != 0 || kind(r, "other") != 1 || kind(r, "gone") != 2 {
				t.Errorf("%+v", r)
			}
			var text strings.Builder
			if err := r.Write(&text); err != nil || !strings.Contains(text.String(), "2 files, 14 B: they stay, unless you say with") {
				t.Errorf("%v\n%s", err, &text)
			}
			if r, err = s.look(s.removing()); err != nil || r.Orphans.Files != 0 || r.Removed.Files != 0 {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

func TestNothingIsRemovedFromADirectoryThatIsNotAllThere(t *testing.T) {
	t.Parallel()
	for words, spoil := range map[string]func(*shelf){
		"shows that the directory is": func(s *shelf) {
			packtest.Run(s.t, s.conn, "UPDATE object_state SET state = $1 WHERE zoid IN (2, 3)", zodbtest.Record(zodbtest.Document))
		},
		"the file of no live blob": func(s *shelf) {
			for path := range s.files {
				if err := os.Remove(filepath.Join(s.BlobDir, path)); err != nil {
					t.Fatal(err)
				}
			}
			s.files = map[string]string{}
		},
		"the files of 1 of 2 revisions of live blobs": func(s *shelf) {
			for _, layout := range []string{s.layout, s.otherLayout()} {
				path := zodbtest.BlobPath(s.BlobDir, layout, 3, s.then)
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				delete(s.files, strings.TrimPrefix(path, s.BlobDir+"/"))
			}
		},
		"(1 empty, 0 behind symbolic links)": func(s *shelf) {
			path := zodbtest.BlobPath(s.BlobDir, s.layout, 2, s.last)
			if err := errors.Join(os.Chmod(path, 0o600), os.Truncate(path, 0)); err != nil {
				t.Fatal(err)
			}
		},
		"is not known":              func(s *shelf) { s.Target.BlobDir = "" },
		"pack-prepack-only is true": func(s *shelf) { s.Target.PrepackOnly = true },
	} {
		s := newShelf(t, zodbtest.Bushy)
		dir := s.BlobDir
		s.clutter()
		spoil(s)
		_, err := s.look(s.removing())
		if s.BlobDir == "" {
			s.BlobDir = dir
		}
		s.expectRefused(err, fault.ExitRefused, words)
	}
}

// Files of another database, or of a storage of another kind, can't be told apart.
func TestNothingIsRemovedWhereAnotherSectionNamesTheDirectory(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.clutter()
	link := filepath.Join(t.TempDir(), "blobs")
	if err := os.Symlink(s.BlobDir, link); err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{
		"<filestorage>\npath Data.fs\nblob-dir %s\n</filestorage>\n",
		"<zodb other>\n<zeoclient>\nserver localhost:8100\nblob-dir %s\n</zeoclient>\n</zodb>\n",
		"<relstorage other>\nblob-dir %s\n<postgresql>\ndsn dbname=other\n</postgresql>\n</relstorage>\n",
	} {
		path := filepath.Join(t.TempDir(), "site.conf")
		text := fmt.Sprintf("<relstorage main>\nkeep-history false\nshared-blob-dir true\nblob-dir %s\n<postgresql>\ndsn %s\n</postgresql>\n</relstorage>\n", s.BlobDir, s.DSN) +
			fmt.Sprintf(other, link)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		targets, err := target.Targets(path, "", "")
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(targets, func(t target.Target) bool { return t.Name == "main" })
		o := s.removing()
		o.Migrations = migrations.Files
		_, err = orphans.Storage(t.Context(), targets[i], o, slog.New(slog.DiscardHandler))
		s.expectRefused(err, fault.ExitRefused, "named by "+path+":", "of its own")
	}
}

func TestWhatAnOpenTransactionMayReadIsNotRemoved(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.clutter()
	s.CommitLockTimeout = time.Second
	reader, err := pgtest.Connect(t.Context(), s.DSN)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Exec(t.Context(), "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM object_state"); err != nil {
		t.Fatal(err)
	}
	_, err = s.look(s.removing())
	s.expectRefused(err, fault.ExitFailure, "an open transaction may still read them: pid ", "End that transaction")
	if err := reader.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.look(s.removing()); err != nil {
		t.Fatal(err)
	}
	s.expectThere("temporary", "superseded")
}

func TestWhatIsStoredAgainBeforeItsFileGoesKeepsIt(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	packtest.Run(s.t, s.conn, "SELECT relpack.try_pack_lock()")
	orphaned := func(until, cleared, since int64) []int64 {
		t.Helper()
		rows, err := s.conn.Query(t.Context(), `SELECT orphaned.zoid FROM relpack.blobs_listed() AS list
			CROSS JOIN LATERAL relpack.blobs_orphaned('{2,9}', ARRAY[$1::bigint, $1], ARRAY[$4::bigint, $1], '{superseded,superseded}', $2,
				relpack.blobs_mark($3), list.listed, list.version) AS orphaned ORDER BY zoid`, s.then, until, cleared, since)
		if err != nil {
			t.Fatal(err)
		}
		zoids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			t.Fatal(err)
		}
		return zoids
	}
	for _, c := range []struct {
		until, cleared, since int64
		want                  []int64
	}{
		{s.last, 0, s.last, []int64{2}}, {s.last - 1, 0, s.last, []int64{}},
		{s.last, s.last, s.last, []int64{}}, {s.last, s.last - 1, s.last, []int64{2}}, {s.last, 0, s.last + 1, []int64{}},
	} {
		if got := orphaned(c.until, c.cleared, c.since); !slices.Equal(got, c.want) {
			t.Fatalf("orphaned: %v, want %+v", got, c)
		}
	}
	for mark, words := range map[string]string{"NULL": "is not in the blob directory any more", "'{}'": "can't be understood",
		`jsonb_set(relpack.blobs_mark(0), '{origin}', '"other"')`: "another database", `'{"origin": "x", "cleared": 1.5}'`: "can't be understood"} {
		_, err := s.conn.Exec(t.Context(), "SELECT relpack.blobs_orphaned('{9}', '{1}', '{1}', '{superseded}', 1, "+mark+", now(), '')")
		packtest.ExpectRefusal(t, err, words)
	}
	packtest.Run(s.t, s.conn, "SELECT relpack.release_pack_lock()")
	packtest.Run(s.t, s.conn, "UPDATE object_state SET tid = $1 WHERE zoid = 2", s.then)
	packtest.Run(s.t, s.conn, "INSERT INTO object_state (zoid, tid, state_size, state) SELECT 9, tid, state_size, state FROM object_state WHERE zoid = 3")
	s.pack()
	packtest.Run(s.t, s.conn, "SELECT relpack.try_pack_lock()")
	if got := orphaned(s.last, 0, s.last); len(got) > 0 {
		t.Errorf("orphaned, though they are stored: %v", got)
	}
}

func TestAFileThatCanNotBeRemovedIsNamed(t *testing.T) {
	t.Parallel()
	if os.Getuid() == 0 {
		t.Skip("root may remove everything")
	}
	s := newShelf(t, zodbtest.Bushy)
	s.clutter()
	dir := filepath.Dir(zodbtest.BlobPath(s.BlobDir, s.layout, 2, s.last))
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	r, err := s.look(s.removing())
	if chmod := os.Chmod(dir, 0o700); chmod != nil {
		t.Fatal(chmod)
	}
	if fault.ExitCode(err) != fault.ExitFailure || len(r.Skipped) != 1 || !strings.Contains(r.Skipped[0], dir) {
		t.Errorf("%+v, %v", r, err)
	}
	s.expectThere("temporary")
}

func TestWithoutRoomForTheListTheMessageNamesTMPDIR(t *testing.T) {
	s := newShelf(t, zodbtest.Bushy)
	t.Setenv("TMPDIR", "/nowhere")
	_, err := s.look(s.removing())
	s.expectRefused(err, fault.ExitFailure, "keep a list of files", "Set TMPDIR")
}
