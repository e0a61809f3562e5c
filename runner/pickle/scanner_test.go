package pickle

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

type fixture struct {
	Name    string
	State   string `json:"state_hex"`
	Refs    []int64
	RefsSet []int64 `json:"refs_set"`
	Expect  []int64
	Verdict string
	record  []byte
}

// fixtures returns the records of testdata/records.jsonl.
func fixtures(t testing.TB) []fixture {
	t.Helper()
	file, err := os.Open("testdata/records.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all []fixture
	for d := json.NewDecoder(file); d.More(); {
		var f fixture
		if err := d.Decode(&f); err != nil {
			t.Fatal(err)
		}
		if f.record, err = hex.DecodeString(f.State); err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	return all
}

// states returns the states of COPY files in text format.
func states(t testing.TB, names ...string) [][]byte {
	t.Helper()
	var all [][]byte
	for _, name := range names {
		file, err := os.Open("../testdata/small/" + name)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		unzipped, err := gzip.NewReader(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(unzipped)
		lines.Buffer(nil, 1<<24)
		for lines.Scan() {
			field := strings.Split(lines.Text(), "\t")[3]
			state, err := hex.DecodeString(strings.TrimPrefix(field, `\\x`))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, slices.Clip(state))
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func realStates(t testing.TB) [][]byte {
	return states(t, "object_state.copy.gz", "changes.copy.gz", "more-changes.copy.gz")
}

func TestEveryFixtureIsReadAsItsVerdictSays(t *testing.T) {
	var s Scanner
	for _, f := range fixtures(t) {
		err := s.Scan(f.record)
		switch {
		case f.Verdict == "sound" && err != nil:
			t.Errorf("%s: %v", f.Name, err)
		case f.Verdict == "sound" && !slices.Equal(sorted(s.Refs()), sorted(f.Expect)):
			t.Errorf("%s: refs %v, want %v", f.Name, s.Refs(), f.Expect)
		case f.Verdict == "sound" && f.Refs != nil && !slices.Equal(s.Refs(), distinct(f.Refs)):
			t.Errorf("%s: refs %v in another order than %v", f.Name, s.Refs(), f.Refs)
		case f.Verdict == "broken" && err == nil:
			t.Errorf("%s: no error, refs %v", f.Name, s.Refs())
		}
		if err != nil {
			t.Logf("%s (%s): %v: %v", f.Name, f.Verdict, err.(*Error).Kind, err)
		}
	}
}

func sorted(oids []int64) []int64 {
	oids = slices.Clone(oids)
	slices.Sort(oids)
	return oids
}

func distinct(oids []int64) (once []int64) {
	for _, oid := range oids {
		if !slices.Contains(once, oid) {
			once = append(once, oid)
		}
	}
	return once
}

func TestRealStatesAreReadAsTheOracleReadsThem(t *testing.T) {
	var s Scanner
	refs, named := 0, 0
	for _, state := range realStates(t) {
		if err := s.Scan(state); err != nil {
			t.Fatalf("%x: %v", state, err)
		}
		compare(t, &s, state)
		refs += len(s.Refs())
		if module, name := s.Class(); len(module) > 0 && len(name) > 0 {
			named++
		}
	}
	if refs == 0 || named != len(realStates(t)) {
		t.Errorf("%d refs, %d of %d with a class", refs, named, len(realStates(t)))
	}
}

// compare scans record with s and with a fresh scanner, and checks that both
// say what the oracle says.
func compare(t *testing.T, s *Scanner, record []byte) {
	t.Helper()
	kept := bytes.Clone(record)
	want := ask(record)
	var fresh Scanner
	for _, s := range []*Scanner{s, &fresh} {
		err := s.Scan(slices.Clip(record))
		if !bytes.Equal(record, kept) {
			t.Fatalf("the scanner wrote to its input %q", kept)
		}
		var e *Error
		errors.As(err, &e)
		if (err == nil) != (want.kind == 0) || e != nil && e.Kind != want.kind {
			t.Fatalf("%q:\nscanner: %v (%+v)\noracle: %v %v", record, err, e, want.kind, want.err)
		}
		module, name := s.Class()
		if want.module != "?" && (string(module) != want.module || string(name) != want.name) &&
			!strings.ContainsFunc(want.module+want.name, unusual) {
			t.Fatalf("%q:\nscanner: class %q %q\noracle: %q %q", record, module, name, want.module, want.name)
		}
		var few Scanner
		if m, c := few.ClassOf(record); s.data != nil && (!bytes.Equal(m, module) || !bytes.Equal(c, name)) {
			t.Fatalf("%q: class %q %q, alone %q %q", record, module, name, m, c)
		}
		if err != nil {
			if e.Offset < 0 || e.Offset > len(s.data) && s.data != nil {
				t.Fatalf("%q: offset %d", record, e.Offset)
			}
			continue
		}
		if !slices.Equal(s.Refs(), want.refs) || len(s.Foreign()) != want.foreign {
			t.Fatalf("%q:\nscanner: refs %v, foreign %d\noracle: %v, %d", record, s.Refs(), len(s.Foreign()), want.refs, want.foreign)
		}
		if at, broken := frame(s.data); broken != "" {
			t.Fatalf("%q: sound, yet %s at byte %d", record, broken, at)
		}
	}
}

// unusual: the class name may be spelled with escapes, which Class won't read.
func unusual(r rune) bool { return r > 0x7e || r < ' ' || r == '\\' }
