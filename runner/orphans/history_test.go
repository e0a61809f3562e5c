package orphans_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/orphans"
	"relpack/runner/target"
)

// newHistoryShelf is an album after a pack that does not know the directory, and files of
// many kinds.
func newHistoryShelf(t *testing.T, gc bool) (*shelf, packtest.Album) {
	t.Helper()
	a := packtest.NewHistoryAlbum(t, zodbtest.Bushy, gc)
	s := &shelf{Target: a.Target, t: t, conn: a.Conn, layout: a.Layout, now: time.Now(), files: map[string]string{}}
	for _, tid := range []int64{a.First, a.Second, a.Now} {
		s.write(a.Layout, 2, tid, 20*day, "stored")
	}
	s.write(a.Layout, 3, a.First, 20*day, "stored")
	s.write(a.Layout, 4, a.First, 20*day, "stored")
	blobs := s.BlobDir
	a.BlobDir = ""
	packtest.PackWithGrace(t, a.Target, 5)
	a.BlobDir = blobs
	s.files[s.below(2, a.First, a.Layout)] = "listed"
	if gc {
		s.files[s.below(3, a.First, a.Layout)] = "listed"
	}
	return s, a
}

func TestFilesOfAHistoryAreListedByTheRowsOfTheirRevisions(t *testing.T) {
	t.Parallel()
	for _, gc := range []bool{true, false} {
		t.Run(fmt.Sprintf("pack-gc %t", gc), func(t *testing.T) {
			t.Parallel()
			s, a := newHistoryShelf(t, gc)
			packtest.Run(t, a.Conn, "DELETE FROM object_state WHERE zoid = 2 AND tid = $1", a.Second)
			s.files[s.below(2, a.Second, a.Layout)] = "missing" // what came after it can be undone
			s.write(a.Layout, 2, a.First+4, 20*day, "unnamed")
			s.write(a.Layout, 2, a.First+3, 20*day, "unnamed")
			s.write(a.Layout, 1, a.First-5, 20*day, "foreign")
			s.write(a.Layout, 4, a.First+7, 20*day, "newer")
			s.write(a.Layout, 4, a.Now+7, 20*day, "above")
			s.put("tmp/BUCx0_z1a2b", 2*day, "temporary")
			gone, twin, live, needless := "gone", "duplicate", int64(2), int64(4)
			if !gc {
				gone, twin, live, needless = "unjudged", "other_layout", 3, 3 // all that is stored is needed
			}
			s.write(zodbtest.Lawn, 4, a.First, 20*day, twin)
			s.write(a.Layout, 9, a.First, 20*day, gone)
			month := s.now.Add(30 * day)
			r := s.expectKinds(orphans.Options{Days: 0.5, Now: month}, nil)
			if r.Found != live || r.Missing > 0 || r.Orphans.Files != needless || r.Orphans.Bytes != 7*needless || r.Outcome != "listed" {
				t.Errorf("%+v", r)
			}
			var text strings.Builder
			if err := r.Write(&text); err != nil {
				t.Error(err)
			}
			packtest.ExpectWords(t, text.String(), "revisions that no row names: 2 files, 14 B", "listed for packs, which remove them")
			// What took its place came within the grace.
			s.expectKinds(orphans.Options{Days: 4, Now: month}, map[string]string{"unnamed": "young", "temporary": "temporary"})
			s.expectThere()
		})
	}
}

func TestFilesOfAHistoryAreListedWhereTheFileSaysThatGarbageStays(t *testing.T) {
	t.Parallel()
	for _, history := range []bool{true, false} {
		s := newShelf(t, zodbtest.Bushy)
		if history {
			s, _ = newHistoryShelf(t, false)
		}
		path := filepath.Join(t.TempDir(), "site.conf")
		text := fmt.Sprintf("<relstorage>\npack-gc false\nshared-blob-dir true\nblob-dir %s\n<postgresql>\ndsn %s\n</postgresql>\n</relstorage>\n", s.BlobDir, s.DSN)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		targets, err := target.Targets(path, "", "")
		if err != nil {
			t.Fatal(err)
		}
		s.Target = targets[0]
		r, err := s.look(orphans.Options{})
		if !history {
			packtest.ExpectRefusal(t, err, "pack-gc is false")
		} else if err != nil || r.Found != 4 {
			t.Errorf("%+v, %v", r, err)
		}
		_, err = s.look(orphans.Options{Remove: true, Claim: true})
		packtest.ExpectRefusal(t, err, "pack-gc is false")
	}
}

func TestARevisionOfAHistoryWithoutItsFileIsMissed(t *testing.T) {
	t.Parallel()
	s, a := newHistoryShelf(t, true)
	if r, err := s.look(orphans.Options{}); err != nil || r.Found != 3 || r.Missing != 0 || r.Doubt != "" {
		t.Errorf("%+v, %v", r, err)
	}
	for _, tid := range []int64{a.Second, a.Now} {
		if err := os.Remove(zodbtest.BlobPath(a.BlobDir, a.Layout, 2, tid)); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := s.look(orphans.Options{}); err != nil || r.Found != 1 || r.Missing != 1 || r.MissingOlder != 0 || !slices.Contains(r.FirstMissing, 2) {
		t.Errorf("%+v, %v", r, err)
	}
}
