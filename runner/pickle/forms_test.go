package pickle

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestPersistentIdsOfEveryFormAndSpelling(t *testing.T) {
	big := "\x00\x00\x00\x00\x00\x00\x00"
	for _, c := range []struct {
		name, state string
		refs        []int64
		foreign     int
	}{
		{"oid", seven + "Q", []int64{7}, 0},
		{"tuple", seven + "cm\nC\n\x86Q", []int64{7}, 0},
		{"tuple from a mark", "(" + seven + "cm\nC\ntQ", []int64{7}, 0},
		{"tuple of one", seven + "\x85Q", []int64{7}, 0},
		{"tuple of three", seven + "NN\x87Q", []int64{7}, 0},
		{"weak", "](U\x01w" + seven + "\x85eQ", nil, 0},
		{"weak by APPEND", "]U\x01wa" + seven + "\x85aQ", nil, 0},
		{"weak by LIST", "(U\x01w" + seven + "\x85lQ", nil, 0},
		{"weak in another database", "](X\x01\x00\x00\x00w" + seven + "U\x01d\x86eQ", nil, 0},
		{"weak, oldest form", "]" + seven + "aQ", nil, 0},
		{"weak, filled through the memo", "]q\x00]0h\x00U\x01wa0h\x00" + seven + "\x85ah\x00Q", nil, 0},
		{"foreign n", "](\x8c\x01nU\x01d" + seven + "\x86eQ", nil, 1},
		{"foreign m, twice", "](Vm\n(U\x01d" + seven + "Nteq\x00Qh\x00Q", nil, 2},
		{"foreign, letter with an escape", "](S'\\x6e'\nU\x01d" + seven + "\x86eQ", nil, 1},

		{"BINBYTES8", "\x8e\x08" + big + big + "\x07Q", []int64{7}, 0},
		{"BINUNICODE8", "\x8d\x08" + big + "\x00\x00\x00\x00\x00\x00\x00\x07Q", []int64{7}, 0},
		{"SHORT_BINUNICODE", "\x8c\x08" + big + "\x07Q", []int64{7}, 0},
		{"BINUNICODE", "X\x08\x00\x00\x00" + big + "\x07Q", []int64{7}, 0},
		{"BINSTRING", "T\x08\x00\x00\x00" + big + "\x07Q", []int64{7}, 0},
		{"STRING with octal escapes", "S'\\0\\00\\000\\0\\0\\0\\0\\7'\nQ", []int64{7}, 0},
		{"STRING with letters", "S'\\0\\0\\a\\b\\t\\n\\v\\f'\nQ", []int64{0x0708090a0b0c}, 0},
		{"STRING with an escape that isn't one", "S'\\0\\0\\0\\0\\0\\0\\q'\nQ", []int64{0x5c71}, 0},
		{"STRING with quotes", "S'\\0\\0\\0\\0\\0\\\\\\'\"'\nQ", []int64{0x5c2722}, 0},
		{"UNICODE", "V\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\U00000007\nQ", []int64{7}, 0},
		{"UNICODE with backslashes", "V\\\\u00417\nQ", []int64{0x5c5c753030343137}, 0},
		{"bytes as Python 3 writes them in protocol 2",
			"c_codecs\nencode\nq\x00X\x0a\x00\x00\x00" + big[:6] + "\xc2\x80\xc3\xbfX\x06\x00\x00\x00latin1q\x01\x86q\x02Rq\x03cm\nC\n\x86Q", []int64{0x80ff}, 0},
		{"the same in protocol 1, through the memo",
			"c_codecs\nencode\nq\x00(X\x08\x00\x00\x00" + big + "\x07X\x06\x00\x00\x00latin1q\x01tq\x02Rq\x03Qh\x00(X\x08\x00\x00\x00" + big + "\x08h\x01tRQh\x03Q", []int64{7, 8}, 0},
		{"the same in protocol 0",
			"c_codecs\nencode\np0\n(V\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\xe9\\u000a\np1\nVlatin1\np2\ntp3\nRp4\nQ", []int64{0xe90a}, 0},
		{"weak, oldest form, in protocol 2", "]c_codecs\nencode\nX\x08\x00\x00\x00" + big + "\x07X\x06\x00\x00\x00latin1\x86RaQ", nil, 0},
		{"PERSID", "P\x00\x00\x00\x00\x00\x00\x00\x07\n", []int64{7}, 0},

		{"memo by GET", seven + "p5\ng5\nQ", []int64{7}, 0},
		{"memo by LONG_BINGET", seven + "r\xff\xff\xff\xffj\xff\xff\xff\xffQ", []int64{7}, 0},
		{"memo by MEMOIZE", "N\x94" + seven + "\x940h\x01Q", []int64{7}, 0},
		{"MEMOIZE counts entries", seven + "r\x00\x00\x00\x80N\x94h\x01j\x00\x00\x00\x80Q", []int64{7}, 0},
		{"MEMOIZE after a gap is closed", "Nq\x00q\x02q\x01q\x02" + seven + "\x94h\x03Q", []int64{7}, 0},
		{"memo entry stored anew", "Nq\x00" + seven + "q\x00h\x00Q", []int64{7}, 0},
		{"object of a persistent id in the memo", seven + "Qq\x00h\x00", []int64{7}, 0},

		{"DUP", seven + "2QQ2", nil, -1},
		{"DUP and POP", seven + "2Q0Q", []int64{7}, 0},
		{"POP of a mark", seven + "(0Q", []int64{7}, 0},
		{"POP_MARK", seven + "(NN1Q", []int64{7}, 0},
		{"INST", "(" + seven + "Qim\nC\n", []int64{7}, 0},
		{"OBJ", "(cm\nC\n" + seven + "Qo", []int64{7}, 0},
		{"NEWOBJ", "cm\nC\n" + seven + "Q\x85\x81", []int64{7}, 0},
		{"NEWOBJ_EX", "cm\nC\n)}X\x01\x00\x00\x00k" + seven + "Qs\x92", []int64{7}, 0},
		{"REDUCE and BUILD", "cm\nC\n)R" + seven + "Qb", []int64{7}, 0},
		{"sets", "\x8f(" + seven + "Q\x90(K\x01\x91", nil, -1},
		{"sets in a tuple", "\x8f(" + seven + "Q\x90(K\x01\x91\x86", []int64{7}, 0},
		{"dictionaries", "(U\x01k" + seven + "Qd(U\x01l" + seven + "Qu", []int64{7}, 0},
		{"extension codes", "(\x82\x01\x83\x01\x00\x84\x01\x00\x00\x00" + seven + "Qt", []int64{7}, 0},
		{"numbers", "(I01\nL1L\nF1.5\n\x8a\x01\x01\x8b\x01\x00\x00\x00\x01J\x01\x02\x03\x04G12345678" + seven + "Qt", []int64{7}, 0},
		{"buffers", "(\x96\x01\x00\x00\x00\x00\x00\x00\x00Q\x97\x98B\x01\x00\x00\x00Q" + seven + "Qt", []int64{7}, 0},
		{"frame", "\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00" + seven + "Q", []int64{7}, 0},
		{"the highest oid", "C\x08\x7f\xff\xff\xff\xff\xff\xff\xffQ", []int64{1<<63 - 1}, 0},
	} {
		record := []byte(class + c.state + ".trailing bytes")
		var s Scanner
		err := s.Scan(record)
		if c.foreign < 0 { // leaves more than one value, or has an object as a persistent id
			compare(t, &s, record)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if !slices.Equal(s.Refs(), c.refs) || len(s.Foreign()) != c.foreign {
			t.Errorf("%s: refs %v, foreign %d; want %v, %d", c.name, s.Refs(), len(s.Foreign()), c.refs, c.foreign)
		}
		compare(t, &s, record)
	}
}

func TestClassIsReadFromEveryFormOfMetadata(t *testing.T) {
	for _, c := range []struct{ name, meta, want string }{
		{"GLOBAL", "cZODB.blob\nBlob\n", "ZODB.blob Blob"},
		{"with arguments", "cm.n\nC\nq\x00)\x86q\x01", "m.n C"},
		{"with arguments from a mark", "(cm.n\nC\n(K\x01tt", "m.n C"},
		{"STACK_GLOBAL", "\x80\x04\x8c\x03m.n\x94\x8c\x01C\x94\x93\x94", "m.n C"},
		{"STACK_GLOBAL out of the memo", "\x8c\x01m\x94\x8c\x01C\x9400h\x00h\x01\x93)\x86", "m C"},
		{"names", "((U\x03m.nq\x01U\x01Cq\x02tq\x03Ntq\x04", "m.n C"},
		{"names of protocol 0", "((S'm.n'\np1\nS'C'\np2\ntp3\nNt", "m.n C"},
		{"a reference", seven + "Q", " "},
		{"an empty tuple", ")", " "},
		{"extension code", "\x82\x05", " "},
		{"one name", "U\x01mU\x01C\x86", " "},
	} {
		var s Scanner
		if err := s.Scan([]byte(c.meta + ".N.")); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if module, name := s.Class(); fmt.Sprintf("%s %s", module, name) != c.want {
			t.Errorf("%s: %s %s, want %s", c.name, module, name, c.want)
		}
		err := s.Scan([]byte(c.meta + ".hc.")) // the class survives an odd state
		if module, name := s.Class(); err == nil || fmt.Sprintf("%s %s", module, name) != c.want {
			t.Errorf("%s: %v %s %s, want %s", c.name, err, module, name, c.want)
		}
	}
}

// The class is at the beginning, of whatever length the rest is.
func TestTheBeginningOfARecordTellsItsClass(t *testing.T) {
	var whole, s Scanner
	long := []byte("cm\nC\n.X\x00\x00\x01\x00" + strings.Repeat("0", 1<<16) + ".")
	for i, state := range append(realStates(t), long) {
		if err := whole.Scan(state); err != nil {
			t.Fatal(err)
		}
		module, name := whole.Class()
		for _, record := range [][]byte{state, compress(state)} {
			for _, n := range []int{300, 500, 10_000} {
				if m, c := s.ClassOf(record[:min(n, len(record))]); !bytes.Equal(m, module) || !bytes.Equal(c, name) || len(c) == 0 {
					t.Fatalf("%d bytes of %.500q: %q %q instead of %q %q", n, record, m, c, module, name)
				}
			}
			for n := 0; i%50 == 0 && n < min(len(record), 300); n++ {
				if m, c := s.ClassOf(slices.Clip(record[:n])); len(c) > 0 && (!bytes.Equal(m, module) || !bytes.Equal(c, name)) {
					t.Fatalf("%d bytes of %.500q: %q %q instead of %q %q", n, record, m, c, module, name)
				}
			}
		}
	}
	for _, record := range []string{"", ".", ".z", ".zabc", ".ecm\nC\n."} {
		if m, c := s.ClassOf([]byte(record)); len(m)+len(c) > 0 {
			t.Errorf("%q: %q %q", record, m, c)
		}
	}
}

func TestCandidatesOfAnOddRecordContainItsOids(t *testing.T) {
	for _, wrap := range []func([]byte) []byte{slices.Clone[[]byte], compress} {
		var s Scanner
		record := class + "](hc" + seven + "QC\x08\x00\x00\x00\x00\x00\x01\x00\x00Qe."
		err := s.Scan(wrap([]byte(record)))
		if e, ok := err.(*Error); !ok || e.Kind != Odd {
			t.Fatal(err)
		}
		got := slices.Collect(s.Candidates(1 << 20))
		for _, oid := range []int64{7, 0x10000} {
			if !slices.Contains(got, oid) {
				t.Errorf("%d is not among the candidates %v", oid, got)
			}
		}
		if slices.ContainsFunc(got, func(oid int64) bool { return oid < 0 || oid > 1<<20 }) {
			t.Errorf("candidates %v out of range", got)
		}
		if got := slices.Collect(s.Candidates(6)); slices.Contains(got, 7) {
			t.Errorf("candidates %v above 6", got)
		}
		if got := slices.Collect(s.Candidates(7)); !slices.Contains(got, 7) {
			t.Errorf("candidates %v up to 7", got)
		}
		for range s.Candidates(-1) {
			t.Error("a candidate below 0")
		}
		for range s.Candidates(7) {
			break
		}
		all := 0
		for oid := range s.Candidates(1<<63 - 1) {
			if oid < 0 {
				t.Errorf("candidate %d", oid)
			}
			all++
		}
		if all > len(record)-7 {
			t.Errorf("%d candidates in %d bytes", all, len(record))
		}
	}
}

func TestCompressedRecordsAreReadAsThePlainOnes(t *testing.T) {
	var plain, packed Scanner
	for _, f := range fixtures(t) {
		if strings.HasPrefix(f.Name, "bad/zlib") || len(f.record) == 0 {
			continue
		}
		errPlain := plain.Scan(f.record)
		errPacked := packed.Scan(append(compress(f.record), "trailing"...))
		if fmt.Sprint(errPlain) != fmt.Sprint(errPacked) || !slices.Equal(plain.Refs(), packed.Refs()) {
			t.Errorf("%s: plain %v %v, compressed %v %v", f.Name, errPlain, plain.Refs(), errPacked, packed.Refs())
		}
	}
}
