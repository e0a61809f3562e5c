package graph_test

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
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
	"relpack/runner/verify"
)

// realRecord is one that RelStorage wrote, with some references, and what it
// refers to.
func realRecord(t *testing.T) (record []byte, refs []int64) {
	t.Helper()
	_, conn := packtest.NewStorage(t)
	packtest.LoadSmall(t, conn, "")
	dump, err := zodbtest.Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, zoid := range slices.Sorted(maps.Keys(dump)) {
		record = packtest.Get[[]byte](t, conn, "SELECT state FROM object_state WHERE zoid = $1", zoid)
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
	target, conn = packtest.NewStorage(t)
	records := packtest.Links{500: {501}, 501: {500}, 1: nil, 2: nil}.Records()
	for _, ref := range refs {
		records[ref] = packtest.Document(501)
	}
	for i, state := range truncations(record) {
		cut = append(cut, 1_000_000+int64(i))
		records[cut[i]] = state
	}
	records[900_000], records[900_001] = []byte{}, nil
	records[0] = packtest.Document(1, 2)
	if live {
		records[0] = packtest.Document(append([]int64{1, 2, 900_000, 900_001}, cut...)...)
	}
	if err := zodbtest.Commit(t.Context(), conn, zodbtest.TimeTid(time.Now().Add(-48*time.Hour)), records); err != nil {
		t.Fatal(err)
	}
	return target, conn, cut
}

func TestARecordCutOffAtAnyByteStopsEveryDeletionIfItIsLive(t *testing.T) {
	t.Parallel()
	target, conn, cut := newBroken(t, true)
	all := packtest.Stored(t, conn)
	_, err := pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "reachable objects can't be decoded", "zoid 1000000: ", "zoid 1000009: ", "SELECT * FROM relpack.problem WHERE blocks")
	packtest.ExpectStored(t, conn, all...)
	packtest.ExpectZoids(t, "listed", packtest.Zoids(t, conn, "SELECT zoid FROM relpack.problem WHERE blocks AND kind = 'opaque' ORDER BY zoid"), cut)
	// The graph is right; the storage isn't.
	verified, err := verify.Run(t.Context(), target, packtest.VerifyOptions(true), packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "can't be decoded", "Restore")
	if got := packtest.Kinds(verified.Findings); !slices.Equal(got, []string{"empty", "undecodable"}) || verified.Outcome != "damage" {
		t.Errorf("%s, findings: %q", verified.Outcome, got)
	}
	// They become so one by one, too.
	packtest.Run(t, conn, "UPDATE object_state SET tid = tid WHERE zoid >= 1000000")
	_, err = pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "zoid 1000000: ")
	packtest.ExpectStored(t, conn, all...)
	// Cut off the storage, they stop nothing.
	packtest.Commit(t, conn, packtest.Links{0: {1, 2}})
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2)
	packtest.ExpectExact(t, conn)
}

func TestARecordCutOffAtAnyByteIsPackedIfItIsGarbage(t *testing.T) {
	t.Parallel()
	target, conn, _ := newBroken(t, false)
	report := packtest.Pack(t, target, packtest.Everything)
	if len(report.Problems) != 10 {
		t.Errorf("%d problems are told", len(report.Problems))
	}
	packtest.ExpectStored(t, conn, 0, 1, 2)
	packtest.ExpectExact(t, conn)
	if n := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.problem"); n != 0 {
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
	program := packtest.BuildCommand(t)
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
	packtest.ExpectWords(t, report.Error, "zoid 2: can't decompress: more than 256 MiB")
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12)
	packtest.Commit(t, conn, packtest.Links{2: {12}})
	packed(fault.ExitDone)
	packtest.ExpectStored(t, conn, 0, 1, 2, 12)
}

func TestReferencesToWhatIsNotStoredStopNothing(t *testing.T) {
	t.Parallel()
	target, conn := newMixed(t, map[int64][]byte{2: packtest.Document(70, 71), 11: packtest.Document(12, 72), 12: packtest.Document(12)})
	report := packtest.Pack(t, target, packtest.Everything)
	if len(report.Problems) > 0 {
		t.Errorf("problems %v", report.Problems)
	}
	packtest.ExpectStored(t, conn, 0, 1, 2)
	packtest.ExpectExact(t, conn)
	expectDangling(t, target, 70, 71)
	// One comes to be stored, by somebody who mends, and what it refers to.
	packtest.Restore(t, conn, 71, 5, packtest.Document(72))
	packtest.Restore(t, conn, 72, 6, packtest.Document(73))
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2, 71, 72)
	packtest.ExpectExact(t, conn)
	expectDangling(t, target, 70, 73)
}

func expectDangling(t *testing.T, target target.Target, want ...int64) {
	t.Helper()
	report, err := verify.Run(t.Context(), target, packtest.VerifyOptions(false), packtest.Log(t))
	if fault.ExitCode(err) != fault.ExitRefused || len(report.Findings) != 1 || report.Findings[0].Kind != "dangling" || report.Findings[0].Severity != "damage" {
		t.Fatalf("found %v, %v", report.Findings, err)
	}
	packtest.ExpectZoids(t, "dangling", report.Findings[0].Zoids, want)
}
