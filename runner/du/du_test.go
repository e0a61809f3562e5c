package du_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"relpack/runner/du"
	"relpack/runner/fault"
	"relpack/runner/internal/zodbtest"
)

// All that is reachable is somewhere, once.
func TestTheSampleIsListedAsAWhole(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	r := s.measure(t, du.Options{})
	var want du.Sum
	if err := s.conn.QueryRow(t.Context(), "SELECT count(*), sum(octet_length(state)) FROM object_state JOIN relpack.object USING (zoid) WHERE parent IS NOT NULL").
		Scan(&want.Objects, &want.States); err != nil {
		t.Fatal(err)
	}
	var own int64
	all := lines(r)
	for _, l := range all {
		own += l.Own
		sum := du.Sum{States: l.Own, Objects: 1, Blobs: l.Blobs}
		for _, below := range l.Content {
			sum.States += below.States
			sum.Objects += below.Objects
		}
		if l.Parts != nil {
			sum.States += l.Parts.States
			sum.Objects += l.Parts.Objects
		}
		if sum != l.Sum {
			t.Errorf("zoid %d: %+v, but what is in it is %+v", l.Zoid, l.Sum, sum)
		}
	}
	if r.Top.States != want.States || r.Top.Objects != want.Objects || own > want.States || own < want.States/2 || r.Unreachable.Objects != 744 {
		t.Errorf("%+v, want %+v; %d bytes are listed", r.Top.Sum, want, own)
	}
	if r.Blobs.Known != 40-4 && r.Blobs.Known+r.Blobs.Unknown == 0 {
		t.Errorf("%+v", r.Blobs)
	}
	site := all[1]
	if site.in != 0 || site.Name != "['plone']" || site.Class != "zmodels.Site" {
		t.Errorf("%+v", site.Line)
	}
	// A folder of the sample, a document in it, and what hangs on that.
	if l := all[4011]; l.in != 4009 || l.Name != "._tree['doc-852-g>-ull']" || l.Objects < 4 || l.Blobs == 0 {
		t.Errorf("%+v", l.Line)
	}
	if l := all[4648]; l.in != 4639 || l.Name != "._blob" || l.Class != "ZODB.blob.Blob" {
		t.Errorf("%+v", l.Line)
	}
	for zoid, l := range all {
		if l.Name == "" {
			t.Errorf("zoid %d of class %s has no name in %d", zoid, l.Class, l.in)
		}
	}
}

func TestWhatDoesNotFitIntoMemoryIsTheSame(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	memory, file := s.measure(t, du.Options{Max: 100}), s.measure(t, du.Options{Max: 100, Pages: 2})
	if !reflect.DeepEqual(memory.Top, file.Top) {
		t.Error("the reports differ")
	}
}

func TestClassesAreThoseOfTheView(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	r := s.measure(t, du.Options{ByClass: true, Sort: du.ByStates})
	rows, err := s.conn.Query(t.Context(), "SELECT class, objects, bytes FROM relpack.size_by_class")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]du.Sum{}
	for rows.Next() {
		var class string
		var sum du.Sum
		if err := rows.Scan(&class, &sum.Objects, &sum.States); err != nil {
			t.Fatal(err)
		}
		want[class] = sum
	}
	if len(want) < 20 || len(r.ByClass) != len(want) || r.OtherClasses.Count != 0 {
		t.Errorf("%d classes, want %d", len(r.ByClass), len(want))
	}
	for i, c := range r.ByClass {
		c.Blobs = 0
		if c.Sum != want[c.Class] || i > 0 && c.States > r.ByClass[i-1].States {
			t.Errorf("%+v, want %+v", c, want[c.Class])
		}
	}
	folder := s.measure(t, du.Options{ByClass: true, Zoid: 4009, Max: 3})
	count := folder.OtherClasses.Objects
	for _, c := range folder.ByClass {
		count += c.Objects
	}
	if len(folder.ByClass) != 3 || count != folder.Top.Objects || !strings.HasPrefix(folder.Top.Name, "root['plone']") {
		t.Errorf("%+v: %d objects", folder.Top, count)
	}
}

func TestOnlyTheLargestAreListedAndAllAreCounted(t *testing.T) {
	t.Parallel()
	s := newStorage(t, map[int64][]byte{0: record(1, 2, 3, 4), 1: record(5, 6, 7), 2: zodbtest.PaddedRecord(zodbtest.Document, 1000),
		3: record(), 4: record(), 5: record(), 6: record(), 7: record()})
	r := s.measure(t, du.Options{Max: 2, Depth: 1, Sort: du.ByObjects})
	c := r.Top.Content
	if len(c) != 2 || c[0].Zoid != 1 || c[0].Objects != 4 || len(c[0].Content) != 0 || r.Top.Others.Count != 2 || r.Top.Others.Objects != 2 {
		t.Errorf("%+v", r.Top)
	}
	if r = s.measure(t, du.Options{Max: 1, Sort: du.BySize}); r.Top.Content[0].Zoid != 2 {
		t.Errorf("%+v", r.Top.Content[0])
	}
}

func TestAnObjectThatIsNotAliveCanNotBeMeasured(t *testing.T) {
	t.Parallel()
	s := newStorage(t, map[int64][]byte{0: record(1), 1: record(), 10: record()})
	if _, err := s.try(t, du.Options{Zoid: 10}); err == nil || !strings.Contains(fault.Message(err), `"relpack why 10"`) {
		t.Error(err)
	}
}

func TestWhileTheGraphIsBeingChangedNothingIsMeasured(t *testing.T) {
	t.Parallel()
	s := newStorage(t, map[int64][]byte{0: record(1), 1: record()})
	s.run(t, "INSERT INTO relpack.suspect (zoid, stage) VALUES (1, 'climb')")
	if _, err := s.try(t, du.Options{}); fault.ExitCode(err) != fault.ExitFailure || !strings.Contains(fault.Message(err), "the graph is being changed") {
		t.Error(err)
	}
}

func TestARowThatVanishedHoldsItsContentAndTakesNoSpace(t *testing.T) {
	t.Parallel()
	s := newStorage(t, map[int64][]byte{0: record(1), 1: record(2), 2: record()})
	s.run(t, "DELETE FROM object_state WHERE zoid = 1")
	s.try(t, du.Options{}) // before a pack knows
	if _, err := s.conn.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	s.pack(t)
	r := s.measure(t, du.Options{})
	expectIn(t, r, map[int64]int64{1: 0, 2: 1})
	if l := lines(r)[1]; r.Top.Objects != 2 || l.Own != 0 || l.Objects != 1 {
		t.Errorf("%+v, %+v", r.Top, l.Line)
	}
}

func TestATableForPeople(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	var text strings.Builder
	r := s.measure(t, du.Options{Depth: 2, Max: 2})
	if err := r.Write(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"on disk ", "unreachable  744 objects, 333 KiB", "  root  (zoid 0 ", "    ['plone']  (zoid 1 zmodels.Site)\n", " more)\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	r.Uncertain = "reachable objects can't be decoded"
	text.Reset()
	if err := r.Write(&text); err != nil || !strings.Contains(text.String(), "may be unreachable  744 objects") {
		t.Errorf("%v: %s", err, text.String())
	}
}

func TestABlobHasTheSizeOfItsFile(t *testing.T) {
	t.Parallel()
	s := newStorage(t, map[int64][]byte{0: record(1), 1: record(2, 3), 2: zodbtest.Record(zodbtest.Blob), 3: zodbtest.Record(zodbtest.Blob)})
	s.BlobDir = t.TempDir()
	if err := zodbtest.NewBlobDir(s.BlobDir, "lawn"); err != nil {
		t.Fatal(err)
	}
	var tid int64
	if err := s.conn.QueryRow(t.Context(), "SELECT max(tid) FROM object_state").Scan(&tid); err != nil {
		t.Fatal(err)
	}
	if err := zodbtest.WriteBlob(s.BlobDir, "lawn", 2, tid, make([]byte, 12345)); err != nil {
		t.Fatal(err)
	}
	r := s.measure(t, du.Options{})
	if l := lines(r)[1]; l.Blobs != 12345 || r.Top.Blobs != 12345 || r.Blobs.Known != 1 || r.Blobs.Unknown != 1 || r.Blobs.Where != "files" {
		t.Errorf("%+v, %+v", l.Line, r.Blobs)
	}
	// A link to another place within the directory is followed.
	dir := zodbtest.ObjectDir(s.BlobDir, "lawn", 2)
	if err := os.Symlink(filepath.Base(dir), zodbtest.ObjectDir(s.BlobDir, "lawn", 3)); err != nil {
		t.Fatal(err)
	}
	if r = s.measure(t, du.Options{}); r.Top.Blobs != 2*12345 {
		t.Errorf("%+v", r.Blobs)
	}
	// What can't be looked at keeps nobody from seeing the rest.
	if err := errors.Join(os.Remove(zodbtest.ObjectDir(s.BlobDir, "lawn", 3)), os.WriteFile(zodbtest.ObjectDir(s.BlobDir, "lawn", 3), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	r = s.measure(t, du.Options{})
	var table strings.Builder
	if err := r.Write(&table); err != nil || r.Top.Blobs != 12345 || r.Blobs.Known != 1 || !strings.Contains(table.String(), "no file of 1 live blob was found: size 0; an error: ") {
		t.Errorf("%v: %+v: %s", err, r.Blobs, table.String())
	}
	s.BlobDir += "/gone"
	r = s.measure(t, du.Options{})
	var text strings.Builder
	if err := r.Write(&text); err != nil || r.Top.Objects != 4 || r.Blobs.Where != "" ||
		!strings.Contains(text.String(), "sizes not known: blob directory "+s.BlobDir+" does not exist. Mount it or correct blob-dir") {
		t.Errorf("%v: %+v: %s", err, r.Blobs, text.String())
	}
	if known, unknown := jsonSizes(t, s.measure(t, du.Options{Zoid: 1})); known > 0 || unknown < 4 {
		t.Errorf("%d sizes of blobs are told, %d are null", known, unknown)
	}
	s.BlobDir = filepath.Dir(s.BlobDir)
	if known, unknown := jsonSizes(t, s.measure(t, du.Options{Zoid: 1})); known < 4 || unknown > 0 {
		t.Errorf("%d sizes of blobs are told, %d are null", known, unknown)
	}
}

// jsonSizes counts sizes of blobs in JSON that are numbers, and that are null.
func jsonSizes(t *testing.T, r *du.Report) (known, unknown int) {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	unknown = strings.Count(string(text), `"blob_bytes":null`)
	return strings.Count(string(text), `"blob_bytes":`) - unknown, unknown
}

// What names a holder that does not refer to it has no name there.
func TestWhatANameThatIsNotKnownMeansIsSaidOnce(t *testing.T) {
	t.Parallel()
	for names, want := range map[string]int{"['plone']": 0, "": 1} {
		line := func() *du.Line { return &du.Line{Name: names, Content: []*du.Line{}} }
		top := &du.Line{Name: "root", Content: []*du.Line{{Name: ".a", Content: []*du.Line{line(), line()}}}}
		var text strings.Builder
		if err := (&du.Report{Top: top}).Write(&text); err != nil || strings.Count(text.String(), `The name ? is of an object whose holder does not refer to it: "relpack why ZOID" says what keeps it.`) != want {
			t.Errorf("%v: %s", err, text.String())
		}
	}
}
