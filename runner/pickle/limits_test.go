package pickle

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// manyRefs returns a record that refers to n objects, twice to each.
func manyRefs(n int) []byte {
	record := []byte(class + "](")
	for i := range 2 * n {
		record = append(record, 'C', 8)
		record = binary.BigEndian.AppendUint64(record, uint64(i%n)*4096)
		record = append(record, 'Q')
	}
	return append(record, "e."...)
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	records := realStates(t)
	for _, f := range fixtures(t) {
		if f.Verdict == "sound" {
			records = append(records, f.record)
		}
	}
	records = append(records, manyRefs(1000))
	var s Scanner
	foreign := 0
	pass := func() {
		for _, r := range records {
			if err := s.Scan(r); err != nil {
				t.Fatal(err)
			}
			s.Class()
			foreign += len(s.Foreign())
		}
	}
	pass()
	// The name of another database, once for each reference to one.
	names := foreign
	if n := testing.AllocsPerRun(3, pass); n > float64(names) {
		t.Errorf("%v allocations in %d records with %d references to other databases", n, len(records), names)
	}
}

func TestAMillionReferencesTakeLinearTimeAndNoLastingMemory(t *testing.T) {
	var s Scanner
	took := func(record []byte) time.Duration {
		before := processorTime(t)
		if err := s.Scan(record); err != nil {
			t.Fatal(err)
		}
		return processorTime(t) - before
	}
	few, many := manyRefs(100_000), manyRefs(1_000_000)
	first := took(few) // makes room
	if a, b := min(took(few), first), took(many); b > 50*max(a, time.Millisecond) {
		t.Errorf("100,000 references took %v, ten times as many %v", a, b)
	}
	refs := s.Refs()
	if len(refs) != 1_000_000 || refs[1] != 4096 || refs[999_999] != 999_999*4096 {
		t.Fatalf("%d refs", len(refs))
	}
	if err := s.Scan([]byte(class + "N.")); err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]int{"refs": cap(s.refs.oids), "table": cap(s.refs.table),
		"stack": cap(s.stack), "nodes": cap(s.nodes), "memo": cap(s.memo.run), "marks": cap(s.marks)} {
		if n > kept {
			t.Errorf("%s keeps room for %d", name, n)
		}
	}
}

// processorTime is what this process has had of the processors, which others can't take
// away.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// Python 2 numbers from 1.
func TestMemoNumberedFromOneNeedsNoMap(t *testing.T) {
	var s Scanner
	for _, f := range fixtures(t) {
		if strings.HasPrefix(f.Name, "py2") && s.Scan(f.record) == nil && len(s.memo.sparse) > 0 {
			t.Errorf("%s: %v", f.Name, s.memo.sparse)
		}
	}
}

func TestBombsAreOpaqueAndLeaveNoMemory(t *testing.T) {
	bomb := compress(append([]byte(class), make([]byte, MaxUnpacked)...))
	var s Scanner
	err := s.Scan(bomb)
	if err == nil || err.(*Error).Kind != Opaque || !strings.Contains(err.Error(), "more than 256 MiB") {
		t.Errorf("a bomb of %d bytes: %v", len(bomb), err)
	}
	large := compress([]byte(class + "X\x00\x00\x00\x02" + string(make([]byte, 32<<20)) + "."))
	if err := s.Scan(large); err != nil {
		t.Error(err)
	}
	if err := s.Scan([]byte(class + "N.")); err != nil || cap(s.unpacker.buf) > 16*kept {
		t.Errorf("%v, %d bytes kept", err, cap(s.unpacker.buf))
	}
}

func TestMemoTakesAnyNumberWithoutRoomForTheOthers(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var s Scanner
	for _, put := range []string{"r\xff\xff\xff\xff", "p9223372036854775807\n"} {
		get := strings.NewReplacer("r", "j", "p", "g").Replace(put)
		record := class + "Nq\x00" + seven + put + get + "Q."
		if err := s.Scan([]byte(record)); err != nil || !slices.Equal(s.Refs(), []int64{7}) {
			t.Errorf("%q: %v %v", put, err, s.Refs())
		}
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("%d bytes for two numbers", used)
	}
}

// Machines that only ever grow must stop at a limit instead of the memory's.
func TestEndlessStacksAndMemosAreOpaque(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some hundreds of MiB")
	}
	long := 3 * maxMemo / 2 // a slice grows by a quarter
	scattered := []byte(class + "N")
	for i := range uint32(maxSparse + 2) {
		scattered = append(scattered, 'r')
		scattered = binary.LittleEndian.AppendUint32(scattered, 2*i)
	}
	for name, record := range map[string][]byte{
		"stack": append(bytes.Repeat([]byte("N"), long), ".N."...),
		"dups":  append([]byte("N"), append(bytes.Repeat([]byte("2"), long), ".N."...)...),
		"nodes": append([]byte("N"), append(bytes.Repeat([]byte("\x85"), long), "Q.N."...)...),
		"memo":  append([]byte("N"), append(bytes.Repeat([]byte("\x94"), long), ".N."...)...),
		"map":   append(scattered, ".N."...),
		"marks": append(bytes.Repeat([]byte("("), long), "N.N."...),
		"puts":  append([]byte("N"), append(numbered(long), ".N."...)...),
	} {
		var s Scanner
		err := s.Scan(record)
		if err == nil || err.(*Error).Kind != Opaque {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// numbered returns LONG_BINPUTs with the numbers below n.
func numbered(n int) (puts []byte) {
	for i := range uint32(n) {
		puts = append(puts, 'r')
		puts = binary.LittleEndian.AppendUint32(puts, i)
	}
	return puts
}
