package blobdir_test

import (
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"relpack/runner/blobdir"
)

// The real directory: 40 blobs with 60 files, written by ZODB.
func TestARealBlobDirectoryIsRemovedWhole(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	sample(t, path)
	revisions := map[int64][]int64{} // of each blob
	var bytes int64
	err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".blob" {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		bytes += info.Size()
		relative, err := filepath.Rel(path, filepath.Dir(name))
		if err != nil {
			return err
		}
		zoid := hexadecimal(t, strings.NewReplacer("0x", "", string(filepath.Separator), "").Replace(relative))
		tid := hexadecimal(t, strings.TrimSuffix(strings.TrimPrefix(entry.Name(), "0x"), ".blob"))
		revisions[zoid] = append(revisions[zoid], tid)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(revisions) != 40 {
		t.Fatalf("%d blobs in the sample", len(revisions))
	}

	dir := open(t, path)
	var (
		group sync.WaitGroup
		mutex sync.Mutex
		total blobdir.Removed
	)
	for zoid, tids := range revisions {
		group.Go(func() {
			for _, tid := range tids {
				removed, err := removeAt(dir, blobdir.Removal{Zoid: zoid, Tid: tid, Newest: 5000})
				mutex.Lock()
				total.Files += removed.Files
				total.Bytes += removed.Bytes
				mutex.Unlock()
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	expect(t, total, 60, bytes)
	for _, name := range tree(t, path) {
		if depth := strings.Count(name, "/"); name != ".layout" && depth > 7 {
			t.Errorf("%s is left", name)
		}
	}
}

func hexadecimal(t *testing.T, digits string) int64 {
	t.Helper()
	value, err := strconv.ParseInt(digits, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}
