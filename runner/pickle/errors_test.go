package pickle

import "testing"

const (
	class = "cm\nC\n."
	seven = "C\x08\x00\x00\x00\x00\x00\x00\x00\x07"
)

// odd are records with one thing wrong, and what the error says.
var odd = []struct {
	name, record string
	kind         Kind
	message      string
}{
	{"empty", "", Opaque, "the record is empty at byte 0"},
	{"no second pickle", class, Opaque, "the record ends without STOP at byte 6"},
	{"no stop", class + "}", Opaque, "the record ends without STOP at byte 7"},
	{"unknown opcode", class + "\xff.", Opaque, "unknown opcode 0xff at byte 6"},
	{"future protocol", class + "\x80\x06N.", Opaque, "unknown protocol 6 at byte 6"},
	{"cut argument", class + "J\x00", Opaque, "the argument of opcode 0x4a is cut off at byte 6"},
	{"cut bytes", class + "C\x08abc", Opaque, "opcode 0x43 announces a length of 8, with 3 left at byte 6"},
	{"cut line", class + "cm\nC", Opaque, "the line of opcode 'c' is cut off at byte 6"},
	{"negative length", class + "T\xff\xff\xff\xff.", Opaque, "negative length of opcode 0x54 at byte 6"},
	{"huge length", class + "\x8e\xff\xff\xff\xff\xff\xff\xff\xff.", Opaque, "opcode 0x8e announces a length of 4294967294, with 1 left at byte 6"},
	{"encrypted", ".e" + class, Opaque, "the record is encrypted (cipher.encryptingstorage) at byte 0"},
	{"not zlib", ".zabcdef", Opaque, "can't decompress: zlib: invalid header at byte 2"},
	{"cut zlib", ".zx\x9cK", Opaque, "can't decompress: unexpected EOF at byte 2"},

	{"missing memo entry after a reference", class + seven + "QhcQ.", Odd, "memo entry 99 was never stored at byte 17"},
	{"missing memo entry", class + "hcQ.", Odd, "memo entry 99 was never stored at byte 6"},
	{"number of a memo entry", class + "Npx\n.", Odd, "opcode 'p' with \"x\", which isn't a memo number at byte 7"},
	{"number as a persistent id", class + "K\x05Q.", Odd, "a persistent id that is neither bytes, a string, a tuple nor a list at byte 8"},
	{"empty tuple", class + ")Q.", Odd, "a persistent id that is an empty tuple at byte 7"},
	{"tuple of None", class + "N\x85Q.", Odd, "a persistent id whose oid is neither bytes nor a string at byte 8"},
	{"short oid", class + "C\x03abcQ.", Odd, "an oid of length 3 instead of 8 at byte 11"},
	{"short PERSID", class + "P12\n.", Odd, "a persistent id of length 2 instead of 8 at byte 6"},
	{"large oid", class + "U\x08\x80\x00\x00\x00\x00\x00\x00\x00Q.", Odd, "oid 0x8000000000000000 is out of range (2^63 and more) at byte 16"},
	{"non-ASCII oid", class + "X\x08\x00\x00\x00abcdef\xc3\xa9Q.", Odd, "an oid that is a text with non-ASCII characters at byte 19"},
	{"unknown list", class + "](U\x01x" + seven + "eQ.", Odd, "a persistent id that is a list of an unknown form at byte 22"},
	{"empty list", class + "]Q.", Odd, "a persistent id that is a list of an unknown form at byte 7"},
	{"nothing on the stack", class + "Q.", Odd, "opcode 0x51 finds too little on the stack at byte 6"},
	{"below the mark", class + "N(\x85.", Odd, "opcode 0x85 finds too little on the stack at byte 8"},
	{"no mark", class + "t.", Odd, "opcode 0x74 finds no mark on the stack at byte 6"},
	{"string without quotes", class + "Sabc\n.", Odd, "a STRING without quotes at byte 6"},
	{"odd class", "hc.N.", Odd, "memo entry 99 was never stored at byte 0"},

	{"odd and cut off", class + "hcQ", Opaque, "memo entry 99 was never stored (and the record ends without STOP at byte 9) at byte 6"},
	{"odd with escapes", class + "S'\\x00'\nhcQ.", Opaque, "memo entry 99 was never stored (and oids may be escaped or computed) at byte 14"},
	{"odd with unicode escapes", class + "V\\u0000\nhcQ.", Opaque, "memo entry 99 was never stored (and oids may be escaped or computed) at byte 14"},
	{"odd with an escaped PERSID", class + "P\\x00\n.", Opaque, "a persistent id of length 4 instead of 8 (and oids may be escaped or computed) at byte 6"},
	{"odd with computed bytes", class + "hcc_codecs\nencode\n.", Opaque, "memo entry 99 was never stored (and oids may be escaped or computed) at byte 6"},
	{"computed oid", class + "cm\nf\n)RQ.", Opaque, "a persistent id whose oid is the result of a call at byte 13"},
	{"wrong escape", class + "S'\\x0g'\nQ.", Opaque, "a string with a wrong escape in it (and oids may be escaped or computed) at byte 14"},
}

func TestErrorsSayWhatIsWrongWhereAndWhatIsLeft(t *testing.T) {
	var s Scanner
	for _, c := range odd {
		err := s.Scan([]byte(c.record))
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		if e := err.(*Error); e.Kind != c.kind || e.Error() != c.message {
			t.Errorf("%s: %v\n%q, want %v\n%q", c.name, e.Kind, e.Error(), c.kind, c.message)
		}
		if len(s.Refs()) > 0 {
			t.Errorf("%s: refs %v after an error", c.name, s.Refs())
		}
	}
}
