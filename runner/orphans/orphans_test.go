package orphans_test

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/orphans"
	"relpack/runner/pack"
	"relpack/runner/target"
)

func TestMain(m *testing.M) {
	os.Exit(pgtest.Main(m, func(ctx context.Context, conn *pgx.Conn) error {
		if err := zodbtest.CreateStorage(ctx, conn, zodbtest.V42); err != nil {
			return err
		}
		return zodbtest.Install(ctx, conn)
	}))
}

const day = 24 * time.Hour

// A shelf is a storage with blobs 2 and 3, which live, and 4, which is garbage; each
// was written ten days ago, and 2 again five days ago. Object 1 refers to 7 as well,
// whose row has vanished.
type shelf struct {
	target.Target
	t          *testing.T
	conn       *pgx.Conn
	layout     string
	now        time.Time
	then, last int64             // tids: ten and five days ago
	files      map[string]string // what was written: path and what it is
}

func newShelf(t *testing.T, layout string) *shelf {
	t.Helper()
	db := pgtest.NewDatabase(t)
	s := &shelf{t: t, conn: db.Connect(t), layout: layout, now: time.Now(), files: map[string]string{},
		Target: target.Target{DSN: db.DSN, CommitLockTimeout: 5 * time.Second, BatchTimeout: target.DefaultBatchTimeout, BlobDir: t.TempDir()}}
	if err := zodbtest.NewBlobDir(s.BlobDir, layout); err != nil {
		t.Fatal(err)
	}
	s.then, s.last = zodbtest.TimeTid(s.now.Add(-10*day)), zodbtest.TimeTid(s.now.Add(-5*day))
	blob := zodbtest.Record(zodbtest.Blob)
	s.commit(s.then, map[int64][]byte{
		0: zodbtest.Record(zodbtest.Document, 1), 1: zodbtest.Record(zodbtest.Document, 2, 3, 7),
		2: blob, 3: blob, 4: blob, 7: blob,
	})
	s.commit(s.last, map[int64][]byte{2: blob})
	for zoid, tid := range map[int64]int64{2: s.last, 3: s.then, 4: s.then} {
		s.write(layout, zoid, tid, 20*day, "stored")
	}
	s.write(layout, 2, s.then, 20*day, "superseded")
	s.pack()
	s.run("DELETE FROM object_state WHERE zoid = 7")
	s.write(layout, 7, s.then, 20*day, "missing")
	s.pack()
	return s
}

func (s *shelf) run(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.conn.Exec(s.t.Context(), sql, args...); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

func (s *shelf) commit(tid int64, records map[int64][]byte) {
	s.t.Helper()
	if err := zodbtest.Commit(s.t.Context(), s.conn, tid, records); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shelf) pack() {
	s.t.Helper()
	if _, err := pack.Run(s.t.Context(), s.Target, pack.Options{DryRun: true, Days: 1, Migrations: migrations.Files}, slog.New(slog.DiscardHandler)); err != nil {
		s.t.Fatal(err)
	}
}

// write makes a file of a revision, last written so long ago.
func (s *shelf) write(layout string, zoid, tid int64, ago time.Duration, kind string) {
	s.t.Helper()
	if err := zodbtest.WriteBlob(s.BlobDir, layout, zoid, tid, []byte("content")); err != nil {
		s.t.Fatal(err)
	}
	s.age(zodbtest.BlobPath(s.BlobDir, layout, zoid, tid), ago, kind)
}

// put makes a file of any name.
func (s *shelf) put(path string, ago time.Duration, kind string) {
	s.t.Helper()
	path = filepath.Join(s.BlobDir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.age(path, ago, kind)
}

func (s *shelf) age(path string, ago time.Duration, kind string) {
	s.t.Helper()
	if err := os.Chtimes(path, s.now.Add(-ago), s.now.Add(-ago)); err != nil {
		s.t.Fatal(err)
	}
	below, err := filepath.Rel(s.BlobDir, path)
	if err != nil {
		s.t.Fatal(err)
	}
	s.files[below] = kind
}

// everything adds files of all kinds.
func (s *shelf) everything() {
	s.t.Helper()
	other := map[string]string{zodbtest.Bushy: zodbtest.Lawn, zodbtest.Lawn: zodbtest.Bushy}[s.layout]
	s.write(s.layout, 9, s.then, 20*day, "gone")
	s.write(other, 9, s.then+5, 20*day, "gone")
	s.write(s.layout, 10, s.then, time.Hour, "young") // restored from a backup, or a vote
	s.write(s.layout, 11, zodbtest.TimeTid(s.now.Add(-5*day-time.Minute)), time.Hour, "young")
	s.write(s.layout, 3, s.then+7, 20*day, "newer")
	s.write(s.layout, 3, s.last+7, 20*day, "above")
	s.write(other, 3, s.then, 20*day, "other_layout")
	s.put("tmp/BlobStorage.1", 2*day, "temporary")
	s.put("tmp/BlobStorage.2", time.Hour, "fresh")
	path, _ := filepath.Rel(s.BlobDir, filepath.Dir(zodbtest.BlobPath(s.BlobDir, s.layout, 2, s.last)))
	s.put(filepath.Join(path, "0x0badcafe.blob.tmp"), 2*day, "temporary")
	s.put(filepath.Join(path, "notes.txt"), 20*day, "other")
	s.put("readme", 20*day, "other")
	if err := os.Symlink("/", filepath.Join(s.BlobDir, "0x77")); err != nil {
		s.t.Fatal(err)
	}
	s.files["0x77"] = "other"
}

func (s *shelf) look(o orphans.Options) (*orphans.Report, error) {
	s.t.Helper()
	o.Max, o.Migrations = 100, migrations.Files
	return orphans.Storage(s.t.Context(), s.Target, o, slog.New(slog.DiscardHandler))
}

// there are the files in the directory, but the marker.
func (s *shelf) there() []string {
	s.t.Helper()
	var found []string
	if err := filepath.WalkDir(s.BlobDir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != ".layout" && d.Name() != ".lock" {
			below, _ := filepath.Rel(s.BlobDir, path)
			found = append(found, below)
		}
		return err
	}); err != nil {
		s.t.Fatal(err)
	}
	return found
}

// expectThere wants all files that were written but those of some kinds.
func (s *shelf) expectThere(without ...string) {
	s.t.Helper()
	var want []string
	for path, kind := range s.files {
		if !slices.Contains(without, kind) {
			want = append(want, path)
		}
	}
	slices.Sort(want)
	if got := slices.Sorted(slices.Values(s.there())); !slices.Equal(got, want) {
		s.t.Errorf("there are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (s *shelf) expectRefused(err error, code int, words ...string) {
	s.t.Helper()
	if fault.ExitCode(err) != code {
		s.t.Fatalf("exit code %d, want %d: %v", fault.ExitCode(err), code, err)
	}
	for _, word := range words {
		if !strings.Contains(fault.Message(err), word) {
			s.t.Errorf("%q is not in %q", word, fault.Message(err))
		}
	}
	s.expectThere()
}

func TestEveryFileIsListedByWhatItIs(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{zodbtest.Bushy, zodbtest.Lawn} {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			s := newShelf(t, layout)
			s.everything()
			r, err := s.look(orphans.Options{Days: 4})
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, k := range r.Files {
				for _, path := range k.First {
					got[path] = k.Kind
				}
			}
			want := maps.Clone(s.files)
			for path, kind := range want {
				if kind == "stored" {
					delete(want, path)
				}
			}
			if !maps.Equal(got, want) {
				t.Errorf("got %v\nwant %v", got, want)
			}
			if r.Missing != 0 || r.Orphans.Files != 5 || r.Removed.Files != 0 || r.Outcome != "listed" {
				t.Errorf("%+v", r)
			}
			var text strings.Builder
			if err := r.Write(&text); err != nil || !strings.Contains(text.String(), "nobody needs    5 files, 35 B") {
				t.Errorf("%v\n%s", err, &text)
			}
			s.expectThere()
			if err := os.Remove(zodbtest.BlobPath(s.BlobDir, layout, 2, s.last)); err != nil {
				t.Fatal(err)
			}
			if r, err := s.look(orphans.Options{}); err != nil || r.Missing != 1 || !slices.Equal(r.FirstMissing, []int64{2}) {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

func TestOnlyWhatNobodyNeedsIsRemoved(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{zodbtest.Bushy, zodbtest.Lawn} {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			s := newShelf(t, layout)
			s.everything()
			// Within a longer grace there is less.
			r, err := s.look(orphans.Options{Remove: true, Days: 30})
			if err != nil {
				t.Fatal(err)
			}
			s.expectThere("temporary")
			if r.Removed.Files != 2 || r.Outcome != "removed" {
				t.Errorf("%+v", r)
			}
			if r, err = s.look(orphans.Options{Remove: true, Days: 4}); err != nil {
				t.Fatal(err)
			}
			s.expectThere("temporary", "superseded", "gone")
			if r.Removed != (orphans.Files{Files: 3, Bytes: 21}) || len(r.Skipped) > 0 {
				t.Errorf("%+v", r)
			}
			if r, err = s.look(orphans.Options{}); err != nil || r.Orphans.Files != 2 {
				t.Errorf("without a grace: %+v, %v", r.Orphans, err)
			}
		})
	}
}

func TestNothingIsRemovedFromADirectoryThatMayBeAnothers(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.everything()
	right := s.BlobDir
	for words, wrong := range map[string]func(){
		"holds the files of 0 of 2 live blobs": func() { s.BlobDir = t.TempDir() },
		"holds the files of 1 of 2 live blobs": func() {
			path := zodbtest.BlobPath(right, zodbtest.Bushy, 3, s.then)
			lawn := zodbtest.BlobPath(right, zodbtest.Lawn, 3, s.then)
			delete(s.files, strings.TrimPrefix(path, right+"/"))
			delete(s.files, strings.TrimPrefix(lawn, right+"/"))
			for _, path := range []string{path, lawn} {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
		},
	} {
		wrong()
		_, err := s.look(orphans.Options{Remove: true})
		s.BlobDir = right
		s.expectRefused(err, fault.ExitRefused, words, "Nothing was removed")
	}
	s.BlobDir = ""
	_, err := s.look(orphans.Options{Remove: true})
	s.BlobDir = right
	s.expectRefused(err, fault.ExitRefused, "the blob directory is not known")
	other := s.Target
	other.Name = "other"
	s.File = &target.File{Targets: []target.Target{s.Target, other}}
	_, err = s.look(orphans.Options{Remove: true})
	s.expectRefused(err, fault.ExitRefused, "other uses the blob directory", "of its own")
}

func TestWhatAnOpenTransactionMayReadIsNotRemoved(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.everything()
	s.CommitLockTimeout = time.Second
	config, err := pgx.ParseConfig(s.DSN)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Exec(t.Context(), "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM object_state"); err != nil {
		t.Fatal(err)
	}
	_, err = s.look(orphans.Options{Remove: true})
	s.expectRefused(err, fault.ExitFailure, "an open transaction may still read these files: pid ")
	if err := reader.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.look(orphans.Options{Remove: true}); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsStoredAgainBeforeItsFileGoesKeepsIt(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	orphaned := func(until int64) []int64 {
		t.Helper()
		s.run("SELECT relpack.try_pack_lock()")
		rows, err := s.conn.Query(t.Context(), "SELECT zoid FROM relpack.blobs_orphaned('{2,9}', ARRAY[$1::bigint, $1], $2)", s.then, until)
		if err != nil {
			t.Fatal(err)
		}
		zoids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			t.Fatal(err)
		}
		s.run("SELECT relpack.release_pack_lock()")
		return zoids
	}
	for until, want := range map[int64][]int64{s.last: {2, 9}, s.last - 1: {9}, s.then - 1: {}} {
		if got := orphaned(until); !slices.Equal(got, want) {
			t.Fatalf("orphaned: %v, want %v", got, want)
		}
	}
	s.run("UPDATE object_state SET tid = $1 WHERE zoid = 2", s.then)
	s.run("INSERT INTO object_state (zoid, tid, state_size, state) SELECT 9, tid, state_size, state FROM object_state WHERE zoid = 3")
	s.pack()
	if got := orphaned(s.last); len(got) > 0 {
		t.Errorf("orphaned, though they are stored: %v", got)
	}
}

// RelStorage never removes what it overwrites: a third of the sample's files.
func TestTheSampleHasSupersededFiles(t *testing.T) {
	t.Parallel()
	db := pgtest.NewDatabase(t)
	conn := db.Connect(t)
	site := target.Target{DSN: db.DSN, CommitLockTimeout: 5 * time.Second, BatchTimeout: target.DefaultBatchTimeout, BlobDir: t.TempDir()}
	if err := zodbtest.LoadSmall(t.Context(), conn, site.BlobDir); err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	if _, err := pack.Run(t.Context(), site, pack.Options{DryRun: true, Days: -1, Migrations: migrations.Files}, quiet); err != nil {
		t.Fatal(err)
	}
	r, err := orphans.Storage(t.Context(), site, orphans.Options{Remove: true, Migrations: migrations.Files}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if stored, superseded := r.Files[0].Files.Files, r.Files[1].Files.Files; stored != 40 || superseded != 20 || r.Removed.Files != 20 || r.Missing != 0 {
		t.Errorf("stored %d, superseded %d, removed %d, missing %d", stored, superseded, r.Removed.Files, r.Missing)
	}
}

func TestLargeObjectsThatNoBlobNamesAreListed(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.run(`SELECT lo_from_bytea(4711, 'content'), lo_from_bytea(4712, 'content');
		INSERT INTO blob_chunk (zoid, chunk_num, tid, chunk) SELECT zoid, 0, tid, 4711 FROM object_state WHERE zoid = 3`)
	r, err := s.look(orphans.Options{})
	if err != nil || r.LargeObjects.Unnamed != 1 || r.LargeObjects.Bytes == nil || *r.LargeObjects.Bytes != 7 || !slices.Equal(r.LargeObjects.First, []uint32{4712}) {
		t.Errorf("%+v, %v", r.LargeObjects, err)
	}
	s.BlobDir = ""
	if r, err := s.look(orphans.Options{}); err != nil || r.LargeObjects.Unnamed != 1 || r.Missing != -1 {
		t.Errorf("%+v, %v", r, err)
	}
}
