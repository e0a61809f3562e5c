package zoid

import "testing"

func TestAnObjectIdIsReadInEachFormThatPeopleMeet(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0":                                 0,
		"root":                              0,
		"6699":                              6699,
		"9223372036854775807":               9223372036854775807,
		"0x1a2b":                            0x1a2b,
		"0X00":                              0,
		`b'\x00\x00\x00\x00\x00\x00\x1a+'`:  0x1a2b,
		`b"\x00\x00\x00\x00\x00\x00\x00'"`:  0x27,
		`'\x00\x00\x00\x00\x00\x00\x1a+'`:   0x1a2b,
		`b\x00\x00\x00\x00\x00\x00\x1a+`:    0x1a2b, // the shell has taken the quotes
		`\x00\x00\x00\x00\x00\x00\t\n`:      0x090a,
		`b'\x00\x00\x00\x00\x00\x00\\\''`:   0x5c27,
		" b'\\x00\\x00\\x00\\x00abcd' ":     0x61626364,
		`b'\x7f\xff\xff\xff\xff\xff\xff\r'`: 0x7fffffffffffff0d,
	} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", text, got, err, want)
		}
	}
}

func TestWhatIsNoObjectIdIsSaidInOneLine(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "site.conf", "-1", "0x", "0xyz", "9223372036854775808", "0x8000000000000000", "0x10000000000000000",
		`b'\x00'`, `b'\x00\x00\x00\x00\x00\x00\x00\x00\x00'`, `b'\x0'`, `b'\q0000000'`, `b'1234567\'`, `\`, `'`} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%q is read as %d", text, got)
		}
	}
}

func TestHexIsHowZODBPrintsAnObjectId(t *testing.T) {
	t.Parallel()
	for id, want := range map[int64]string{0: "0x00", 1: "0x01", 0x1a2b: "0x1a2b", 0x12345: "0x012345"} {
		if got := Hex(id); got != want {
			t.Errorf("%d: %s, want %s", id, got, want)
		}
		if back, err := Parse(Hex(id)); err != nil || back != id {
			t.Errorf("%d became %d", id, back)
		}
	}
}
