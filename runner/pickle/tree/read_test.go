package tree

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"relpack/runner/internal/zodbtest"
	"relpack/runner/pickle"
)

// refs are the references in a record, in ascending order.
func refs(r Record) []int64 {
	var found []int64
	for _, n := range []*Node{r.Class, r.State} {
		n.Walk(func(n *Node, _ int) bool {
			if n.Kind == Ref {
				found = append(found, n.Int)
			}
			return true
		})
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// compare wants the references that the scanner finds, in a record that it can read.
func compare(t *testing.T, name string, record []byte, all bool) {
	t.Helper()
	var s pickle.Scanner
	if s.Scan(record) != nil {
		_, _ = Read(record) // and survives it
		return
	}
	want := slices.Sorted(slices.Values(s.Refs()))
	r, err := Read(record)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	got := refs(r)
	if all && !slices.Equal(got, want) {
		t.Errorf("%s: references %v, want %v", name, got, want)
	}
	for _, ref := range got {
		if !slices.Contains(want, ref) {
			t.Errorf("%s: a reference to %d that the scanner does not find", name, ref)
		}
	}
	module, class := s.Class()
	if m, c := r.ClassName(); all && (m != string(module) || c != string(class)) {
		t.Errorf("%s: class %s.%s, want %s.%s", name, m, c, module, class)
	}
}

func fixtures(t testing.TB) map[string][]byte {
	t.Helper()
	file, err := os.Open("../testdata/records.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	found := map[string][]byte{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var f struct {
			Name     string `json:"name"`
			StateHex string `json:"state_hex"`
		}
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			t.Fatal(err)
		}
		record, err := hex.DecodeString(f.StateHex)
		if err != nil {
			t.Fatal(err)
		}
		found[f.Name] = record
	}
	if len(found) < 50 {
		t.Fatalf("only %d records", len(found))
	}
	return found
}

func TestTheTreeHasTheReferencesThatTheScannerFinds(t *testing.T) {
	t.Parallel()
	for name, record := range fixtures(t) {
		compare(t, name, record, strings.HasPrefix(name, "real/"))
		compare(t, name+", compressed", zodbtest.Compressed(record), false)
	}
}

func TestARecordThatIsCutOffIsAnErrorAndNoMore(t *testing.T) {
	t.Parallel()
	for name, record := range fixtures(t) {
		for n := 0; n < len(record) && n < 2000; n++ {
			compare(t, name, slices.Clip(record[:n]), false)
		}
	}
}

func TestRandomProgramsDoNoHarm(t *testing.T) {
	t.Parallel()
	parts := []string{"N", "(", "(", ")", "]", "}", "t", "t", "l", "d", "e", "e", "u", "a", "s", "b", "b", "R", "\x81", "\x92", "\x85", "\x86",
		"\x87", "0", "1", "2", "o", "im\nC\n", "cm\nC\n", "c_codecs\nencode\n", "ccopyreg\n_reconstructor\n", "\x8f", "\x90", "\x91", "\x93", "\x94",
		"\x97", "\x98", "q\x00", "q\x01", "r\x01\x00\x00\x00", "p3\n", "p-3\n", "h\x00", "h\x01", "j\x01\x00\x00\x00", "g3\n", "U\x01w",
		"\x8c\x01n", "Vm\\u0041\n", "S'a\\x00'\n", "S\n", "Sx\n", "Q", "P12345678\n", "P\n", "C\x08\x00\x00\x00\x00\x00\x00\x00\x07", "I01\n", "L12L\n",
		"\x8a\x00", "\x8a\x01\xff", "\x8b\x02\x00\x00\x00\xff\xff", "F1.5\n", "G\x3f\xf0\x00\x00\x00\x00\x00\x00", "K\x07", "J\xff\xff\xff\xff"}
	random := rand.New(rand.NewPCG(1, 2))
	for range 50_000 {
		var record []byte
		for range 2 {
			for range random.IntN(14) {
				record = append(record, parts[random.IntN(len(parts))]...)
			}
			record = append(record, '.')
		}
		compare(t, string(record), record, false)
	}
}

func TestARecordWithTooManyValuesIsLeftUnread(t *testing.T) {
	t.Parallel()
	for name, part := range map[string]string{
		"numbers": "N", "marks": "(", "the same value on the stack": "2", "the same value in a list": "h\x00a", "memo": "q\x01\x94"} {
		record := append([]byte("ca\nb\n.]q\x00"), bytes.Repeat([]byte(part), 20*MaxNodes/len(part))...)
		if _, err := Read(append(record, '.')); err == nil || !strings.Contains(err.Error(), "more than") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Read(make([]byte, MaxRecord+1)); err == nil {
		t.Error("a record of any length is read")
	}
	if _, err := Read(zodbtest.Compressed(make([]byte, MaxRecord+1))); err == nil {
		t.Error("a record may unpack to any length")
	}
}

// What refers to itself is walked once.
func TestAListThatContainsItselfIsWalkedOnce(t *testing.T) {
	t.Parallel()
	r, err := Read([]byte("ca\nb\n.]q\x00h\x00ah\x00a."))
	if err != nil {
		t.Fatal(err)
	}
	visits := 0
	r.State.Walk(func(*Node, int) bool { visits++; return true })
	if visits != 1 || len(r.State.Items) != 2 {
		t.Errorf("%d visits, %d items", visits, len(r.State.Items))
	}
	deep := append([]byte("ca\nb\n."), bytes.Repeat([]byte("]"), 100_000)...)
	deep = append(append(deep, bytes.Repeat([]byte("a"), 99_999)...), '.')
	if r, err = Read(deep); err != nil {
		t.Fatal(err)
	}
	visits = 0
	r.State.Walk(func(*Node, int) bool { visits++; return true })
	if visits != maxDepth+1 {
		t.Errorf("%d visits", visits)
	}
}
