package blobdir_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"relpack/runner/blobdir"
	"relpack/runner/internal/zodbtest"
)

func TestABlobGoesWithLocksAndDirectory(t *testing.T) {
	everyLayout(t, func(t *testing.T, path, layout string) {
		blob(t, path, layout, 0x1a2b, 0x300)
		blob(t, path, layout, 0x1a2c, 0x300)
		write(t, zodbtest.BlobPath(path, layout, 0x1a2b, 0x300)+".lock", "")
		expect(t, remove(t, open(t, path), blobdir.Removal{Zoid: 0x1a2b, Tid: 0x300}), 1, 10)
		expectTree(t, inObject(t, path, layout, 0x1a2b))
		expectTree(t, inObject(t, path, layout, 0x1a2c), ".lock", "0x0300.blob")
		if _, err := os.Stat(zodbtest.ObjectDir(path, layout, 0x1a2b)); !os.IsNotExist(err) {
			t.Errorf("the object's directory is there: %v", err)
		}
	})
}

// They may be the live files of another storage in the same directory.
func TestOtherRevisionsStayAndAreNamed(t *testing.T) {
	everyLayout(t, func(t *testing.T, path, layout string) {
		blob(t, path, layout, 7, 0x100, 0x200, 0x300)
		for _, tid := range []int64{0x100, 0x200} {
			write(t, zodbtest.BlobPath(path, layout, 7, tid)+".lock", "")
		}
		removed := remove(t, open(t, path), blobdir.Removal{Zoid: 7, Tid: 0x200})
		expect(t, removed, 1, 10)
		slices.Sort(removed.Others)
		want := []string{zodbtest.BlobPath(path, layout, 7, 0x100), zodbtest.BlobPath(path, layout, 7, 0x300)}
		if !slices.Equal(removed.Others, want) {
			t.Errorf("%q stay, want %q", removed.Others, want)
		}
		expectTree(t, inObject(t, path, layout, 7), ".lock", "0x0100.blob", "0x0100.blob.lock", "0x0300.blob")
	})
}

func TestWithoutTheExactFileNothingGoes(t *testing.T) {
	everyLayout(t, func(t *testing.T, path, layout string) {
		blob(t, path, layout, 7, 0x100, 0x200, 0x400)
		before := tree(t, path)
		dir := open(t, path)
		expect(t, remove(t, dir, blobdir.Removal{Zoid: 7, Tid: 0x300}), 0, 0)     // another storage's directory
		expect(t, remove(t, dir, blobdir.Removal{Zoid: 8, Tid: 0x300}), 0, 0)     // no directory
		expect(t, remove(t, dir, blobdir.Removal{Zoid: 1<<40 + 7, Tid: 1}), 0, 0) // not even its parents
		expectTree(t, tree(t, path), before...)
	})
}

func TestARemovedBlobIsNoErrorTheSecondTime(t *testing.T) {
	everyLayout(t, func(t *testing.T, path, layout string) {
		blob(t, path, layout, 7, 0x100)
		dir := open(t, path)
		expect(t, remove(t, dir, blobdir.Removal{Zoid: 7, Tid: 0x100}), 1, 10)
		expect(t, remove(t, dir, blobdir.Removal{Zoid: 7, Tid: 0x100}), 0, 0)
	})
}

func TestForeignFilesStay(t *testing.T) {
	everyLayout(t, func(t *testing.T, path, layout string) {
		blob(t, path, layout, 7, 0x100, 0x200, 0x300)
		object := zodbtest.ObjectDir(path, layout, 7)
		foreign := []string{
			"0x0300.blob.lock", "0x0100.tmp", "0x0100.tmp-", "BUShy.tmp", "0x100.blob", "0x00000100.blob",
			"0x0A.blob", "0x.blob", ".blob", "0x0100.blob~", "0x0100.BLOB", "0xffffffffffffffff.blob",
			"0x000000000000000100.blob", "0100.blob", "0x0100.blob.lock.lock", "notes.txt",
		}
		for _, name := range foreign {
			write(t, filepath.Join(object, name), "")
		}
		write(t, filepath.Join(object, "0x0101.blob", "x"), "") // a directory
		expect(t, remove(t, open(t, path), blobdir.Removal{Zoid: 7, Tid: 0x200}), 1, 10)
		expectTree(t, inObject(t, path, layout, 7),
			append(foreign, ".lock", "0x0100.blob", "0x0300.blob", "0x0101.blob/", "0x0101.blob/x")...)
	})
}

func TestAFileBeingWrittenKeepsDirectoryAndLock(t *testing.T) {
	everyLayout(t, func(t *testing.T, path, layout string) {
		blob(t, path, layout, 7, 0x100)
		write(t, filepath.Join(zodbtest.ObjectDir(path, layout, 7), "BLOBxyz.tmp"), "")
		expect(t, remove(t, open(t, path), blobdir.Removal{Zoid: 7, Tid: 0x100}), 1, 10)
		expectTree(t, inObject(t, path, layout, 7), ".lock", "BLOBxyz.tmp")
	})
}

// The next one finds it again and leaves the same as an uninterrupted one.
func TestAnInterruptedRemovalIsFinishedByTheNext(t *testing.T) {
	everyLayout(t, func(t *testing.T, path, layout string) {
		dir := open(t, path)
		blob(t, path, layout, 7, 0x300)
		write(t, zodbtest.BlobPath(path, layout, 7, 0x300)+".lock", "")
		if aside, err := dir.SetAside(blobdir.Removal{Zoid: 7, Tid: 0x300}); err != nil || aside == nil {
			t.Fatal(aside, err)
		}
		expectTree(t, inObject(t, path, layout, 7), ".lock", "0x0300.blob.lock", "0x0300relpack_.tmp")
		if err := dir.Walk(func(e blobdir.Entry) error {
			if e.Kind != blobdir.Temporary {
				t.Errorf("%+v", e)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		expect(t, remove(t, dir, blobdir.Removal{Zoid: 7, Tid: 0x300}), 1, 10)
		expectTree(t, inObject(t, path, layout, 7))
	})
}

func TestAFileThatWasSetAsideComesBackAsItWas(t *testing.T) {
	everyLayout(t, func(t *testing.T, path, layout string) {
		blob(t, path, layout, 7, 0x300)
		write(t, zodbtest.BlobPath(path, layout, 7, 0x300)+".lock", "")
		before := tree(t, path)
		for _, another := range []bool{false, true} {
			aside, err := open(t, path).SetAside(blobdir.Removal{Zoid: 7, Tid: 0x300})
			if err != nil || aside == nil {
				t.Fatal(aside, err)
			}
			if another {
				write(t, zodbtest.BlobPath(path, layout, 7, 0x300), "another")
				before = tree(t, path)
			}
			if err := aside.PutBack(); err != nil {
				t.Error(err)
			}
			expectTree(t, tree(t, path), before...)
			text, err := os.ReadFile(zodbtest.BlobPath(path, layout, 7, 0x300))
			if want := map[bool]string{false: "0123456789", true: "another"}[another]; err != nil || string(text) != want {
				t.Errorf("%q, %v, want %q", text, err, want)
			}
		}
	})
}

// Each goes as if it were alone, the directory with the last one.
func TestSeveralRevisionsOfABlobAreSetAsideAndGo(t *testing.T) {
	everyLayout(t, func(t *testing.T, path, layout string) {
		blob(t, path, layout, 7, 0x100, 0x200, 0x300)
		dir := open(t, path)
		var asides []*blobdir.Aside
		for _, tid := range []int64{0x200, 0x100, 0x300} {
			aside, err := dir.SetAside(blobdir.Removal{Zoid: 7, Tid: tid})
			if err != nil || aside == nil {
				t.Fatal(aside, err)
			}
			asides = append(asides, aside)
		}
		for _, aside := range asides {
			if _, err := aside.Finish(); err != nil {
				t.Error(err)
			}
		}
		if _, err := os.Stat(zodbtest.ObjectDir(path, layout, 7)); !os.IsNotExist(err) {
			t.Errorf("the object's directory is there: %v", err)
		}
	})
}

func TestEmptyParentsGoOnlyFarBelowTheNewestObject(t *testing.T) {
	t.Parallel()
	const zoid, far = 0x123456, 65536 * 16
	tests := []struct {
		name   string
		newest int64
		stays  string // the deepest directory that stays
	}{
		{"the newest is unknown", 0, "0x00/0x00/0x00/0x00/0x00/0x12/0x34"},
		{"the newest is near", 0x1234ff + far, "0x00/0x00/0x00/0x00/0x00/0x12/0x34"},
		{"256 oids are just far enough", 0x1234ff + far + 1, "0x00/0x00/0x00/0x00/0x00/0x12"},
		{"65536 oids are not", 0x12ffff + far, "0x00/0x00/0x00/0x00/0x00/0x12"},
		{"65536 oids are", 0x12ffff + far + 1, "0x00/0x00/0x00/0x00/0x00"},
		{"16 million oids are not", 0xffffff + far, "0x00/0x00/0x00/0x00/0x00"},
		{"16 million oids are", 0xffffff + far + 1, "0x00/0x00/0x00/0x00"},
		{"everything is far below", 1<<62 + far, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := newBlobDir(t, zodbtest.Bushy)
			blob(t, path, zodbtest.Bushy, zoid, 0x100)
			expect(t, remove(t, open(t, path), blobdir.Removal{Zoid: zoid, Tid: 0x100, Newest: test.newest}), 1, 10)
			want := []string{".layout"}
			for dir := test.stays; dir != "" && dir != "."; dir = filepath.Dir(dir) {
				want = append(want, dir+"/")
			}
			expectTree(t, tree(t, path), want...)
		})
	}
}

func TestParentsWithOtherContentStay(t *testing.T) {
	t.Parallel()
	path := newBlobDir(t, zodbtest.Bushy)
	blob(t, path, zodbtest.Bushy, 0x123456, 0x100)
	blob(t, path, zodbtest.Bushy, 0x120000, 0x100)
	remove(t, open(t, path), blobdir.Removal{Zoid: 0x123456, Tid: 0x100, Newest: 1 << 60})
	expectTree(t, tree(t, filepath.Join(path, "0x00/0x00/0x00/0x00/0x00/0x12")),
		"0x00/", "0x00/0x00/", "0x00/0x00/.lock", "0x00/0x00/0x0100.blob")
}

func TestALawnLosesNoOtherDirectory(t *testing.T) {
	t.Parallel()
	path := newBlobDir(t, zodbtest.Lawn)
	blob(t, path, zodbtest.Lawn, 0x1a2b, 0x100)
	write(t, filepath.Join(path, "tmp", "x.tmp"), "")
	remove(t, open(t, path), blobdir.Removal{Zoid: 0x1a2b, Tid: 0x100, Newest: 1 << 60})
	expectTree(t, tree(t, path), ".layout", "tmp/", "tmp/x.tmp")
}
