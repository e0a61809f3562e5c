package interop

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/pyenv"
)

// A site is a storage of the real RelStorage, with a configuration file for
// zodbpack, relpack and the application.
type site struct {
	t      testing.TB
	python *pyenv.Env
	dsn    string
	dir    string // scripts, configuration, blobs, logs
	config string
	shape  shape
	conn   *pgx.Conn
	// RelStorage has left blob files behind, of what it deleted all at once.
	strewn bool
}

// A shape is how the storage is configured.
type shape struct {
	files      bool // blobs are files in a shared directory
	compressed bool // zc.zlibstorage
	history    bool // keep-history
	patience   int  // commit-lock-timeout in seconds; 0: what is enough on a machine that stalls
}

func (s shape) String() string {
	text := "blobs in the database"
	if s.files {
		text = "blob files"
	}
	if s.compressed {
		text += ", compressed"
	}
	if s.history {
		text += ", history kept"
	}
	return text
}

// newSite makes an empty database and a configuration for it.
func newSite(t testing.TB, s shape) *site {
	t.Helper()
	db := pgtest.NewDatabase(t)
	w := &site{t: t, python: python, dsn: db.DSN, dir: t.TempDir(), shape: s, conn: db.Connect(t)}
	scripts, err := filepath.Glob("*.py")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("find the scripts: %v", err)
	}
	if err := os.CopyFS(w.dir, os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	w.config = w.configure("site", db.DSN, s)
	return w
}

// configure writes a configuration file.
func (w *site) configure(name, dsn string, s shape) string {
	w.t.Helper()
	blobs := filepath.Join(w.dir, name+"-blobs")
	text := fmt.Sprintf(`<relstorage>
  keep-history %t
  shared-blob-dir %t
  blob-dir %s
  commit-lock-timeout %d
  <postgresql>
    driver psycopg2
    dsn %s
  </postgresql>
</relstorage>
`, s.history, s.files, blobs, cmp.Or(s.patience, 60), strings.ReplaceAll(dsn, "$", "$$"))
	imports := "%import relstorage\n"
	if s.compressed {
		imports += "%import zc.zlibstorage\n"
		text = "<zlibstorage>\n" + text + "</zlibstorage>\n"
	}
	path := filepath.Join(w.dir, name+".conf")
	if err := os.WriteFile(path, []byte(imports+text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// create fills the storage with the application's first objects and installs
// relpack.
func (w *site) create() {
	w.t.Helper()
	w.script("create.py", w.config)
	w.relpack("migrate", "up", w.config)
}

// A result is what a program printed, and its exit code.
type result struct {
	stdout, stderr string
	code           int
}

func (r result) String() string { return fmt.Sprintf("exit code %d\n%s%s", r.code, r.stdout, r.stderr) }

// attempt runs a program to its end.
func (w *site) attempt(name string, args ...string) result {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), name, args...)
	cmd.Dir = w.dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		w.t.Fatalf("%s: %v", name, err)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// must runs a program that has to end well, and returns what it prints.
func (w *site) must(name string, args ...string) string {
	w.t.Helper()
	r := w.attempt(name, args...)
	if r.code != 0 {
		w.t.Fatalf("%s %s: %v", filepath.Base(name), strings.Join(args, " "), r)
	}
	return r.stdout
}

func (w *site) script(name string, args ...string) string {
	w.t.Helper()
	return w.must(w.python.Program("python"), append([]string{name}, args...)...)
}

func (w *site) relpack(args ...string) string {
	w.t.Helper()
	return w.must(program, args...)
}

func (w *site) zodbpack(args ...string) string {
	w.t.Helper()
	return w.must(w.python.Program("zodbpack"), append(args, w.config)...)
}

// A walk is what walk.py found.
type walk struct {
	Reached []int64
	Missing [][3]any
	Blobs   int
	Digest  string
}

// walk loads everything through ZODB, and nothing may be missing.
func (w *site) walk(config string) walk {
	w.t.Helper()
	var found walk
	if err := json.Unmarshal([]byte(w.script("walk.py", config)), &found); err != nil {
		w.t.Fatalf("read the walk: %v", err)
	}
	if len(found.Missing) > 0 {
		w.t.Errorf("%d objects are missing [oid, referrer, error]: %v", len(found.Missing), found.Missing[:min(len(found.Missing), 10)])
	}
	return found
}

// get reads one value from a database.
func get[T any](t testing.TB, conn *pgx.Conn, sql string, args ...any) T {
	t.Helper()
	var value T
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}
