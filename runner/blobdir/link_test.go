package blobdir_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"relpack/runner/blobdir"
	"relpack/runner/internal/zodbtest"
)

// A link in place of an object's directory, or of one above it, leads to files
// that are somebody else's: out of the blob directory, or another blob's.
func TestALinkInPlaceOfADirectoryIsAnErrorAndUntouched(t *testing.T) {
	t.Parallel()
	const zoid, other, tid = 0x1a2b, 0x1a99, 0x100
	tests := []struct{ name, layout, link, target string }{
		{"out of a lawn", zodbtest.Lawn, "0x1a2b", "OUTSIDE/object"},
		{"to another blob of the lawn", zodbtest.Lawn, "0x1a2b", "0x1a99"},
		{"object's directory out of a bush", zodbtest.Bushy, "0x00/0x00/0x00/0x00/0x00/0x00/0x1a/0x2b", "OUTSIDE/object"},
		{"to another blob of the bush", zodbtest.Bushy, "0x00/0x00/0x00/0x00/0x00/0x00/0x1a/0x2b", "0x99"},
		{"upper directory out of a bush", zodbtest.Bushy, "0x00/0x00/0x00", "OUTSIDE/upper"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			base := t.TempDir()
			path, outside := filepath.Join(base, "blobs"), filepath.Join(base, "outside")
			if err := zodbtest.NewBlobDir(path, test.layout); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(test.name, "upper") {
				blob(t, path, test.layout, other, tid)
			}
			write(t, filepath.Join(outside, "object", "0x0100.blob"), "precious")
			write(t, filepath.Join(outside, "upper/0x00/0x00/0x00/0x1a/0x2b/0x0100.blob"), "precious")
			link := filepath.Join(path, test.link)
			if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(strings.Replace(test.target, "OUTSIDE", outside, 1), link); err != nil {
				t.Fatal(err)
			}
			before := tree(t, base)

			removed, err := removeAt(open(t, path), blobdir.Removal{Zoid: zoid, Tid: tid, Newest: 1 << 60})
			if err == nil || !strings.Contains(err.Error(), link+" is a symbolic link") {
				t.Errorf("error %v, want one that names %s", err, link)
			}
			expect(t, removed, 0, 0)
			expectTree(t, tree(t, base), before...)
		})
	}
}

func TestALinkInPlaceOfABlobIsAnErrorAndUntouched(t *testing.T) {
	everyLayout(t, func(t *testing.T, path, layout string) {
		outside := filepath.Join(t.TempDir(), "precious")
		write(t, outside, "precious")
		file := zodbtest.BlobPath(path, layout, 7, 0x100)
		write(t, filepath.Join(filepath.Dir(file), ".lock"), "")
		if err := os.Symlink(outside, file); err != nil {
			t.Fatal(err)
		}
		_, err := removeAt(open(t, path), blobdir.Removal{Zoid: 7, Tid: 0x100})
		if err == nil || !strings.Contains(err.Error(), file+": not a regular file") {
			t.Errorf("error %v, want one that names %s", err, file)
		}
		expectTree(t, inObject(t, path, layout, 7), ".lock", "0x0100.blob")
	})
}

func TestOlderRevisionsThatAreLinksStay(t *testing.T) {
	everyLayout(t, func(t *testing.T, path, layout string) {
		blob(t, path, layout, 7, 0x200)
		if err := os.Symlink("elsewhere", zodbtest.BlobPath(path, layout, 7, 0x100)); err != nil {
			t.Fatal(err)
		}
		expect(t, remove(t, open(t, path), blobdir.Removal{Zoid: 7, Tid: 0x200}), 1, 10)
		expectTree(t, inObject(t, path, layout, 7), ".lock", "0x0100.blob")
	})
}

func TestAFileInPlaceOfADirectoryIsAnError(t *testing.T) {
	t.Parallel()
	path := newBlobDir(t, zodbtest.Lawn)
	write(t, filepath.Join(path, "0x07"), "")
	_, err := removeAt(open(t, path), blobdir.Removal{Zoid: 7, Tid: 1})
	if err == nil || !strings.Contains(err.Error(), filepath.Join(path, "0x07")+" is not a directory") {
		t.Errorf("error %v", err)
	}
}

// Whatever stands in the marker, it names no path.
func TestAnOddMarkerLeadsNowhere(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	outside := filepath.Join(base, "outside")
	write(t, filepath.Join(outside, "layout"), "lawn")
	write(t, filepath.Join(outside, "0x07", "0x0100.blob"), "precious")
	for name, marker := range map[string]struct{ link, text, says string }{
		"a link out of the directory": {outside + "/layout", "", "escapes"},
		"a link upwards":              {"../outside/layout", "", "escapes"},
		"a link to itself":            {".layout", "", "too many levels"},
		"a path upwards":              {"", "../outside", `"../outside"`},
		"a layout and a path":         {"", "lawn/../../outside", `"lawn/../../outside"`},
		"two layouts":                 {"", "lawn\nbushy", `"lawn\nbushy"`},
		"a zero byte":                 {"", "lawn\x00", `"lawn\x00"`},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(base, name)
			if err := os.Mkdir(path, 0o755); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(path, ".layout")
			if marker.link == "" {
				write(t, file, marker.text)
			} else if err := os.Symlink(marker.link, file); err != nil {
				t.Fatal(err)
			}
			_, err := blobdir.Open(path)
			if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), marker.says) {
				t.Errorf("error %v, want one that names %s and %s", err, file, marker.says)
			}
		})
	}
	expectTree(t, tree(t, outside), "0x07/", "0x07/0x0100.blob", "layout")
}

// A directory that is a link by the time it is opened, and one that was moved
// away: what is open is what was looked at.
func TestADirectoryExchangedForALinkBetweenTwoFilesLosesNothingElsewhere(t *testing.T) {
	everyLayout(t, func(t *testing.T, path, layout string) {
		outside := t.TempDir()
		blob(t, outside, layout, 7, 0x100, 0x200, 0x300)
		blob(t, path, layout, 7, 0x100, 0x200, 0x300)
		object := zodbtest.ObjectDir(path, layout, 7)
		before := tree(t, outside)
		aside, err := open(t, path).SetAside(blobdir.Removal{Zoid: 7, Tid: 0x300})
		if err == nil {
			err = errors.Join(os.Rename(object, object+".away"), os.Symlink(zodbtest.ObjectDir(outside, layout, 7), object))
		}
		if err == nil {
			_, err = aside.Finish()
		}
		if err != nil {
			t.Fatal(err)
		}
		expectTree(t, tree(t, outside), before...)
	})
}
