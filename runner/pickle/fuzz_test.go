package pickle

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// FuzzScan compares the scanner with the oracle. The reused scanner has the
// traces of all inputs before.
func FuzzScan(f *testing.F) {
	for _, fixture := range fixtures(f) {
		if len(fixture.record) < 10000 {
			f.Add(fixture.record)
		}
	}
	for i, state := range realStates(f) {
		if i%100 == 0 {
			f.Add(state)
		}
	}
	for _, r := range odd {
		f.Add([]byte(r.record))
	}
	var reused Scanner
	f.Fuzz(func(t *testing.T, record []byte) {
		compare(t, &reused, record)
	})
}

func TestTruncatedRecordsAreOpaque(t *testing.T) {
	var s Scanner
	for _, f := range fixtures(t) {
		if f.Verdict != "sound" || len(f.record) > 10000 {
			continue
		}
		if err := s.Scan(f.record); err != nil {
			t.Fatal(err)
		}
		end, _ := frame(f.record) // bytes behind the second pickle don't count
		for n := range f.record {
			cut := slices.Clip(f.record[:n])
			err := s.Scan(cut)
			if n < end && (err == nil || err.(*Error).Kind != Opaque) {
				t.Fatalf("%s cut to %d bytes: %v", f.Name, n, err)
			}
			compare(t, &s, cut)
		}
	}
}

// Random programs get deeper than mutated records do.
func TestRandomProgramsAreReadAsTheOracleReadsThem(t *testing.T) {
	parts := []string{"N", "(", "(", "(", ")", "]", "}", "t", "t", "l", "d", "e", "e", "u", "a", "s", "b", "R",
		"\x81", "\x92", "\x85", "\x85", "\x86", "\x86", "\x87", "0", "1", "2", "2", "o", "im\nC\n", "cm\nC\n",
		"\x8f", "\x90", "\x91", "\x93", "\x94", "\x94", "\x97", "\x98", "q\x00", "q\x01", "q\x02", "q\x05",
		"r\x01\x00\x00\x00", "r\x00\x01\x00\x00", "p3\n", "h\x00", "h\x01", "h\x02", "h\x05",
		"j\x01\x00\x00\x00", "j\x00\x01\x00\x00", "g3\n", "U\x01w", "\x8c\x01n", "Vm\n", "U\x01x", seven, seven,
		seven + "Q", seven + "\x85Q", "C\x08\x00\x00\x00\x00\x00\x00\x00\x08", "S'1234567\\x00'\n", "Q", "P12345678\n"}
	pushes := []string{"N", "(", "]", ")", "U\x01w", "\x8c\x01n", seven, seven + "Q", seven + "\x85Q", "cm\nC\n"}
	random := rand.New(rand.NewPCG(1, 2))
	var s Scanner
	sound := 0
	for range 200_000 {
		var record []byte
		for range 2 {
			for range random.IntN(14) {
				if random.IntN(2) == 0 {
					record = append(record, pushes[random.IntN(len(pushes))]...)
				} else {
					record = append(record, parts[random.IntN(len(parts))]...)
				}
			}
			record = append(record, '.')
		}
		compare(t, &s, record)
		if s.Scan(record) == nil && len(s.Refs())+len(s.Foreign()) > 0 {
			sound++
		}
	}
	if sound < 1000 {
		t.Errorf("only %d sound programs with references", sound)
	}
}
