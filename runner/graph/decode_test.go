package graph_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/record"
	"relpack/runner/target"
)

// newMixed is a storage with chosen records; 0, 1 and 2 are a live chain,
// 10 to 12 garbage, all of two days ago.
func newMixed(t *testing.T, records map[int64][]byte) (target.Target, *pgx.Conn) {
	t.Helper()
	target, conn := packtest.NewStorage(t)
	all := packtest.Links{0: {1}, 1: {2}, 2: nil, 10: {11}, 11: {12}, 12: nil}.Records()
	for zoid, record := range records {
		all[zoid] = record
	}
	if err := zodbtest.Commit(t.Context(), conn, zodbtest.TimeTid(time.Now().Add(-48*time.Hour)), all); err != nil {
		t.Fatal(err)
	}
	packtest.CommitRecords(t, conn, map[int64][]byte{0: zodbtest.Record(zodbtest.Document, 1)})
	return target, conn
}

func expectProblem(t *testing.T, conn *pgx.Conn, zoid int64, kind string) {
	t.Helper()
	if got := packtest.Get[string](t, conn, "SELECT coalesce((SELECT kind FROM relpack.problem WHERE zoid = $1), 'none')", zoid); got != kind {
		t.Errorf("problem of object %d: %s, want %s", zoid, got, kind)
	}
}

func TestAnOpaqueLiveObjectStopsEveryDeletion(t *testing.T) {
	t.Parallel()
	for name, record := range packtest.Opaque {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := newMixed(t, map[int64][]byte{2: record})
			_, err := pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
			if fault.ExitCode(err) != fault.ExitRefused || !strings.Contains(fault.Message(err), "zoid 2") {
				t.Errorf("error %q, want a refusal that names zoid 2", err)
			}
			expectProblem(t, conn, 2, "opaque")
			_, err = conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
			packtest.ExpectState(t, err, fault.StateRefused)
			packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12)
			// Mended, it says what it refers to.
			packtest.Commit(t, conn, packtest.Links{2: {11}})
			packtest.Pack(t, target, packtest.Everything)
			expectProblem(t, conn, 2, "none")
			packtest.ExpectStored(t, conn, 0, 1, 2, 11, 12)
			packtest.ExpectExact(t, conn)
		})
	}
}

func TestALiveObjectThatBecomesOpaqueStopsEveryDeletion(t *testing.T) {
	t.Parallel()
	for name, record := range packtest.Opaque {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := newMixed(t, nil)
			packtest.DryRun(t, target)
			packtest.CommitRecords(t, conn, map[int64][]byte{1: record})
			packtest.ExpectNothingDeleted(t, target)
			// 2 hung on it, and is not for deletion.
			packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12)
			packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = 1")
			packtest.Commit(t, conn, packtest.Links{0: {2}})
			packtest.Pack(t, target, packtest.Everything)
			packtest.ExpectStored(t, conn, 0, 2)
		})
	}
}

func TestOpaqueGarbageStopsNothing(t *testing.T) {
	t.Parallel()
	for name, record := range packtest.Opaque {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := newMixed(t, map[int64][]byte{11: record})
			packtest.Pack(t, target, packtest.Everything)
			packtest.ExpectStored(t, conn, 0, 1, 2)
			if n := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.problem"); n != 0 {
				t.Errorf("%d problems are left", n)
			}
		})
	}
}

func TestOpaqueGarbageThatStaysStopsEveryDeletion(t *testing.T) {
	t.Parallel()
	target, conn := newMixed(t, nil)
	packtest.CommitRecords(t, conn, map[int64][]byte{20: packtest.Opaque["truncated"], 1: zodbtest.Record(zodbtest.Document, 2)})
	o := packtest.Everything
	o.Days = 1
	if _, err := pack.Run(t.Context(), target, o, packtest.Log(t)); fault.ExitCode(err) != fault.ExitRefused || !strings.Contains(fault.Message(err), "zoid 20") {
		t.Errorf("error %v, want a refusal that names zoid 20", err)
	}
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 20)
}

func TestAnOddRecordKeepsWhateverItsBytesName(t *testing.T) {
	t.Parallel()
	// Its sound reference to 10 counts, and 8 bytes in a string that name 12, or
	// 9, which is not stored.
	odd := zodbtest.Odd(zodbtest.Class{Module: "zmodels", Name: "x" + string(zodbtest.Oid(12)) + string(zodbtest.Oid(9))}, 10)
	for name, record := range map[string][]byte{"plain": odd, "compressed": zodbtest.Compressed(odd)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := newMixed(t, map[int64][]byte{2: record, 10: zodbtest.Record(zodbtest.Document), 11: zodbtest.Record(zodbtest.Document, 12)})
			packtest.Pack(t, target, packtest.Everything)
			expectProblem(t, conn, 2, "salvaged")
			packtest.ExpectStored(t, conn, 0, 1, 2, 10, 12)
			// What it names may come to be stored later.
			packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = 12")
			packtest.Pack(t, target, packtest.Everything)
			packtest.Commit(t, conn, packtest.Links{9: nil, 12: nil, 0: {1}})
			packtest.Pack(t, target, packtest.Everything)
			packtest.ExpectStored(t, conn, 0, 1, 2, 9, 10, 12)
		})
	}
}

// What it names is asked of the storage, and only when it may name more.
func TestALongOddRecordCostsWhatItNames(t *testing.T) {
	t.Parallel()
	var body []byte
	for n := range int64(100_000) {
		body = append(body, zodbtest.Oid(n%1000)...)
		body = append(body, zodbtest.Oid(1<<62+n)...)
	}
	odd := bytes.TrimSuffix(zodbtest.Odd(zodbtest.Document), []byte("u."))
	odd = append(odd, "X\x04\x00\x00\x00bodyB"...)
	odd = binary.LittleEndian.AppendUint32(odd, uint32(len(body)))
	odd = append(append(odd, body...), "u."...)
	target, conn := newMixed(t, map[int64][]byte{2: odd, 12: zodbtest.Record(zodbtest.Document), 1<<63 - 1: zodbtest.Record(zodbtest.Document)})
	packtest.Pack(t, target, packtest.Everything)
	expectProblem(t, conn, 2, "salvaged")
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12)
	var guesses int
	for start := time.Now(); guesses == 0 && time.Since(start) < time.Minute; {
		guesses = packtest.Get[int](t, conn, "SELECT coalesce(max(n_tup_ins), 0) FROM pg_stat_user_tables WHERE relid = 'relpack.examined_inref'::regclass")
	}
	if guesses > 100 {
		t.Errorf("%d guesses were stored", guesses)
	}
	for what, read := range map[string]int64{"nothing": 0, "a known object": 1, "a new object": 2} {
		switch read {
		case 1:
			packtest.Commit(t, conn, packtest.Links{12: nil})
		case 2:
			packtest.Commit(t, conn, packtest.Links{999: nil})
		}
		if report := packtest.Pack(t, target, packtest.Everything); report.Scanned.Objects != read {
			t.Errorf("%d objects were read where %s was written", report.Scanned.Objects, what)
		}
	}
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 999)
}

func TestWeakReferencesKeepNothing(t *testing.T) {
	t.Parallel()
	target, conn := newMixed(t, map[int64][]byte{2: zodbtest.WeakRecord(zodbtest.Document, 10, 11)})
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2)
}

func TestNullAndEmptyStatesReferToNothing(t *testing.T) {
	t.Parallel()
	target, conn := newMixed(t, map[int64][]byte{2: nil, 1: zodbtest.Record(zodbtest.Document, 2, 3), 3: {}, 11: nil, 12: {}})
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2, 3)
	// An undone creation cuts what hung on it.
	packtest.CommitRecords(t, conn, map[int64][]byte{1: nil, 0: zodbtest.Record(zodbtest.Document, 1)})
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1)
}

// encodings are ways in which a storage writes all of its records.
var encodings = map[string]func(refs ...int64) []byte{
	"Python 2":   func(refs ...int64) []byte { return zodbtest.RecordPy2(zodbtest.Document, refs...) },
	"compressed": func(refs ...int64) []byte { return zodbtest.Compressed(zodbtest.Record(zodbtest.Document, refs...)) },
	"compressed Python 2": func(refs ...int64) []byte {
		return zodbtest.Compressed(zodbtest.RecordPy2(zodbtest.Document, refs...))
	},
}

func TestAStorageOfOneEncodingIsSwept(t *testing.T) {
	t.Parallel()
	for name, encode := range encodings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewStorage(t)
			records := map[int64][]byte{}
			for zoid, refs := range packtest.Garden {
				records[zoid] = encode(refs...)
			}
			packtest.CommitRecords(t, conn, records)
			packtest.DryRun(t, target)
			// Attached after the choice: whatever the state looks like, it is noticed.
			packtest.Pack(t, target, packtest.Before("delete", func() {
				packtest.CommitRecords(t, conn, map[int64][]byte{2: encode(12)})
			}))
			packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
			packtest.CommitRecords(t, conn, map[int64][]byte{2: encode(13)})
			packtest.Pack(t, target, packtest.Everything)
			packtest.ExpectStored(t, conn, 0, 1, 2, 13)
			packtest.ExpectExact(t, conn)
		})
	}
}

func TestASweepByRelpackDecodesWhatWasWrittenMeanwhile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		state []byte
		batch int
		want  string
	}{
		"live":                    {zodbtest.Compressed(zodbtest.Record(zodbtest.Document, 2)), 1000, "swept"},
		"weak":                    {zodbtest.Compressed(zodbtest.WeakRecord(zodbtest.Document, 12)), 1000, "swept"},
		"garbage in the batch":    {zodbtest.Compressed(zodbtest.Record(zodbtest.Document, 2, 12)), 1000, "stale"},
		"garbage not in it":       {zodbtest.Compressed(zodbtest.Record(zodbtest.Document, 2, 14)), 1, "stale"},
		"what isn't stored":       {zodbtest.Compressed(zodbtest.Record(zodbtest.Document, 77)), 1000, "stale"},
		"new":                     {zodbtest.Compressed(zodbtest.Record(zodbtest.Document, 78)), 1000, "swept"},
		"encrypted":               {zodbtest.Encrypted(zodbtest.Record(zodbtest.Document, 2)), 1000, "stale"},
		"broken":                  {zodbtest.Compressed(zodbtest.Truncated(zodbtest.Record(zodbtest.Document, 2))), 1000, "stale"},
		"plain, weak":             {zodbtest.WeakRecord(zodbtest.Document, 12), 1000, "swept"},
		"plain, live":             {zodbtest.Record(zodbtest.Document, 2), 1000, "swept"},
		"plain, garbage":          {zodbtest.Record(zodbtest.Document, 12), 1000, "stale"},
		"plain, not in the batch": {zodbtest.Record(zodbtest.Document, 14), 1, "stale"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewGarden(t)
			all := packtest.Stored(t, conn)
			packtest.CommitRecords(t, conn, map[int64][]byte{1: c.state, 78: zodbtest.Compressed(zodbtest.Record(zodbtest.Document, 2))})
			b, err := packtest.Packer(t, target, packtest.Session(t, target)).SweepBatch(t.Context(), nil, c.batch, true)
			if err != nil {
				t.Fatal(err)
			}
			gone := len(packtest.Without(append(all, 78), packtest.Stored(t, conn)))
			if b.Outcome != c.want || (gone > 0) != (c.want == "swept") || int64(gone) != b.Objects {
				t.Errorf("outcome %s with %d objects, want %s; %d are gone", b.Outcome, b.Objects, c.want, gone)
			}
			if n := packtest.Get[int](t, conn, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1919249520 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"); n > 0 {
				t.Error("the writers' lock is still held")
			}
		})
	}
}

// What bytes refer to can't be told without decoding them: an oid may be escaped,
// taken from the memo, computed, or begin another string.
func TestASweepInPsqlDeletesNothingOnceAnythingWasWritten(t *testing.T) {
	t.Parallel()
	escaped := []byte("\x80\x02czmodels\nDocument\n.\x80\x02}X\x01\x00\x00\x00aS'\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x0b'\nQs.")
	for name, write := range map[string]func(*pgx.Conn){
		"a commit":       func(conn *pgx.Conn) { packtest.Commit(t, conn, packtest.Links{1: {2}}) },
		"an escaped oid": func(conn *pgx.Conn) { packtest.CommitRecords(t, conn, map[int64][]byte{1: escaped}) },
		"a compressed state": func(conn *pgx.Conn) {
			packtest.CommitRecords(t, conn, map[int64][]byte{1: zodbtest.Compressed(escaped)})
		},
		"a row without state":  func(conn *pgx.Conn) { packtest.CommitRecords(t, conn, map[int64][]byte{1: nil}) },
		"a restored row":       func(conn *pgx.Conn) { packtest.Restore(t, conn, 40, 5, zodbtest.Record(zodbtest.Document)) },
		"a row rewritten":      func(conn *pgx.Conn) { packtest.Run(t, conn, "UPDATE object_state SET state = state WHERE zoid = 1") },
		"garbage deleted":      func(conn *pgx.Conn) { packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = 12") },
		"everything but roots": func(conn *pgx.Conn) { packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid > 9") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewGarden(t)
			write(conn)
			all := packtest.Stored(t, conn)
			if got := packtest.Outcome(t, conn); got != "stale" {
				t.Errorf("outcome %s, want stale", got)
			}
			packtest.ExpectStored(t, conn, all...)
			packtest.DryRun(t, target)
			if got := packtest.Outcome(t, conn); got == "stale" {
				t.Error("it is stale after a capture")
			}
		})
	}
}

// Who asks for it in psql, and decodes nothing, has deleted nothing.
func TestABatchThatNobodyDecodedForCantBeCommitted(t *testing.T) {
	t.Parallel()
	_, conn := packtest.NewGarden(t)
	all := packtest.Stored(t, conn)
	packtest.CommitRecords(t, conn, map[int64][]byte{1: zodbtest.Record(zodbtest.Document, 2, 12)})
	_, err := conn.Exec(t.Context(), "SELECT outcome FROM relpack.sweep(1000, NULL, true)")
	packtest.ExpectState(t, err, "23503")
	packtest.ExpectStored(t, conn, all...)
	if n := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.undecoded"); n > 0 {
		t.Error("the mark is left")
	}
}

// A night without garbage must not hide from cron what will keep all others from
// deleting.
func TestWhatKeepsRelpackFromDeletingIsToldWithoutGarbageToo(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.CommitRecords(t, conn, map[int64][]byte{0: zodbtest.Record(zodbtest.Document, 1), 1: zodbtest.Record(zodbtest.Document)})
	told := func() string {
		t.Helper()
		log := &pgtest.Log{}
		quiet := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelError}))
		if _, err := pack.Run(t.Context(), target, packtest.Everything, quiet); err != nil {
			t.Fatal(err)
		}
		return log.String()
	}
	if text := told(); text != "" {
		t.Errorf("a sound storage: %s", text)
	}
	packtest.CommitRecords(t, conn, map[int64][]byte{1: []byte(".enc no pickle")})
	packtest.ExpectWords(t, told(), "zoid 1 is reachable and can't be decoded: relpack deletes nothing until it can be")
	packtest.CommitRecords(t, conn, map[int64][]byte{1: nil})
	packtest.ExpectWords(t, told(), "zoid 1 is reachable and its state is NULL or empty", "counts as garbage", "Restore the row before")
	packtest.CommitRecords(t, conn, map[int64][]byte{1: zodbtest.Record(zodbtest.Document)})
	packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = 1")
	packtest.ExpectWords(t, told(), "the row of 1 object vanished though reachable objects refer to it: zoid 1")
}

// RelStorage writes no tid 0, but a hand may: what such a row refers to is alive.
func TestARowOfTidZeroIsDecoded(t *testing.T) {
	t.Parallel()
	_, conn := packtest.NewGarden(t)
	want := map[int64]bool{1: true, 2: true}
	states := record.NewReader(nil, func(_ context.Context, row record.Row, found record.Decoded) error {
		if (len(found.Refs) > 0) != want[row.Zoid] {
			t.Errorf("zoid %d refers to %v", row.Zoid, found.Refs)
		}
		delete(want, row.Zoid)
		return nil
	})
	if err := states.Query(t.Context(), conn, `
		SELECT 1::bigint, 0::bigint, state FROM object_state WHERE zoid = 0
		UNION ALL SELECT 2, tid, state FROM object_state WHERE zoid = 0
		UNION ALL SELECT 3, NULL, NULL`); err != nil || len(want) > 0 {
		t.Errorf("%v, not read: %v", err, want)
	}
}
