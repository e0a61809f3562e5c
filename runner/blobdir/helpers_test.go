package blobdir_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"relpack/runner/blobdir"
	"relpack/runner/internal/zodbtest"
)

var layouts = []string{zodbtest.Bushy, zodbtest.Lawn}

// everyLayout runs a test once in a blob directory of each layout.
func everyLayout(t *testing.T, test func(t *testing.T, path, layout string)) {
	t.Parallel()
	for _, layout := range layouts {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			test(t, newBlobDir(t, layout), layout)
		})
	}
}

func newBlobDir(t *testing.T, layout string) string {
	t.Helper()
	path := t.TempDir()
	if err := zodbtest.NewBlobDir(path, layout); err != nil {
		t.Fatal(err)
	}
	return path
}

// sample unpacks the real blob directory.
func sample(t *testing.T, path string) {
	t.Helper()
	if err := zodbtest.ExtractBlobs(path); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, path string) *blobdir.Dir {
	t.Helper()
	dir, err := blobdir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// blob writes revisions of a blob, each of 10 bytes, with the directory's lock.
func blob(t *testing.T, path, layout string, zoid int64, tids ...int64) {
	t.Helper()
	for _, tid := range tids {
		if err := zodbtest.WriteBlob(path, layout, zoid, tid, []byte("0123456789")); err != nil {
			t.Fatal(err)
		}
	}
}

func remove(t *testing.T, dir *blobdir.Dir, removal blobdir.Removal) blobdir.Removed {
	t.Helper()
	removed, err := removeAt(dir, removal)
	if err != nil {
		t.Fatalf("remove %+v: %v", removal, err)
	}
	return removed
}

// removeAt removes at once.
func removeAt(dir *blobdir.Dir, removal blobdir.Removal) (blobdir.Removed, error) {
	aside, err := dir.SetAside(removal)
	if err != nil || aside == nil {
		return blobdir.Removed{}, err
	}
	return aside.Finish()
}

func expect(t *testing.T, got blobdir.Removed, files int, bytes int64) {
	t.Helper()
	if got.Files != files || got.Bytes != bytes {
		t.Errorf("removed %d files, %d bytes, want %d, %d", got.Files, got.Bytes, files, bytes)
	}
}

// tree lists everything below path, directories with a slash behind.
func tree(t *testing.T, path string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == path {
			return err
		}
		relative, err := filepath.Rel(path, name)
		if entry.IsDir() {
			relative += "/"
		}
		names = append(names, relative)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// inObject lists the entries of an object's directory, nil if there is none.
func inObject(t *testing.T, path, layout string, zoid int64) []string {
	t.Helper()
	dir := zodbtest.ObjectDir(path, layout, zoid)
	if _, err := os.Stat(dir); os.IsNotExist(err) {
		return nil
	}
	return tree(t, dir)
}

func expectTree(t *testing.T, got []string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}
