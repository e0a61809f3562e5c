package interop

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// A line is what "relpack du --json" says of an object.
type line struct {
	Zoid    int64  `json:"zoid"`
	Class   string `json:"class"`
	Name    string `json:"name"`
	Bytes   int64  `json:"bytes"`
	Blobs   int64  `json:"blob_bytes"`
	Objects int64  `json:"objects"`
	Content []line `json:"content"`
}

// Folders and documents of a site like Plone's are as large as a walk from folder to
// folder finds them, with blobs as files and in the database.
func TestFoldersAreAsLargeAsAWalkThroughThemFinds(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]shape{"files": {files: true}, "database": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newSite(t, s)
			if err := os.CopyFS(w.dir, os.DirFS("../bench/realdata")); err != nil {
				t.Fatal(err)
			}
			where := []string{"--dsn", w.dsn}
			if s.files {
				where = append(where, "--blob-dir", filepath.Join(w.dir, "site-blobs"))
			}
			w.script("make_site.py", append(where, "--objects", "5000", "--blobs", "30", "--seed", "7")...)
			w.relpack("migrate", "up", w.config)
			w.relpack("pack", "--dry-run", w.config)
			var walked struct {
				Found   map[string][3]int64
				Reached int64
				Hidden  []int64
			}
			if err := json.Unmarshal([]byte(w.script("contents.py", where...)), &walked); err != nil {
				t.Fatal(err)
			}
			var reports []struct{ Top line }
			if err := json.Unmarshal([]byte(w.relpack("du", "--json", "--depth", "1000", "--max", "1000000", w.config)), &reports); err != nil {
				t.Fatal(err)
			}
			lines := map[int64]line{}
			collect(reports[0].Top, lines)
			folders := 0
			for oid, want := range walked.Found {
				zoid, _ := strconv.ParseInt(oid, 10, 64)
				l := lines[zoid]
				if got := [3]int64{l.Bytes, l.Blobs, l.Objects}; got != want || l.Name == "" {
					t.Errorf("%s %d %q has %v bytes of states, of blobs, and objects, want %v", l.Class, zoid, l.Name, got, want)
				}
				if l.Class == "site_models.Folder" {
					folders++
				}
			}
			if len(walked.Hidden) > 0 || len(walked.Found) < 500 || folders < 10 || reports[0].Top.Objects != walked.Reached {
				t.Errorf("%d folders and documents, %d folders, %v hidden; %d objects, want %d", len(walked.Found), folders, walked.Hidden, reports[0].Top.Objects, walked.Reached)
			}
		})
	}
}

func collect(l line, into map[int64]line) {
	into[l.Zoid] = l
	for _, below := range l.Content {
		collect(below, into)
	}
}
