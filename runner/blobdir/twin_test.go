package blobdir_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"relpack/runner/blobdir"
	"relpack/runner/internal/zodbtest"
)

func TestATwinIsAnotherFileOfTheRevisionInTheDirectorysLayout(t *testing.T) {
	everyLayout(t, func(t *testing.T, path, layout string) {
		blob(t, path, layout, 7, 0x100, 0x200)
		blob(t, path, otherThan(layout), 7, 0x100, 0x300)
		blob(t, path, otherThan(layout), 8, 0x100)
		dir := open(t, path)
		twin := func(zoid, tid int64, layout string) *blobdir.Found {
			t.Helper()
			found, err := dir.Twin(blobdir.Entry{Kind: blobdir.Revision, Zoid: zoid, Tid: tid, Layout: blobdir.Layout(layout)})
			if err != nil {
				t.Fatal(err)
			}
			return found
		}
		if found := twin(7, 0x100, otherThan(layout)); found == nil || found.Size != 10 || found.Layout != blobdir.Layout(layout) || found.Time.IsZero() {
			t.Errorf("%+v", found)
		}
		own, other := zodbtest.BlobPath(path, layout, 7, 0x200), zodbtest.BlobPath(path, otherThan(layout), 7, 0x200)
		if err := os.Link(own, other); err != nil {
			t.Fatal(err)
		}
		for why, found := range map[string]*blobdir.Found{
			"its own":         twin(7, 0x100, layout),
			"none":            twin(7, 0x300, otherThan(layout)),
			"none of 8":       twin(8, 0x100, otherThan(layout)),
			"not there":       twin(9, 0x100, otherThan(layout)),
			"by another path": twin(7, 0x200, otherThan(layout)),
		} {
			if found != nil {
				t.Errorf("%s: %+v", why, found)
			}
		}
		for _, marker := range []string{otherThan(layout), ""} {
			write(t, filepath.Join(path, ".layout"), marker)
			if marker == "" {
				if err := os.Remove(filepath.Join(path, ".layout")); err != nil {
					t.Fatal(err)
				}
			}
			if found := twin(7, 0x100, otherThan(layout)); found != nil {
				t.Errorf("marker %q: %+v", marker, found)
			}
		}
	})
}

func TestTwinsAreComparedByteByByte(t *testing.T) {
	everyLayout(t, func(t *testing.T, path, layout string) {
		long := bytes.Repeat([]byte("0123456789"), 80_000)
		changed := bytes.Clone(long)
		changed[len(changed)-1]++
		for i, c := range []struct {
			own, other []byte
			want       bool
		}{{long, long, true}, {long, changed, false}, {long, long[1:], false}, {long[1:], long, false}, {nil, nil, true}, {long[:256<<10], long[:256<<10], true},
			{long[:256<<10], long[:256<<10+1], false}} {
			zoid := int64(7 + i)
			if err := errors.Join(zodbtest.WriteBlob(path, layout, zoid, 0x100, c.own), zodbtest.WriteBlob(path, otherThan(layout), zoid, 0x100, c.other)); err != nil {
				t.Fatal(err)
			}
			below, _ := filepath.Rel(path, zodbtest.BlobPath(path, otherThan(layout), zoid, 0x100))
			same, err := open(t, path).SameContent(blobdir.Entry{Kind: blobdir.Revision, Path: below, Zoid: zoid, Tid: 0x100, Layout: blobdir.Layout(otherThan(layout))})
			if err != nil || same != c.want {
				t.Errorf("%d: %v, %v", i, same, err)
			}
		}
	})
}
