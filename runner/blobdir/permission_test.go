package blobdir_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"relpack/runner/blobdir"
	"relpack/runner/internal/zodbtest"
)

func TestADirectoryThatMayNotBeWrittenIsNamed(t *testing.T) {
	everyLayout(t, func(t *testing.T, path, layout string) {
		blob(t, path, layout, 7, 0x100, 0x200)
		object := zodbtest.ObjectDir(path, layout, 7)
		chmod(t, object, 0o555)
		dir := open(t, path)
		asOrdinaryUser(t, func() {
			removed, err := removeAt(dir, blobdir.Removal{Zoid: 7, Tid: 0x200})
			if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), filepath.Join(object, "0x0200.blob")) {
				t.Errorf("error %v, want a refused permission that names the file", err)
			}
			expect(t, removed, 0, 0)
		})
		expectTree(t, inObject(t, path, layout, 7), ".lock", "0x0100.blob", "0x0200.blob")
	})
}

func TestADirectoryThatMayNotBeReadIsNamed(t *testing.T) {
	everyLayout(t, func(t *testing.T, path, layout string) {
		blob(t, path, layout, 7, 0x100)
		object := zodbtest.ObjectDir(path, layout, 7)
		chmod(t, object, 0)
		dir := open(t, path)
		asOrdinaryUser(t, func() {
			_, err := removeAt(dir, blobdir.Removal{Zoid: 7, Tid: 0x100})
			if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), object) {
				t.Errorf("error %v, want a refused permission that names %s", err, object)
			}
		})
	})
}

func TestAnUnreadableBlobDirectoryIsNoticedAtOnce(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	chmod(t, filepath.Dir(base), 0o755) // it is the test's own too
	closed := filepath.Join(base, "closed")
	sample(t, closed)
	chmod(t, closed, 0o311) // may be entered, not listed
	marker := filepath.Join(base, "marker")
	write(t, filepath.Join(marker, ".layout"), "lawn")
	chmod(t, filepath.Join(marker, ".layout"), 0)
	asOrdinaryUser(t, func() {
		for path, mentions := range map[string]string{closed: closed, marker: filepath.Join(marker, ".layout")} {
			_, err := blobdir.Open(path)
			if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), mentions) {
				t.Errorf("error %v, want a refused permission that names %s", err, mentions)
			}
		}
	})
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Error(err)
		}
	})
}
