package orphans_test

import (
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
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/orphans"
	"relpack/runner/pack"
	"relpack/runner/target"
)

func TestMain(m *testing.M) { os.Exit(packtest.Main(m)) }

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
	packtest.Run(s.t, s.conn, "DELETE FROM object_state WHERE zoid = 7")
	s.write(layout, 7, s.then, 20*day, "missing")
	s.pack()
	return s
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
	s.write(s.layout, 10, s.then, time.Hour, "gone")
	s.write(s.layout, 11, zodbtest.TimeTid(s.now.Add(-5*day-time.Minute)), time.Hour, "gone")
	s.write(s.layout, 1, s.then-5, 20*day, "foreign")
	s.write(s.layout, 3, s.then+7, 20*day, "newer")
	s.write(s.layout, 3, s.last+7, 20*day, "above")
	s.write(other, 3, s.then, 20*day, "duplicate")
	s.write(other, 4, s.then, 20*day, "other_layout")
	s.shorten(other, 4, s.then)
	s.put("tmp/BUCx0_z1a2b", 2*day, "temporary")
	s.put("tmp/tmpabcd1234.tmp", 20*day, "temporary")
	s.put("tmp/savepoints", 20*day, "other")
	s.put("tmp/0x05/0x0badcafe.blob", 20*day, "other")
	s.put("tmp/0x05/tmpabcd1234.tmp", 20*day, "other")
	s.put("0x1a2b/page.tmpl", 20*day, "other")
	path, _ := filepath.Rel(s.BlobDir, filepath.Dir(zodbtest.BlobPath(s.BlobDir, s.layout, 2, s.last)))
	s.put(filepath.Join(path, "0x0badcafeabcd1234.tmp"), 2*day, "temporary")
	s.put(filepath.Join(path, "0x0badcafeabcd1234.tmp-"), 2*day, "temporary")
	s.put(filepath.Join(path, "0x0badcafe.blob.tmp"), 2*day, "other")
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

// expectKinds wants each file to be listed by its kind, but for those that are
// others with these options.
func (s *shelf) expectKinds(o orphans.Options, others map[string]string) *orphans.Report {
	s.t.Helper()
	r, err := s.look(o)
	if err != nil {
		s.t.Fatal(err)
	}
	got, want := map[string]string{}, map[string]string{}
	for _, k := range r.Files {
		for _, path := range k.First {
			got[path] = k.Kind
		}
	}
	for path, kind := range s.files {
		if other, is := others[kind]; is {
			kind = other
		}
		if kind != "stored" {
			want[path] = kind
		}
	}
	if !maps.Equal(got, want) {
		s.t.Errorf("got %v\nwant %v", got, want)
	}
	return r
}

// there are the files in the directory, but the marker.
func (s *shelf) there() []string {
	s.t.Helper()
	var found []string
	if err := filepath.WalkDir(s.BlobDir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != ".layout" && d.Name() != ".lock" && d.Name() != ".relpack" {
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

func TestEveryFileIsListedByWhatItIs(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{zodbtest.Bushy, zodbtest.Lawn} {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			s := newShelf(t, layout)
			s.everything()
			// Files that lie there for a month, some hours, of tids within a week.
			month := s.now.Add(30 * day)
			r := s.expectKinds(orphans.Options{Days: 4, Now: month}, nil)
			if r.Missing != 0 || r.Found != 2 || r.Orphans.Files != 6 || r.Orphans.Bytes != 42 || r.Outcome != "listed" {
				t.Errorf("%+v", r)
			}
			var text strings.Builder
			if err := r.Write(&text); err != nil || !strings.Contains(text.String(), "in doubt        another storage uses this directory") {
				t.Errorf("%v\n%s", err, &text)
			}
			s.expectKinds(orphans.Options{Days: 4}, map[string]string{"superseded": "young", "gone": "young", "temporary": "fresh", "duplicate": "other_layout"})
			s.expectKinds(orphans.Options{Days: 40, Now: month.Add(40 * day)}, map[string]string{"superseded": "young", "gone": "young", "duplicate": "other_layout"})
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

func TestADirectoryThatIsNotTheStoragesAloneIsInDoubt(t *testing.T) {
	t.Parallel()
	for words, spoil := range map[string]func(*shelf){
		"":                                    func(*shelf) {},
		"another storage uses this directory": func(s *shelf) { s.write(s.layout, 1, s.then-5, 20*day, "foreign") },
		"later than what is stored":           func(s *shelf) { s.write(s.layout, 3, s.then+7, 20*day, "newer") },
		"the file of no live blob":            func(s *shelf) { s.BlobDir = t.TempDir() },
	} {
		s := newShelf(t, zodbtest.Bushy)
		spoil(s)
		if r, err := s.look(orphans.Options{}); err != nil || !strings.Contains(r.Doubt, words) || (r.Doubt == "") != (words == "") {
			t.Errorf("%q, want %q: %v", r.Doubt, words, err)
		}
	}
}

// A disk that was lost, a backup that was restored in part.
func TestTheLastFileOfALiveBlobIsNoOrphan(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	if err := os.Remove(zodbtest.BlobPath(s.BlobDir, s.layout, 2, s.last)); err != nil {
		t.Fatal(err)
	}
	r, err := s.look(orphans.Options{Now: s.later()})
	if err != nil || r.Orphans.Files != 0 || r.Missing != 1 || kind(r, "last_copy") != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

func kind(r *orphans.Report, name string) int64 {
	i := slices.IndexFunc(r.Files, func(k orphans.Kind) bool { return k.Kind == name })
	return r.Files[i].Files.Files
}

func TestNothingIsAnOrphanBeforeThereIsAGraph(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.everything()
	packtest.Run(s.t, s.conn, "INSERT INTO relpack.suspect (zoid, stage) VALUES (3, 'climb')")
	r, err := s.look(orphans.Options{})
	if err != nil || kind(r, "superseded")+kind(r, "gone") != 0 || kind(r, "unjudged") == 0 || r.Missing != -1 || r.Doubt == "" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestARoleThatLooksMayListFiles(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.everything()
	mark := packtest.Get[string](t, s.conn, "SELECT relpack.blobs_mark(0)::text")
	if err := os.WriteFile(s.markPath(), []byte(mark), 0o600); err != nil {
		t.Fatal(err)
	}
	role := packtest.NewRole(t, s.conn)
	who := packtest.As(s.Target, role)
	look := func() error {
		_, err := orphans.Storage(t.Context(), who, orphans.Options{Migrations: migrations.Files}, slog.New(slog.DiscardHandler))
		return err
	}
	if err := look(); fault.ExitCode(err) != fault.ExitRefused || !strings.Contains(fault.Message(err), "relpack.missing_privilege(") {
		t.Errorf("without rights: %v", err)
	}
	packtest.Run(s.t, s.conn, "GRANT USAGE ON SCHEMA relpack TO "+role)
	var grants string
	if err := s.conn.QueryRow(t.Context(), "SELECT string_agg(DISTINCT remedy, ' ') FROM relpack.missing_privilege($1, true)", role).Scan(&grants); err != nil {
		t.Fatal(err)
	}
	packtest.Run(s.t, s.conn, grants)
	if err := look(); err != nil {
		t.Error(err)
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
	r, err := orphans.Storage(t.Context(), site, orphans.Options{Now: time.Now().Add(day), Migrations: migrations.Files}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if stored, superseded, young := kind(r, "stored"), kind(r, "superseded"), kind(r, "young"); stored != 40 || superseded+young != 20 || r.Missing != 0 || r.Doubt != "" {
		t.Errorf("stored %d, superseded %d, young %d: %+v", stored, superseded, young, r)
	}
}

func TestLargeObjectsThatNoBlobNamesAreListed(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	packtest.Run(s.t, s.conn, `SELECT lo_from_bytea(4711, 'content'), lo_from_bytea(4712, 'content');
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

// text is what people read, whatever became of it.
func (s *shelf) text(o orphans.Options) (string, error) {
	s.t.Helper()
	o.Days, o.Max, o.Migrations = 1, 3, migrations.Files
	r, err := orphans.Storage(s.t.Context(), s.Target, o, slog.New(slog.DiscardHandler))
	var text strings.Builder
	if err := r.Write(&text); err != nil {
		s.t.Fatal(err)
	}
	return text.String() + r.Error, err
}

func TestWithoutADirectoryItIsSaidWhy(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.BlobDir = ""
	remove := orphans.Options{Remove: true, Claim: true}
	expect := func(says, not string) {
		t.Helper()
		for code, o := range map[int]orphans.Options{fault.ExitDone: {}, fault.ExitRefused: remove} {
			if text, err := s.text(o); fault.ExitCode(err) != code || !strings.Contains(text, says) || strings.Contains(text, not) {
				t.Errorf("%d: %s", code, text)
			}
		}
	}
	expect("Name it with --blob-dir", "section")
	s.File = &target.File{}
	expect(`add "shared-blob-dir true" and "blob-dir" to its section of the file`, "--blob-dir")
	for zoid := int64(2); zoid <= 4; zoid++ {
		if err := zodbtest.StoreBlobChunks(t.Context(), s.conn, zoid, s.then, []byte("a")); err != nil {
			t.Fatal(err)
		}
	}
	expect("blobs are in the database: there are no files to look for", "blob-dir")
	packtest.Run(t, s.conn, "DELETE FROM blob_chunk")
	s.BlobsInDatabase = true
	expect("blobs are in the database: there are no files to look for", "blob-dir")
}

func TestBeforeTheFirstBuildTheDoubtIsThatThereIsNoGraph(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	packtest.Run(t, s.conn, "UPDATE relpack.storage SET graph = 'none'")
	if text, err := s.text(orphans.Options{}); err != nil ||
		!strings.Contains(text, `in doubt        the graph is not built yet. Run "relpack pack --dry-run": it builds the graph and deletes nothing`) {
		t.Errorf("%v: %s", err, text)
	}
	if text, err := s.text(orphans.Options{Remove: true, Claim: true}); fault.ExitCode(err) != fault.ExitRefused ||
		!strings.Contains(text, "the graph is not built yet") || !strings.Contains(text, `Run "relpack pack --dry-run"`) {
		t.Errorf("%v: %s", err, text)
	}
	packtest.Run(t, s.conn, "UPDATE relpack.storage SET graph = 'doubtful'")
	if text, err := s.text(orphans.Options{}); err != nil || !strings.Contains(text, `in doubt        the graph may not match the storage. Run "relpack pack --dry-run"`) {
		t.Errorf("%v: %s", err, text)
	}
}

func TestWhereGarbageStaysNothingSaysWhichBlobsAreAlive(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	path := filepath.Join(t.TempDir(), "site.conf")
	if err := os.WriteFile(path, []byte("%import relstorage\n<zodb>\n<relstorage>\nkeep-history false\npack-gc false\n<postgresql>\ndsn "+s.DSN+"\n</postgresql>\n</relstorage>\n</zodb>\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	targets, err := target.Targets(path, "", "")
	if err != nil {
		t.Fatal(err)
	}
	targets[0].BlobDir = s.BlobDir
	s.Target = targets[0]
	if text, err := s.text(orphans.Options{Remove: true, Claim: true}); fault.ExitCode(err) != fault.ExitRefused ||
		!strings.Contains(text, "pack-gc is false: this storage is not to be garbage collected. So there is no graph, and nothing says which blobs are alive") {
		t.Errorf("%v: %s", err, text)
	}
}
