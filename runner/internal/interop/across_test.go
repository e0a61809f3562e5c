package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"relpack/runner/internal/pgtest"
)

// ZODB itself writes the references from one database to another.
func TestWhatAnotherDatabaseRefersToStays(t *testing.T) {
	t.Parallel()
	w := newSite(t, shape{})
	other := pgtest.NewDatabase(t)
	users := w.configure("users", other.DSN, w.shape)
	w.script("across.py", w.config, users, "link")

	// A file for relpack, with the names that the references use.
	var text strings.Builder
	for _, part := range []struct{ name, config string }{{"main", w.config}, {"users", users}} {
		section, err := os.ReadFile(part.config)
		if err != nil {
			t.Fatal(err)
		}
		_, storage, _ := strings.Cut(string(section), "%import relstorage\n")
		fmt.Fprintf(&text, "<zodb %s>\n%s</zodb>\n", part.name, storage)
	}
	both := filepath.Join(w.dir, "both.conf")
	if err := os.WriteFile(both, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	w.relpack("migrate", "up", both)

	before := w.script("across.py", w.config, users, "load")
	r := w.attempt(program, "pack", "--days", "0", both)
	if r.code != 4 || !strings.Contains(r.stderr, "main (1 reference)") {
		t.Errorf("pack: %v", r)
	}
	if after := w.script("across.py", w.config, users, "load"); after != before {
		t.Errorf("loaded %q, want %q", after, before)
	}
	conn := other.Connect(t)
	objects := get[int](t, conn, "SELECT count(*) FROM object_state")
	w.script("across.py", w.config, users, "cut")
	// The first pack sees that the reference is gone: that is when the grace begins.
	for range 2 {
		w.relpack("pack", "--days", "0", both)
	}
	if left := get[int](t, conn, "SELECT count(*) FROM object_state"); left != objects-2 {
		t.Errorf("%d objects after the reference is gone, want %d", left, objects-2)
	}
}
