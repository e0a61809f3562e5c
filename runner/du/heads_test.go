package du_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"relpack/runner/du"
	"relpack/runner/internal/program"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/inventory"
)

func (s storage) heads(t *testing.T, search du.Search) *inventory.Heads {
	t.Helper()
	search.Conn = s.conn
	heads, err := search.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return heads
}

func zoids(heads *inventory.Heads) []int64 {
	var all []int64
	for _, h := range heads.Largest {
		all = append(all, h.Zoid)
	}
	slices.Sort(all)
	return all
}

func TestWhatWasCutOffIsTheGarbageThatIsInNoOther(t *testing.T) {
	t.Parallel()
	blob := zodbtest.Record(zodbtest.Blob)
	s := newStorage(t, map[int64][]byte{
		0: record(1), 1: record(),
		// A folder that was in 1, with a BTree, a document and its blob, which refers to
		// the next; a catalog that has them too, and was deleted by itself.
		20: held(1, 21), 21: btree("OOBTree", 22), 22: bucket("OOBucket", false, 0, 23), 23: held(20, 24, 30), 24: blob,
		25: btree("IOBTree", 26), 26: bucket("IOBucket", true, 0, 23, 30),
		// A document that was in 1, and what is in it.
		30: held(1, 31), 31: held(30),
		// A document and a mapping that refer to each other.
		40: zodbtest.Record(zodbtest.Persistent, 41), 41: record(40),
		// What was in an object that is not stored, and two that name each other.
		50: held(99), 60: held(61, 61), 61: held(60),
	})
	heads := s.heads(t, du.Search{BlobSizes: func(_ context.Context, zoids, _ []int64, each func(zoid, bytes int64)) error {
		for _, zoid := range zoids {
			each(zoid, 1000)
		}
		return nil
	}})
	if got, want := zoids(heads), []int64{20, 25, 30, 41, 50, 60, 61}; !slices.Equal(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
	if h := heads.Largest[0]; h.Zoid != 20 || h.Objects != 5 || h.Blobs != 1 || h.BlobBytes == nil || *h.BlobBytes != 1000 {
		t.Errorf("%+v", h)
	}
	if h := s.heads(t, du.Search{}).Largest[0]; h.Zoid != 20 || h.Blobs != 1 || h.BlobBytes != nil || !strings.HasSuffix(h.String(), ", 1 blob of unknown size") {
		t.Errorf("%+v: %s", h, h)
	}
	var objects, count int64
	for _, c := range heads.Classes {
		objects += c.Objects
		count += c.Heads
	}
	if objects != 14 || count != 7 || heads.Classes[len(heads.Classes)-1].Class != "BTrees.IOBTree.IOBTree" {
		t.Errorf("%+v", heads.Classes)
	}
}

func TestClassesOfWhatWasCutOffThatAreNotListedAreCounted(t *testing.T) {
	t.Parallel()
	objects := map[int64][]byte{0: record()}
	for zoid := int64(10); zoid < 25; zoid++ {
		objects[zoid] = zodbtest.HeldRecord(zodbtest.Class{Module: "m", Name: fmt.Sprint("Folder", zoid)}, 0)
	}
	heads := newStorage(t, objects).heads(t, du.Search{})
	var text strings.Builder
	heads.WriteTo(func(label, format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) })
	if len(heads.Classes) != 10 || heads.Others == nil || heads.Others.Heads != 5 || heads.Others.Objects != 5 ||
		!strings.Contains(text.String(), "5 of other classes  with 5 objects, ") {
		t.Errorf("%+v: %s", heads, text.String())
	}
}

// Documents that nobody read are where the folder's BTree has them.
func TestFewStatesTellWhatWasCutOff(t *testing.T) {
	t.Parallel()
	objects := map[int64][]byte{0: record(1), 1: record(), 2: zodbtest.HeldRecord(zodbtest.Class{Module: "m", Name: "Folder"}, 1, 3), 3: btree("OOBTree", 4)}
	var documents []int64
	for zoid := int64(100); zoid < 200; zoid++ {
		documents = append(documents, zoid)
		objects[zoid] = held(2, zoid+1000)
		objects[zoid+1000] = held(zoid, zoid)
	}
	objects[4] = bucket("OOBucket", false, 0, documents...)
	s := newStorage(t, objects)
	if heads := s.heads(t, du.Search{States: 30}); heads.Guessed == 0 || len(heads.Classes) == 0 || heads.Largest[0].Zoid != 2 || heads.Largest[0].Objects < 103 {
		t.Errorf("%+v", heads)
	}
	if heads := s.heads(t, du.Search{}); heads.Guessed != 0 || len(heads.Largest) != 1 || heads.Largest[0].Objects != 203 {
		t.Errorf("%+v", heads)
	}
	if heads := s.heads(t, du.Search{Objects: 100}); heads != nil {
		t.Errorf("%+v", heads)
	}
}

// andMore ends a list of classes.
var andMore = regexp.MustCompile(`\n +and [0-9]+ more class(es)?\n`)

func TestADryRunAndStatusTellWhatWasCutOff(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	run := func(args ...string) program.Result {
		t.Helper()
		r := program.Run(t, append(args, "--dsn", s.DSN)...)
		if r.Code != 0 {
			t.Fatal(r)
		}
		return r
	}
	var packs []struct {
		CutOff      *inventory.Heads `json:"cut_off"`
		ChosenBlobs struct{ Blobs, Bytes, Known int64 }
	}
	if err := json.Unmarshal([]byte(run("pack", "--dry-run", "--days", "-1", "--json", "--blob-dir", s.BlobDir).Stdout), &packs); err != nil {
		t.Fatal(err)
	}
	heads := packs[0].CutOff
	var objects int64
	for _, c := range heads.Classes {
		objects += c.Objects
	}
	if objects != 744 || heads.Guessed != 0 || !slices.ContainsFunc(heads.Largest, func(h inventory.Head) bool {
		return h.Zoid == 1978 && h.Name == "plone/folder-3/folder-8" || h.Class == "zmodels.Folder" && strings.HasPrefix(h.Name, "plone/")
	}) {
		t.Errorf("%d objects: %+v", objects, heads)
	}
	var statuses []struct {
		Graph struct {
			CutOff *inventory.Heads `json:"cut_off"`
		}
	}
	if err := json.Unmarshal([]byte(run("status", "--json").Stdout), &statuses); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(statuses[0].Graph.CutOff, heads) {
		t.Errorf("status has %+v", statuses[0].Graph.CutOff)
	}
	if r := run("status"); !strings.Contains(r.Stdout, "cut off ") || !strings.Contains(r.Stdout, " zmodels.Folder  with ") || !andMore.MatchString(r.Stdout) {
		t.Error(r.Stdout)
	}
	// Without the directory nobody knows how long the files are.
	if r := run("pack", "--dry-run", "--days", "-1"); !strings.Contains(r.Stdout, " blobs of unknown size") || !andMore.MatchString(r.Stdout) {
		t.Error(r.Stdout)
	}
	if r := run("status"); !strings.Contains(r.Stdout, " blobs of unknown size") {
		t.Error(r.Stdout)
	}
	run("pack", "--days", "-1", "--blob-dir", s.BlobDir)
	if r := run("status"); strings.Contains(r.Stdout, "cut off ") {
		t.Error(r.Stdout)
	}
}

func TestADryRunTellsHowLongTheBlobsAreThatWouldGo(t *testing.T) {
	t.Parallel()
	s := newStorage(t, map[int64][]byte{0: record(), 2: zodbtest.Record(zodbtest.Blob), 3: zodbtest.Record(zodbtest.Blob)})
	var tid int64
	if err := s.conn.QueryRow(t.Context(), "SELECT max(tid) FROM object_state").Scan(&tid); err != nil {
		t.Fatal(err)
	}
	for _, zoid := range []int64{2, 3} {
		if err := zodbtest.StoreBlobChunks(t.Context(), s.conn, zoid, tid, make([]byte, 5000)); err != nil {
			t.Fatal(err)
		}
	}
	r := program.Run(t, "pack", "--dry-run", "--days", "-1", "--dsn", s.DSN)
	if !strings.Contains(r.Stdout, "2 blobs, 9.8 KiB of large objects") {
		t.Error(r)
	}
	s.commit(t, map[int64][]byte{0: record(0)}) // so that not all of it bears the highest tid
	r = program.Run(t, "pack", "--days", "-1", "--dsn", s.DSN)
	if !strings.Contains(r.Stdout, "of 9.8 KiB of the large objects of 2 deleted blobs can be used again after VACUUM of pg_largeobject") {
		t.Error(r)
	}
}
