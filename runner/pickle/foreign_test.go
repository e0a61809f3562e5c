package pickle

import (
	"fmt"
	"testing"
)

// foreignOf scans a state and spells what it refers to in other databases.
func foreignOf(state string) string {
	var s Scanner
	_ = s.Scan([]byte("cm\nC\n." + state + "."))
	text := ""
	for _, f := range s.Foreign() {
		text += fmt.Sprintf("%s:%d ", f.Database, f.Oid)
	}
	return text
}

func TestReferencesToOtherDatabasesAreRead(t *testing.T) {
	t.Parallel()
	const oid = "\x00\x00\x00\x00\x00\x00\x00\x07"
	for name, c := range map[string]struct{ state, want string }{
		"n of Python 3":         {"](X\x01\x00\x00\x00nX\x05\x00\x00\x00usersC\x08" + oid + "\x86eQ", "users:7 "},
		"m of Python 3":         {"](X\x01\x00\x00\x00mX\x05\x00\x00\x00usersC\x08" + oid + "cm\nC\n\x87eQ", "users:7 "},
		"m of Python 2":         {"(lq\x01(U\x01mq\x02(U\x05usersU\x08" + oid + "cm\nC\ntq\x03eQ", "users:7 "},
		"one by one":            {"]U\x01na(U\x01aU\x08" + oid + "taQ", "a:7 "},
		"protocol 0":            {"(lp1\nS'n'\np2\na(S'us\\x65rs'\np3\nS'\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x07'\np4\ntp5\naQ", "users:7 "},
		"an encoded oid":        {"(](U\x01nU\x05usersc_codecs\nencode\nX\x08\x00\x00\x00" + oid + "X\x06\x00\x00\x00latin1\x86R\x86eQl", "users:7 "},
		"out of the memo":       {"X\x05\x00\x00\x00usersq\x010C\x08" + oid + "q\x020](X\x01\x00\x00\x00nh\x01h\x02\x86eQ", "users:7 "},
		"a database of no name": {"](X\x01\x00\x00\x00nX\x00\x00\x00\x00C\x08" + oid + "\x86eQ", ":7 "},
		"twice":                 {"](](U\x01nU\x01aU\x08" + oid + "\x86eQ](U\x01nU\x01bU\x08" + oid + "\x86eQe", "a:7 b:7 "},
		"an oid of 4 bytes":     {"](U\x01nU\x01aU\x04four\x86eQ", ":-1 "},
		"no tuple":              {"](U\x01nNeQ", ":-1 "},
		"a weak reference":      {"](U\x01wU\x08" + oid + "U\x01a\x86eQ", ""},
		"an odd record":         {"(](U\x01nU\x01aU\x08" + oid + "\x86eQK\x01Ql", ":-1 "},
		"an odd one without":    {"(U\x08" + oid + "QK\x01Ql", ""},
		"cut off":               {"U\x20" + oid, ":-1 "},
	} {
		if got := foreignOf(c.state); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
