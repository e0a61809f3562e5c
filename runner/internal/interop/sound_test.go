package interop

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// expectSound looks at everything when the application has ended: what the root
// reaches loads; the rest goes with a last pack, and nothing else; zodbpack
// agrees; relpack finds no fault in its graph.
func (w *site) expectSound() {
	w.t.Helper()
	before := w.walk(w.config)
	w.relpack("pack", "--days", "-1", w.config)
	after := w.walk(w.config)
	if before.Digest != after.Digest || before.Blobs != after.Blobs {
		w.t.Errorf("the last pack changed what the root reaches: %d objects and %d blobs before, %d and %d after",
			len(before.Reached), before.Blobs, len(after.Reached), after.Blobs)
	}
	w.t.Logf("%d objects and %d blobs are reached", len(after.Reached), after.Blobs)
	rows, err := w.conn.Query(w.t.Context(), "SELECT zoid FROM object_state ORDER BY zoid")
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
	w.zodbpack("--prepack", "--days", "-1")
	if n := get[int64](w.t, w.conn, "SELECT count(*) FROM pack_object WHERE NOT keep"); n > 0 && !spared {
		w.t.Errorf("zodbpack would delete %d objects more", n)
	}
	w.expectVerified()
	if w.shape.files && !spared && !w.strewn {
		w.expectFilesOf(stored)
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

var blobFile = regexp.MustCompile(`^((?:0x[0-9a-f]{2}/){8})0x[0-9a-f]+\.blob$`)

// expectFilesOf: no blob's file is of an object that is gone.
func (w *site) expectFilesOf(stored []int64) {
	w.t.Helper()
	dir := filepath.Join(w.dir, "site-blobs")
	if err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if match := blobFile.FindStringSubmatch(name); match != nil {
			zoid, err := strconv.ParseInt(strings.NewReplacer("0x", "", "/", "").Replace(match[1]), 16, 64)
			if err != nil {
				return err
			}
			if _, found := slices.BinarySearch(stored, zoid); !found {
				w.t.Errorf("a blob file is left of object %d, which is gone: %s", zoid, name)
			}
		}
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
}
