package runner

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"maps"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
	"relpack/runner/verify"
)

// realRecord is one that RelStorage wrote, with some references, and what it
// refers to.
func realRecord(t *testing.T) (record []byte, refs []int64) {
	t.Helper()
	_, conn := newStorage(t)
	loadSmall(t, conn, "")
	dump, err := zodbtest.Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, zoid := range slices.Sorted(maps.Keys(dump)) {
		record = get[[]byte](t, conn, "SELECT state FROM object_state WHERE zoid = $1", zoid)
		if len(dump[zoid]) >= 4 && len(record) < 400 {
			return record, dump[zoid]
		}
	}
	t.Fatal("no such record")
	return nil, nil
}

// truncations are all beginnings of a record, as RelStorage, zc.zlibstorage
// and cipher.encryptingstorage would have written it, but for the whole and for
// nothing at all.
func truncations(record []byte) [][]byte {
	var all [][]byte
	for _, whole := range [][]byte{record, zodbtest.Compressed(record), zodbtest.Encrypted(record)} {
		for n := 1; n < len(whole); n++ {
			all = append(all, whole[:n])
		}
	}
	return all
}

// newBroken is a storage with every truncation, zoids cut, beside live objects
// and garbage; a whole one would refer to some that nothing else refers to.
func newBroken(t *testing.T, live bool) (target target.Target, conn *pgx.Conn, cut []int64) {
	t.Helper()
	record, refs := realRecord(t)
	target, conn = newStorage(t)
	records := links{500: {501}, 501: {500}, 1: nil, 2: nil}.records()
	for _, ref := range refs {
		records[ref] = document(501)
	}
	for i, state := range truncations(record) {
		cut = append(cut, 1_000_000+int64(i))
		records[cut[i]] = state
	}
	records[900_000], records[900_001] = []byte{}, nil
	records[0] = document(1, 2)
	if live {
		records[0] = document(append([]int64{1, 2, 900_000, 900_001}, cut...)...)
	}
	if err := zodbtest.Commit(t.Context(), conn, zodbtest.TimeTid(time.Now().Add(-48*time.Hour)), records); err != nil {
		t.Fatal(err)
	}
	return target, conn, cut
}

func TestARecordCutOffAtAnyByteStopsEveryDeletionIfItIsLive(t *testing.T) {
	t.Parallel()
	target, conn, cut := newBroken(t, true)
	all := stored(t, conn)
	_, err := pack.Run(t.Context(), target, everything, testLog(t))
	expectError(t, err, fault.ExitRefused, "reachable objects can't be decoded", "zoid 1000000: ", "zoid 1000009: ", "SELECT * FROM relpack.problem WHERE blocks")
	expectStored(t, conn, all...)
	expectZoids(t, "listed", zoids(t, conn, "SELECT zoid FROM relpack.problem WHERE blocks AND kind = 'opaque' ORDER BY zoid"), cut)
	// The graph is right; the storage isn't.
	verified, err := verify.Run(t.Context(), target, verifyOptions(true), testLog(t))
	expectError(t, err, fault.ExitRefused, "can't be decoded", "Restore")
	if got := kinds(verified.Findings); !slices.Equal(got, []string{"empty", "undecodable"}) || verified.Outcome != "damage" {
		t.Errorf("%s, findings: %q", verified.Outcome, got)
	}
	// They become so one by one, too.
	run(t, conn, "UPDATE object_state SET tid = tid WHERE zoid >= 1000000")
	_, err = pack.Run(t.Context(), target, everything, testLog(t))
	expectError(t, err, fault.ExitRefused, "zoid 1000000: ")
	expectStored(t, conn, all...)
	// Cut off the storage, they stop nothing.
	commit(t, conn, links{0: {1, 2}})
	packStorage(t, target, everything)
	expectStored(t, conn, 0, 1, 2)
	expectExact(t, conn)
}

func TestARecordCutOffAtAnyByteIsPackedIfItIsGarbage(t *testing.T) {
	t.Parallel()
	target, conn, _ := newBroken(t, false)
	report := packStorage(t, target, everything)
	if len(report.Problems) != 10 {
		t.Errorf("%d problems are told", len(report.Problems))
	}
	expectStored(t, conn, 0, 1, 2)
	expectExact(t, conn)
	if n := get[int](t, conn, "SELECT count(*) FROM relpack.problem"); n != 0 {
		t.Errorf("%d problems are left", n)
	}
}

// bomb is a compressed record of 2 MB or so that becomes 2 GiB of zeros.
func bomb(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	// A block that refers to nothing before it can be repeated.
	if _, err := w.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return append([]byte(".z\x78\xda"), bytes.Repeat(b.Bytes(), 2048)...)
}

func TestABombIsOpaqueAndMemoryStaysBounded(t *testing.T) {
	t.Parallel()
	program := buildCommand(t)
	target, conn := newMixed(t, map[int64][]byte{2: bomb(t), 11: bomb(t)})
	packed := func(code int) (report pack.Report) {
		t.Helper()
		cmd := exec.Command(program, "pack", "--json", "-q", "--days", "-1", "--dsn", target.DSN)
		out, _ := cmd.Output()
		var reports []pack.Report
		if err := json.Unmarshal(out, &reports); err != nil || len(reports) != 1 || cmd.ProcessState.ExitCode() != code {
			t.Fatalf("exit code %d, %v: %s", cmd.ProcessState.ExitCode(), err, out)
		}
		t.Logf("peak memory %d MiB", reports[0].PeakMemory>>20)
		// Two workers with up to 256 MiB each and half of it while that grows,
		// and what the collector has not come to.
		if reports[0].PeakMemory > 1300<<20 {
			t.Errorf("peak memory %d MiB", reports[0].PeakMemory>>20)
		}
		return reports[0]
	}
	report := packed(fault.ExitRefused)
	expectWords(t, report.Error, "zoid 2: can't decompress: more than 256 MiB")
	expectStored(t, conn, 0, 1, 2, 10, 11, 12)
	commit(t, conn, links{2: {12}})
	packed(fault.ExitDone)
	expectStored(t, conn, 0, 1, 2, 12)
}

func TestReferencesToWhatIsNotStoredStopNothing(t *testing.T) {
	t.Parallel()
	target, conn := newMixed(t, map[int64][]byte{2: document(70, 71), 11: document(12, 72), 12: document(12)})
	report := packStorage(t, target, everything)
	if len(report.Problems) > 0 {
		t.Errorf("problems %v", report.Problems)
	}
	expectStored(t, conn, 0, 1, 2)
	expectExact(t, conn)
	expectDangling(t, target, 70, 71)
	// One comes to be stored, by somebody who mends, and what it refers to.
	restore(t, conn, 71, 5, document(72))
	restore(t, conn, 72, 6, document(73))
	packStorage(t, target, everything)
	expectStored(t, conn, 0, 1, 2, 71, 72)
	expectExact(t, conn)
	expectDangling(t, target, 70, 73)
}

func expectDangling(t *testing.T, target target.Target, want ...int64) {
	t.Helper()
	report, err := verify.Run(t.Context(), target, verifyOptions(false), testLog(t))
	if fault.ExitCode(err) != fault.ExitRefused || len(report.Findings) != 1 || report.Findings[0].Kind != "dangling" || report.Findings[0].Severity != "damage" {
		t.Fatalf("found %v, %v", report.Findings, err)
	}
	expectZoids(t, "dangling", report.Findings[0].Zoids, want)
}
