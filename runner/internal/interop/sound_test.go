package interop

import (
	"os"
	"path/filepath"
	"slices"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/zodbtest"
)

// expectSound looks at everything when the application has ended: what the root
// reaches loads; the rest goes with a last pack, and nothing else; zodbpack
// agrees; relpack finds no fault in its graph.
func (w *site) expectSound() {
	w.t.Helper()
	before := w.walk(w.config)
	revisions := w.revisions()
	w.relpack("pack", "--days", "-1", w.config)
	after := w.walk(w.config)
	if before.Digest != after.Digest || before.Blobs != after.Blobs {
		w.t.Errorf("the last pack changed what the root reaches: %d objects and %d blobs before, %d and %d after",
			len(before.Reached), before.Blobs, len(after.Reached), after.Blobs)
	}
	w.t.Logf("%d objects and %d blobs are reached", len(after.Reached), after.Blobs)
	rows, err := w.conn.Query(w.t.Context(), "SELECT DISTINCT zoid FROM object_state ORDER BY zoid")
	if err != nil {
		w.t.Fatal(err)
	}
	stored, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		w.t.Fatal(err)
	}
	// Garbage that alone bears the highest tid stays, with what it reaches.
	spared := get[bool](w.t, w.conn, `SELECT EXISTS (SELECT FROM relpack.unreachable_object
		WHERE tid = (SELECT max(tid) FROM object_state))`)
	if !spared && !slices.Equal(stored, after.Reached) {
		w.t.Errorf("%d objects are stored, %d are reached", len(stored), len(after.Reached))
	}
	if w.shape.history {
		w.expectTrimmed(len(stored))
		// zodbpack looks at nothing if all is packed.
		w.run("UPDATE transaction SET packed = false WHERE tid = (SELECT max(tid) FROM transaction)")
	}
	w.zodbpack("--prepack", "--days", "-1")
	if n := get[int64](w.t, w.conn, "SELECT count(*) FROM pack_object WHERE NOT keep"); n > 0 && !spared {
		w.t.Errorf("zodbpack would delete %d objects more", n)
	}
	w.expectVerified()
	w.expectNames(stored)
	switch {
	case !w.shape.files || w.strewn:
	case w.shape.history:
		w.expectFilesOfHistory()
	case !spared:
		w.expectFilesOf(stored, revisions)
	}
}

// expectTrimmed: of each object one revision is left, its current one, with its large
// object; and zodbpack finds none to take.
func (w *site) expectTrimmed(objects int) {
	w.t.Helper()
	for what, sql := range map[string]string{
		"revisions": "SELECT count(*) FROM object_state",
		"current revisions": `SELECT count(*) FROM current_object JOIN object_state
			ON object_state.zoid = current_object.zoid AND object_state.tid = current_object.tid`,
	} {
		if n := get[int](w.t, w.conn, sql); n != objects {
			w.t.Errorf("%d %s of %d objects", n, what, objects)
		}
	}
	if lost := get[int](w.t, w.conn, `SELECT count(*) FROM blob_chunk
		WHERE NOT EXISTS (SELECT FROM pg_largeobject_metadata WHERE oid = chunk)`); lost > 0 {
		w.t.Errorf("%d large objects are gone", lost)
	}
}

// expectVerified: relpack.verify() finds nothing, not even references to what
// isn't stored.
func (w *site) expectVerified() {
	w.t.Helper()
	rows, err := w.conn.Query(w.t.Context(), "SELECT severity || ': ' || finding || ' ' || coalesce(zoids::text, '') FROM relpack.verify()")
	if err != nil {
		w.t.Fatal(err)
	}
	findings, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		w.t.Fatal(err)
	}
	for _, finding := range findings {
		w.t.Errorf("relpack.verify(): %s", finding)
	}
}

// revision is an object as it is stored.
type revision struct{ Zoid, Tid int64 }

func (w *site) revisions() []revision {
	w.t.Helper()
	rows, err := w.conn.Query(w.t.Context(), "SELECT zoid, tid FROM object_state")
	if err != nil {
		w.t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[revision])
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// expectFilesOf: of what was stored before and is gone, no blob's file is left.
// Those of overwritten revisions stay. What zodbpack has removed itself stays listed.
func (w *site) expectFilesOf(stored []int64, before []revision) {
	w.t.Helper()
	for _, r := range before {
		if _, found := slices.BinarySearch(stored, r.Zoid); found {
			continue
		}
		path := zodbtest.BlobPath(filepath.Join(w.dir, "site-blobs"), zodbtest.Bushy, r.Zoid, r.Tid)
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			w.t.Errorf("a blob file is left of object %d, which is gone: %s", r.Zoid, path)
		}
	}
	if n := get[int64](w.t, w.conn, "SELECT count(*) FROM relpack.blob_removal WHERE missed IS NULL"); n > 0 {
		w.t.Errorf("%d blobs are still listed", n)
	}
}

// expectFilesOfHistory: each revision of a blob that is stored has its file, and no other
// revision has one.
func (w *site) expectFilesOfHistory() {
	w.t.Helper()
	dir := filepath.Join(w.dir, "site-blobs")
	var wanted []string
	rows, err := w.conn.Query(w.t.Context(), "SELECT zoid, tid FROM object_state WHERE relpack.names_blob(state)")
	if err != nil {
		w.t.Fatal(err)
	}
	needed, err := pgx.CollectRows(rows, pgx.RowToStructByPos[revision])
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range needed {
		wanted = append(wanted, zodbtest.BlobPath(dir, zodbtest.Bushy, r.Zoid, r.Tid))
	}
	var there []string
	if err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".blob" {
			there = append(there, path)
		}
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	for _, path := range wanted {
		if !slices.Contains(there, path) {
			w.t.Errorf("the file of a blob that is stored is gone: %s", path)
		}
	}
	for _, path := range there {
		if !slices.Contains(wanted, path) {
			w.t.Errorf("a file is left of a revision that is gone: %s", path)
		}
	}
	w.t.Logf("%d files of blobs are stored", len(wanted))
}
