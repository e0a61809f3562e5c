package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/pgtest"
	"relpack/runner/pack"
)

// packedOnce is a site that relpack knows, with garbage in it.
func packedOnce(t *testing.T, s shape) *site {
	t.Helper()
	w := newSite(t, s)
	w.create()
	w.relpack("pack", "--days", "-1", w.config)
	w.work()
	return w
}

// work lets the application change something.
func (w *site) work() {
	w.t.Helper()
	a := w.startApplication("busy", 1, 0)
	w.until("some commits", func() bool { return len(a.commits()) > 40 })
	a.end()
}

// pack returns relpack's report.
func (w *site) pack(days string) pack.Report {
	w.t.Helper()
	var reports []pack.Report
	if err := json.Unmarshal([]byte(w.relpack("pack", "--json", "--days", days, w.config)), &reports); err != nil || len(reports) != 1 {
		w.t.Fatalf("read relpack's report: %d storages, %v", len(reports), err)
	}
	return reports[0]
}

func TestRelStorageEmptiesAStorageThatRelpackKnows(t *testing.T) {
	t.Parallel()
	w := packedOnce(t, shape{files: true})
	for _, how := range []string{"slow", "fast"} {
		w.script("zap.py", w.config, how)
		if n := get[int](t, w.conn, "SELECT count(*) FROM object_state"); n != 0 {
			t.Fatalf("%d objects are stored after zap_all (%s)", n, how)
		}
		w.strewn = how == "fast"
		w.script("create.py", w.config)
		w.work()
		w.expectSound()
	}
}

func TestRelStorageMakesItsTablesAnewBesideRelpack(t *testing.T) {
	t.Parallel()
	w := packedOnce(t, shape{files: true})
	w.run("DROP TABLE object_state, blob_chunk, object_ref, object_refs_added, pack_object, commit_row_lock CASCADE; DROP SEQUENCE zoid_seq")
	w.strewn = true
	w.script("create.py", w.config)
	if r := w.attempt(program, "pack", w.config); r.code != 4 {
		t.Errorf("pack without triggers: %v", r)
	}
	w.relpack("migrate", "up", w.config)
	w.expectSound()
}

func TestZodbconvertGoesInAndOut(t *testing.T) {
	t.Parallel()
	for _, s := range []shape{{files: true}, {}} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			w := packedOnce(t, s)
			there := w.walk(w.config)
			file := "<filestorage %s>\n  path " + filepath.Join(w.dir, "Data.fs") + "\n  blob-dir " + filepath.Join(w.dir, "fs-blobs") + "\n</filestorage>\n"
			out, back, alone := filepath.Join(w.dir, "out.conf"), filepath.Join(w.dir, "back.conf"), filepath.Join(w.dir, "fs.conf")
			_, storage, _ := strings.Cut(w.read(w.config), "<relstorage>")
			w.write(out, "%import relstorage\n<relstorage source>"+storage+fmt.Sprintf(file, "destination"))
			w.write(back, "%import relstorage\n<relstorage destination>"+storage+fmt.Sprintf(file, "source"))
			w.write(alone, fmt.Sprintf(file, ""))

			w.must(w.python.Program("zodbconvert"), out)
			if copied := w.walk(alone); copied.Digest != there.Digest || copied.Blobs != there.Blobs {
				t.Errorf("zodbconvert copied %d objects and %d blobs of %d and %d", len(copied.Reached), copied.Blobs, len(there.Reached), there.Blobs)
			}
			w.work()
			w.must(w.python.Program("zodbconvert"), "--clear", back)
			w.strewn = true
			if copied := w.walk(w.config); copied.Digest != there.Digest || copied.Blobs != there.Blobs {
				t.Errorf("zodbconvert brought back %d objects and %d blobs of %d and %d", len(copied.Reached), copied.Blobs, len(there.Reached), there.Blobs)
			}
			w.work()
			w.expectSound()
		})
	}
}

func TestARestoredDumpIsComparedAndNotBelieved(t *testing.T) {
	t.Parallel()
	w := packedOnce(t, shape{})
	there := w.walk(w.config)
	programs, err := pgtest.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	copied := pgtest.NewDatabase(t)
	dump := filepath.Join(w.dir, "dump")
	w.must(filepath.Join(programs.Dir, "pg_dump"), "--format=custom", "--file="+dump, w.dsn)
	w.must(filepath.Join(programs.Dir, "pg_restore"), "--exit-on-error", "--dbname="+copied.DSN, dump)
	restored := &site{t: t, python: python, dsn: copied.DSN, dir: w.dir, shape: w.shape, conn: copied.Connect(t)}
	restored.config = restored.configure("restored", copied.DSN, w.shape)
	if doubt := get[string](t, restored.conn, "SELECT coalesce(relpack.doubt(), '')"); doubt == "" {
		t.Error("the graph of a restored database is believed")
	}
	if report := restored.pack("-1"); !report.Compared || report.FirstBuild {
		t.Errorf("compared: %t, built anew: %t", report.Compared, report.FirstBuild)
	}
	if found := restored.walk(restored.config); found.Digest != there.Digest {
		t.Errorf("%d objects are reached of %d", len(found.Reached), len(there.Reached))
	}
	restored.work()
	restored.expectSound()
}

func TestTablesAreRewrittenBesideRelpack(t *testing.T) {
	t.Parallel()
	w := packedOnce(t, shape{files: true})
	for _, rewrite := range []func(){
		func() { w.run("VACUUM FULL object_state") },
		func() { w.run("CLUSTER object_state USING object_state_tid") },
		w.repack,
	} {
		rewrite()
		w.work()
		if report := w.pack("-1"); !report.Compared || report.FirstBuild {
			t.Errorf("compared: %t, built anew: %t", report.Compared, report.FirstBuild)
		}
		w.expectVerified()
	}
	w.expectSound()
}

// repack is pg_repack's work. The Makefile has it installed where this user may.
func (w *site) repack() {
	w.t.Helper()
	programs, err := pgtest.Find(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	repack := filepath.Join(programs.Dir, "pg_repack")
	if _, err := os.Stat(repack); err != nil {
		w.t.Log("there is no pg_repack beside the server's programs: it is not tried")
		return
	}
	w.run("CREATE EXTENSION pg_repack")
	// It takes no connection string.
	server := w.conn.Config()
	w.must(repack, "--host="+server.Host, fmt.Sprint("--port=", server.Port), "--username="+server.User,
		"--dbname="+server.Database, "--table=object_state")
}

// run executes SQL.
func (w *site) run(sql string) {
	w.t.Helper()
	if _, err := w.conn.Exec(w.t.Context(), sql); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// connect opens one more session.
func (w *site) connect(application string) *pgx.Conn {
	w.t.Helper()
	db := pgtest.Database{DSN: w.dsn + " application_name='" + application + "'"}
	return db.Connect(w.t)
}

func (w *site) read(path string) string {
	w.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

func (w *site) write(path, text string) {
	w.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}
