package blobdir_test

import (
	"os"
	"path/filepath"
	"testing"

	"relpack/runner/blobdir"
	"relpack/runner/internal/zodbtest"
)

// otherThan is the layout that a directory has not.
func otherThan(layout string) string {
	if layout == zodbtest.Lawn {
		return zodbtest.Bushy
	}
	return zodbtest.Lawn
}

func TestARevisionIsFoundWhateverTheMarkerSays(t *testing.T) {
	everyLayout(t, func(t *testing.T, path, layout string) {
		blob(t, path, layout, 0x1a2b, 0x100)
		blob(t, path, layout, 0x1a2c, 0x200)
		for _, marker := range []string{layout, otherThan(layout), ""} {
			write(t, filepath.Join(path, ".layout"), marker)
			if marker == "" {
				if err := os.Remove(filepath.Join(path, ".layout")); err != nil {
					t.Fatal(err)
				}
			}
			dir := open(t, path)
			if dir.Marked() != (marker != "") {
				t.Errorf("marker %q: marked %v", marker, dir.Marked())
			}
			for _, c := range []struct {
				zoid, tid int64
				want      blobdir.Layout
			}{{0x1a2b, 0x100, blobdir.Layout(layout)}, {0x1a2b, 0x200, ""}, {0x1a2d, 0x100, ""}, {0x2b, 0x100, ""}} {
				if found, err := dir.Find(c.zoid, c.tid); err != nil || found != c.want {
					t.Errorf("marker %q: blob %#x of tid %#x: %q, %v, want %q", marker, c.zoid, c.tid, found, err, c.want)
				}
			}
		}
	})
}

func TestABlobGoesFromTheOtherLayoutToo(t *testing.T) {
	everyLayout(t, func(t *testing.T, path, layout string) {
		blob(t, path, otherThan(layout), 0x1a2b, 0x200)
		dir := open(t, path)
		removed := remove(t, dir, blobdir.Removal{Zoid: 0x1a2b, Tid: 0x200})
		expect(t, removed, 1, 10)
		expectTree(t, inObject(t, path, otherThan(layout), 0x1a2b))
		if remove(t, dir, blobdir.Removal{Zoid: 0x1a2b, Tid: 0x200}).Files > 0 {
			t.Error("found again")
		}
	})
}

func TestWhatIsAbsentIsInNeitherLayoutNorBehindALink(t *testing.T) {
	everyLayout(t, func(t *testing.T, path, layout string) {
		blob(t, path, layout, 0x1a2b, 0x100)
		blob(t, path, otherThan(layout), 0x1a2c, 0x100)
		if err := os.Symlink(zodbtest.ObjectDir(path, layout, 0x1a2b), zodbtest.ObjectDir(path, layout, 0x1a2d)); err != nil {
			t.Fatal(err)
		}
		write(t, zodbtest.ObjectDir(path, layout, 0x1a2e), "no directory")
		dir := open(t, path)
		for _, c := range []struct {
			zoid, tid int64
			absent    bool
		}{{0x1a2b, 0x100, false}, {0x1a2c, 0x100, false}, {0x1a2d, 0x100, false}, {0x1a2b, 0x200, true}, {0x1a2e, 0x100, true}, {0x2b, 0x100, true}} {
			if got := dir.Absent(c.zoid, c.tid); got != c.absent {
				t.Errorf("blob %#x of tid %#x: absent %t", c.zoid, c.tid, got)
			}
		}
	})
}

func TestALinkIsNotFoundButNamed(t *testing.T) {
	everyLayout(t, func(t *testing.T, path, layout string) {
		blob(t, path, layout, 8, 0x100)
		if err := os.Symlink(zodbtest.ObjectDir(path, layout, 8), zodbtest.ObjectDir(path, layout, 7)); err != nil {
			t.Fatal(err)
		}
		if layout, err := open(t, path).Find(7, 0x100); err == nil || layout != "" {
			t.Errorf("found %q, error %v", layout, err)
		}
	})
}
