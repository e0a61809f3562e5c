package du

import (
	"math/rand/v2"
	"testing"
)

// filled has rows whose zoids are 10 apart.
func filled(t *testing.T, count, limit int) *rows {
	t.Helper()
	r := &rows{limit: limit}
	for i := range count {
		r.add(row{zoid: int64(i) * 10, bytes: int64(i), in: uint32(i), class: uint32(i) * 3})
	}
	t.Cleanup(r.close)
	return r
}

func TestRowsAreTheSameInMemoryAndInAFile(t *testing.T) {
	t.Parallel()
	const count = 20*pageRows + 7
	memory, file := filled(t, count, 1000), filled(t, count, 2)
	random := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		i, j := random.Uint32N(count), random.Uint32N(count)
		for _, r := range []*rows{memory, file} {
			from := *r.get(j)
			x := r.ref(i)
			x.bytes += from.bytes
			x.blobs ^= from.zoid
			x.named, x.size, x.objects, x.mark = from.in, from.named, from.size, from.objects+1
		}
	}
	for i := range uint32(count) {
		if a, b := *memory.get(i), *file.get(i); a != b {
			t.Fatalf("row %d: %+v, %+v", i, a, b)
		}
	}
	if memory.file != nil || file.file == nil || memory.err != nil || file.err != nil {
		t.Errorf("%v, %v", memory.err, file.err)
	}
	if file.loaded > file.limit {
		t.Errorf("%d pages in memory", file.loaded)
	}
}

func TestRowsAreFoundByZoid(t *testing.T) {
	t.Parallel()
	r := filled(t, 3*pageRows+1, 2)
	for i := range uint32(r.count) {
		if got := r.find(int64(i) * 10); got != i {
			t.Fatalf("%d is row %d", i, got)
		}
		if got := r.find(int64(i)*10 + 5); got != none {
			t.Fatalf("%d is row %d", int(i)*10+5, got)
		}
	}
	if r.find(-1) != none || (&rows{}).find(0) != none {
		t.Error("what is not there is found")
	}
}

func TestAFileThatCanNotBeMadeIsAnError(t *testing.T) {
	t.Setenv("TMPDIR", "/nonexistent")
	r := filled(t, 5*pageRows, 2)
	if r.err == nil {
		t.Error("no error")
	}
	if x := r.get(0); x.in != 0 {
		t.Errorf("%+v", x)
	}
}
