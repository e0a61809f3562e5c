package blobdir_test

import (
	"os"
	"path/filepath"
	"testing"

	"relpack/runner/blobdir"
	"relpack/runner/internal/zodbtest"
)

// unlinkAll unlinks all revisions of a blob, in either layout, and has each directory go.
func unlinkAll(t *testing.T, dir *blobdir.Dir, zoid, newest int64) {
	t.Helper()
	var found []blobdir.Entry
	if err := dir.Walk(func(e blobdir.Entry) error {
		if e.Kind == blobdir.Revision && e.Zoid == zoid {
			found = append(found, e)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, e := range found {
		aside, err := dir.SetFoundAside(e)
		if err != nil || aside == nil {
			t.Fatalf("%s: %v, %v", e.Path, aside, err)
		}
		if removed, err := aside.Finish(); err != nil || removed.Files != 1 {
			t.Errorf("%s: %+v, %v", e.Path, removed, err)
		}
		if err := dir.RemoveEmpty(e, newest); err != nil {
			t.Error(err)
		}
	}
}

func TestTheDirectoryOfAnObjectGoesWithItsLastFile(t *testing.T) {
	everyLayout(t, func(t *testing.T, path, layout string) {
		blob(t, path, layout, 7, 0x100, 0x200)
		write(t, zodbtest.BlobPath(path, layout, 7, 0x200)+".lock", "")
		blob(t, path, otherThan(layout), 7, 0x100)
		blob(t, path, layout, 8, 0x100)
		unlinkAll(t, open(t, path), 7, 1<<60)
		for _, layout := range layouts {
			if left := zodbtest.ObjectDir(path, layout, 7); inObject(t, path, layout, 7) != nil {
				t.Errorf("%s is left", left)
			} else if _, err := os.Stat(left); !os.IsNotExist(err) {
				t.Error(err)
			}
		}
		expectTree(t, inObject(t, path, layout, 8), ".lock", "0x0100.blob")
	})
}

func TestTheDirectoryOfAnObjectStaysWithWhatElseIsInIt(t *testing.T) {
	everyLayout(t, func(t *testing.T, path, layout string) {
		blob(t, path, layout, 7, 0x100)
		write(t, filepath.Join(zodbtest.ObjectDir(path, layout, 7), "notes.txt"), "")
		unlinkAll(t, open(t, path), 7, 1<<60)
		expectTree(t, inObject(t, path, layout, 7), ".lock", "notes.txt")

		blob(t, path, layout, 9, 0x100)
		lock := filepath.Join(zodbtest.ObjectDir(path, layout, 9), ".lock")
		if err := os.RemoveAll(lock); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/etc/hostname", lock); err != nil {
			t.Fatal(err)
		}
		unlinkAll(t, open(t, path), 9, 1<<60)
		expectTree(t, inObject(t, path, layout, 9), ".lock")
	})
}

// As when a pack removes a blob: see TestEmptyParentsGoOnlyFarBelowTheNewestObject.
func TestParentsOfAnObjectThatIsGoneGoOnlyFarBelowTheNewestOne(t *testing.T) {
	t.Parallel()
	for newest, want := range map[int64][]string{
		0:       {".layout", "0x00/", "0x00/0x00/", "0x00/0x00/0x00/", "0x00/0x00/0x00/0x00/", "0x00/0x00/0x00/0x00/0x00/", "0x00/0x00/0x00/0x00/0x00/0x00/", "0x00/0x00/0x00/0x00/0x00/0x00/0x00/"},
		1 << 62: {".layout"},
	} {
		path := newBlobDir(t, zodbtest.Bushy)
		blob(t, path, zodbtest.Bushy, 7, 0x100)
		unlinkAll(t, open(t, path), 7, newest)
		expectTree(t, tree(t, path), want...)
	}
}
