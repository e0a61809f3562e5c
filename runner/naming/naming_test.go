package naming

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"relpack/runner/internal/zodbtest"
	"relpack/runner/pickle"
	"relpack/runner/pickle/tree"
)

// A shape is a record that ZODB wrote: see testdata/states.py.
type shape struct {
	Label  string           `json:"label"`
	Record string           `json:"record"`
	Names  map[int64]string `json:"names"` // by which Python found the objects
	Inner  bool             `json:"inner"` // it has references without a name
	Keys   int              `json:"keys"`  // so many objects are keys
}

func shapes(t *testing.T) []shape {
	t.Helper()
	text, err := os.ReadFile("testdata/states.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []shape
	if err := json.Unmarshal(text, &all); err != nil || len(all) < 25 {
		t.Fatalf("%d shapes, %v", len(all), err)
	}
	return all
}

func TestNamesAreThoseByWhichPythonFindsTheObjects(t *testing.T) {
	t.Parallel()
	for _, s := range shapes(t) {
		data, err := hex.DecodeString(s.Record)
		if err != nil {
			t.Fatal(err)
		}
		record, err := tree.Read(data)
		if err != nil {
			t.Fatalf("%s: %v", s.Label, err)
		}
		for zoid, want := range s.Names {
			place, _ := Find(record, zoid)
			if place.Name != want || place.Up != strings.Contains(want, "__parent__") {
				t.Errorf("%s: %+v, want %s", s.Label, place, want)
			}
		}
		var scanner pickle.Scanner
		if err := scanner.Scan(data); err != nil {
			t.Fatalf("%s: %v", s.Label, err)
		}
		inner, keys := false, 0
		for _, zoid := range scanner.Refs() {
			place, count := Find(record, zoid)
			if count == 0 || place.Name == "" && !place.Inner {
				t.Errorf("%s: zoid %d has no name", s.Label, zoid)
			}
			inner = inner || place.Inner
			if strings.HasPrefix(place.Name, "<key ") {
				keys++
			}
		}
		if inner != s.Inner || s.Keys > 0 && keys != s.Keys {
			t.Errorf("%s: inner references: %v, want %v; %d keys, want %d", s.Label, inner, s.Inner, keys, s.Keys)
		}
	}
}

func TestAnObjectHeldTwiceHasItsShallowestNameAndIsCounted(t *testing.T) {
	t.Parallel()
	for _, s := range shapes(t) {
		if s.Label != "twice" {
			continue
		}
		data, _ := hex.DecodeString(s.Record)
		record, _ := tree.Read(data)
		for zoid := range s.Names {
			if place, count := Find(record, zoid); place.Name != ".near" || count != 3 {
				t.Errorf("%+v, %d times", place, count)
			}
			if _, count := Find(record, zoid+1000); count != 0 {
				t.Error("an object is found that isn't there")
			}
		}
	}
}

func TestKeysAreOneLineThatHarmsNoTerminal(t *testing.T) {
	t.Parallel()
	for want, n := range map[string]*tree.Node{
		`'a\x1b[31m\nb'`:            {Kind: tree.Text, Text: []byte("a\x1b[31m\nb")},
		`'\u202e'`:                  {Kind: tree.Text, Text: []byte("\u202e")},
		`'ö'`:                       {Kind: tree.Text, Text: []byte("ö")},
		`b'\xff'`:                   {Kind: tree.Bytes, Text: []byte("\xff"), Int: 1},
		`'x'`:                       {Kind: tree.Bytes, Text: []byte("x"), Int: 1},
		`(1,)`:                      {Kind: tree.Tuple, Items: []*tree.Node{{Kind: tree.Int, Int: 1}}},
		`None`:                      {Kind: tree.None},
		`True`:                      {Kind: tree.Bool, Int: 1},
		`<zoid 7>`:                  {Kind: tree.Ref, Int: 7},
		`<m.?>`:                     {Kind: tree.Class, Module: []byte("m"), Text: []byte("\x07")},
		`1.5`:                       {Kind: tree.Number, Text: []byte("1.5")},
		`'` + long(59) + `…`:        {Kind: tree.Text, Text: []byte(long(1000))},
		`((((((…,),),),),),)`:       nested(20),
		`b'` + `\x00` + `k` + `\''`: {Kind: tree.Bytes, Text: []byte("\x00k'")},
	} {
		if got := Literal(n); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func long(n int) string { return strings.Repeat("y", n) }

func nested(depth int) *tree.Node {
	if depth == 0 {
		return &tree.Node{Kind: tree.None}
	}
	return &tree.Node{Kind: tree.Tuple, Items: []*tree.Node{nested(depth - 1)}}
}

// Somebody may have written any record.
func TestWhatContainsItselfHasNoEndlessName(t *testing.T) {
	t.Parallel()
	for _, record := range []string{
		"ca\nb\n.}q\x00U\x01ah\x00s.",              // a dictionary in itself
		"ca\nb\n.(U\x01ah\x00tq\x00.",              // a memo entry that is not there yet
		"ca\nb\n.]q\x00(h\x00h\x00h\x00e.",         // a list, three times in itself
		"cBTrees.OOBTree\nOOBTree\n.((((tttt.",     // a tree without anything
		"cBTrees.OOBTree\nOOBTree\n.((ttt.",        // and less
		"cBTrees.OOBTree\nOOBTree\n.)\x85N\x86.",   //
		"cBTrees.OOBTree\nOOTreeSet\n.))\x86.",     //
		"cBTrees.OOBTree\nOOBucket\n.(K\x01t\x85.", // a key without a value
		"ca\nb\n.cc\nd\n)\x81q\x00}U\x01xh\x00sb.", // an instance that has itself as an attribute
		"ca\nb\n." + strings.Repeat("(", 500) + "t" + strings.Repeat("t", 499) + ".",
	} {
		r, _ := tree.Read([]byte(record))
		if r.State == nil {
			continue
		}
		if place, count := Find(r, 1); count != 0 {
			t.Errorf("%q: %+v", record, place)
		}
	}
}

func TestRecordsOfPython2AndCompressedOnesHaveNamesToo(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{
		"Python 2":   zodbtest.RecordPy2(zodbtest.Document, 7, 8),
		"compressed": zodbtest.Compressed(zodbtest.Record(zodbtest.Document, 7, 8)),
		"odd":        zodbtest.Odd(zodbtest.Document, 7, 8),
	} {
		record, err := tree.Read(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if place, count := Find(record, 8); place.Name != ".ref1" || count != 1 {
			t.Errorf("%s: %+v, %d times", name, place, count)
		}
	}
	// An old mapping of Python 2, whose keys are str.
	old := "(cPersistence\nPersistentMapping\nNt.}U\x0a_container}(U\x04newsU\x08\x00\x00\x00\x00\x00\x00\x00\x07QU\x02\xff\x00U\x08\x00\x00\x00\x00\x00\x00\x00\x08Qus."
	record, err := tree.Read([]byte(old))
	if err != nil {
		t.Fatal(err)
	}
	for zoid, want := range map[int64]string{7: "['news']", 8: `[b'\xff\x00']`} {
		if place, _ := Find(record, zoid); place.Name != want {
			t.Errorf("%s, want %s", place.Name, want)
		}
	}
}
