package interop

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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

// setBack has RelStorage's clock be late by some hours, and what is stored be older.
func (w *site) setBack() (again func()) {
	w.t.Helper()
	hours := strconv.FormatInt(zodbtest.Earlier(time.Now(), 5*time.Hour), 10)
	w.run("SET session_replication_role = replica")
	w.run("UPDATE object_state SET tid = tid - " + hours)
	if w.shape.history {
		w.run("UPDATE transaction SET tid = tid - " + hours + " WHERE tid > 0")
		w.run("UPDATE current_object SET tid = tid - " + hours)
	}
	w.run("RESET session_replication_role")
	body := get[string](w.t, w.conn, "SELECT pg_get_functiondef('make_current_tid'::regproc)")
	w.run(strings.ReplaceAll(body, "clock_timestamp()", "(clock_timestamp() - interval '4 hours')"))
	return func() { w.run(body) }
}

// blobs are the revisions of blobs for which a condition holds.
func (w *site) blobs(condition string) []revision {
	w.t.Helper()
	rows, err := w.conn.Query(w.t.Context(), "SELECT zoid, tid FROM object_state AS stored WHERE relpack.names_blob(state) AND "+condition)
	if err != nil {
		w.t.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[revision])
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

// superseded are old revisions of blobs that are stored.
func (w *site) superseded() []revision {
	w.t.Helper()
	return w.blobs("EXISTS (SELECT FROM object_state AS later WHERE later.zoid = stored.zoid AND later.tid > stored.tid)")
}

// expectFilesOfRows: each revision of a blob that is stored has its file. It returns
// files without a row, of objects that have one.
func (w *site) expectFilesOfRows(dir string) (left []string) {
	w.t.Helper()
	wanted, objects := map[string]bool{}, map[string]bool{}
	for _, r := range w.revisions() {
		path := zodbtest.BlobPath(dir, zodbtest.Bushy, r.Zoid, r.Tid)
		wanted[path], objects[filepath.Dir(path)] = true, true
	}
	for _, r := range w.blobs("true") {
		if _, err := os.Stat(zodbtest.BlobPath(dir, zodbtest.Bushy, r.Zoid, r.Tid)); err != nil {
			w.t.Errorf("the file of a blob that is stored is gone: %v", err)
		}
	}
	if err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".blob" && !wanted[path] && objects[filepath.Dir(path)] {
			left = append(left, path)
		}
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	return left
}

func TestFilesWithoutARowAreRemovedBesideAnApplicationThatUndoes(t *testing.T) {
	t.Parallel()
	w := newSite(t, shape{files: true, history: true})
	dir := filepath.Join(w.dir, "site-blobs")
	// What was written a few hours ago may go.
	w.script("walk.py", w.config)
	again := w.setBack()
	w.create()
	w.work()
	w.script("history.py", "undo", w.config, "0")
	again()
	// Nobody knows any more what this has trimmed.
	before := w.superseded()
	w.relpack("pack", "--days", "0.1", "--dsn", w.dsn)
	w.run("DELETE FROM relpack.blob_removal WHERE EXISTS (SELECT FROM object_state WHERE zoid = blob_removal.zoid)")
	if left := w.expectFilesOfRows(dir); len(before) == 0 || len(left) == 0 {
		t.Fatalf("%d superseded revisions, %d files without a row", len(before), len(left))
	}
	a := w.startApplication("now", 2, 1, "undo", "undo")
	defer a.end()
	targets, err := target.Targets(w.config, "", "")
	if err != nil {
		t.Fatal(err)
	}
	removed := int64(0)
	remove := func() {
		t.Helper()
		for {
			r, err := orphans.Storage(t.Context(), targets[0], orphans.Options{
				Remove: true, Claim: true, Gone: true, Now: time.Now().Add(48 * time.Hour), Migrations: migrations.Files}, packtest.Log(t))
			if fault.ExitCode(err) == fault.ExitLocked { // by an undo
				continue
			}
			if removed += r.Removed.Files; err != nil {
				t.Errorf("%+v, %v", r, err)
			}
			return
		}
	}
	for until, round := time.Now().Add(soak), int64(1); (time.Now().Before(until) || round < 4) && !t.Failed(); round++ {
		left := w.expectFilesOfRows(dir)
		remove()
		for _, path := range left {
			if _, err := os.Stat(path); err == nil && round == 1 {
				t.Errorf("it is still there: %s", path)
			}
		}
		for _, r := range w.superseded() { // what a killed client left
			path := zodbtest.BlobPath(dir, zodbtest.Bushy, r.Zoid, r.Tid-round)
			if err := os.Link(zodbtest.BlobPath(dir, zodbtest.Bushy, r.Zoid, r.Tid), path); err != nil && !os.IsNotExist(err) {
				t.Error(err)
			}
		}
	}
	a.end()
	remove()
	t.Logf("%d files were removed", removed)
	w.expectFilesOfRows(dir)
	w.walk(w.config)
	w.strewn = true // copies of what is superseded since
	w.expectSound()
}

// The backup is restored beside, over the same files: as long as nobody writes there, what
// is superseded by then the later time does not need either.
func TestNoFileOfTheLaterTimeGoesWhereAnOlderBackupWasRestored(t *testing.T) {
	t.Parallel()
	for _, history := range []bool{false, true} {
		w := newSite(t, shape{files: true, history: history})
		dir := filepath.Join(w.dir, "site-blobs")
		w.script("walk.py", w.config)
		again := w.setBack()
		w.create()
		w.work()
		again()
		w.relpack("pack", "--dry-run", w.config)
		programs, err := pgtest.Find(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		copied := pgtest.NewDatabase(t)
		dump := filepath.Join(w.dir, "dump")
		w.must(filepath.Join(programs.Dir, "pg_dump"), "--format=custom", "--file="+dump, w.dsn)
		w.must(filepath.Join(programs.Dir, "pg_restore"), "--exit-on-error", "--dbname="+copied.DSN, dump)
		w.work()
		if err := os.Symlink(dir, filepath.Join(w.dir, "restored-blobs")); err != nil {
			t.Fatal(err)
		}
		restored := &site{t: t, python: python, dsn: copied.DSN, dir: w.dir, shape: w.shape, conn: copied.Connect(t)}
		restored.config = restored.configure("restored", copied.DSN, w.shape)
		restored.relpack("pack", "--dry-run", restored.config)
		restored.run("UPDATE relpack.storage SET replaced = '-infinity'") // a month ago
		if history {
			for _, r := range restored.superseded() { // what a killed client left
				if err := os.Link(zodbtest.BlobPath(dir, zodbtest.Bushy, r.Zoid, r.Tid), zodbtest.BlobPath(dir, zodbtest.Bushy, r.Zoid, r.Tid-1)); err != nil {
					t.Fatal(err)
				}
			}
		}
		targets, err := target.Targets(restored.config, "", "")
		if err != nil {
			t.Fatal(err)
		}
		o := orphans.Options{Remove: true, Claim: true, Now: time.Now().Add(48 * time.Hour), Migrations: migrations.Files}
		r, err := orphans.Storage(t.Context(), targets[0], o, packtest.Log(t))
		above := r.Files[slices.IndexFunc(r.Files, func(k orphans.Kind) bool { return k.Kind == "above" })].Files
		if err != nil || r.Removed.Files == 0 || above.Files == 0 {
			t.Errorf("history %t: removed %s, later than all %s: %v", history, r.Removed, above, err)
		}
		w.walk(w.config)
		restored.walk(restored.config)
		restored.must(python.Program("python"), "-c", `import sys, transaction; from models import open_db; db = open_db(sys.argv[1])
c = db.open(); c.root()["later"] = 1; transaction.commit(); c.close(); db.close()`, restored.config)
		if r, err = orphans.Storage(t.Context(), targets[0], o, packtest.Log(t)); fault.ExitCode(err) != fault.ExitRefused || r.Removed.Files > 0 {
			t.Errorf("history %t: it was written to, and removed %s: %v", history, r.Removed, err)
		}
		w.walk(w.config)
		restored.walk(restored.config)
	}
}
