package naming

import (
	"encoding/binary"
	"encoding/hex"
	"testing"

	"relpack/runner/internal/zodbtest"
	"relpack/runner/pickle"
	"relpack/runner/pickle/tree"
)

// named is what the attribute __parent__ of a record refers to, as the tree has it.
func named(data []byte) (int64, bool) {
	record, err := tree.Read(data)
	if err != nil {
		return 0, false
	}
	if n := Attribute(record, "__parent__"); n != nil && n.Kind == tree.Ref {
		return n.Int, true
	}
	return 0, false
}

func TestTheScannerFindsTheHolderThatTheTreeHas(t *testing.T) {
	t.Parallel()
	var scanner pickle.Scanner
	found := 0
	compare := func(name string, data []byte) {
		want, has := named(data)
		got, ok := scanner.Holder(data)
		if ok != has || ok && got != want {
			t.Errorf("%s: %d, %v, want %d, %v", name, got, ok, want, has)
		}
		if ok {
			found++
		}
	}
	for _, s := range shapes(t) {
		data, _ := hex.DecodeString(s.Record)
		compare(s.Label, data)
	}
	states, err := zodbtest.SampleStates()
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range states {
		compare("the sample's", data)
	}
	compare("compressed", zodbtest.Compressed(zodbtest.HeldRecord(zodbtest.Document, 9, 7, 8)))
	compare("with references", zodbtest.HeldRecord(zodbtest.Document, 9, 7, 8))
	if found < 1000 {
		t.Errorf("only %d records have a holder", found)
	}
}

func TestOddHoldersAreNone(t *testing.T) {
	t.Parallel()
	oid := func(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }
	const class, parent = "cm\nD\n.", "X\x0a\x00\x00\x00__parent__"
	ref := func(n uint64) string { return "C\x08" + oid(n) + "cm\nF\n\x86Q" }
	var scanner pickle.Scanner
	for name, c := range map[string]struct {
		record string
		want   int64
	}{
		"a number":                           {class + "}(" + parent + "K\x07u.", -1},
		"None":                               {class + "}(" + parent + "Nu.", -1},
		"one item":                           {class + "}" + parent + ref(7) + "s.", 7},
		"the second of two":                  {class + "}(" + parent + ref(7) + parent + ref(8) + "u.", 8},
		"None after one":                     {class + "}(" + parent + ref(7) + parent + "Nu.", -1},
		"from the memo":                      {class + "}(X\x01\x00\x00\x00a" + ref(7) + "q\x00" + parent + "h\x00u.", 7},
		"of Python 2, protocol 0":            {"cm\nD\np1\n.(dp2\nS'__parent__'\nP" + "\x00\x00\x00\x00\x00\x00\x00\x07\ns.", 7},
		"weak":                               {class + "}(" + parent + "](X\x01\x00\x00\x00wC\x08" + oid(7) + "\x85eQu.", -1},
		"another database's":                 {class + "}(" + parent + "](X\x01\x00\x00\x00n(X\x01\x00\x00\x00dC\x08" + oid(7) + "teQu.", -1},
		"in a dictionary of the object's":    {class + "}(X\x01\x00\x00\x00d}(" + parent + ref(7) + "uu.", -1},
		"in the class's arguments":           {"cm\nD\n}(" + parent + ref(7) + "u\x86.}.", -1},
		"the word alone":                     {class + "}(X\x01\x00\x00\x00a" + parent + "u.", -1},
		"cut off":                            {class + "}(" + parent + ref(7), -1},
		"behind another reference in a list": {class + "}(X\x01\x00\x00\x00a](" + ref(5) + ref(6) + "e" + parent + ref(7) + "u.", 7},
	} {
		got, ok := scanner.Holder([]byte(c.record))
		if ok != (c.want >= 0) || ok && got != c.want {
			t.Errorf("%s: %d, %v, want %d", name, got, ok, c.want)
		}
	}
}
