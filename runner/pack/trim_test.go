package pack_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/revision"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/inventory"
	"relpack/runner/pack"
	"relpack/runner/schema"
	"relpack/runner/target"
)

// newTrimmed is a history-preserving storage with relpack, and a file that says
// pack-gc false.
func newTrimmed(t *testing.T, version zodbtest.Version) (target.Target, zodbtest.History) {
	t.Helper()
	return newStored(t, version, "pack-gc false")
}

func newStored(t *testing.T, version zodbtest.Version, gc string) (target.Target, zodbtest.History) {
	t.Helper()
	stored, conn := packtest.NewEmptyDatabase(t)
	if err := zodbtest.CreateHistory(t.Context(), conn, version); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "site.conf")
	text := fmt.Sprintf("<relstorage>\n%s\n<postgresql>\ndsn %s\n</postgresql>\n</relstorage>\n", gc, stored.DSN)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	targets, err := target.Targets(path, "", "")
	if err != nil {
		t.Fatal(err)
	}
	file := targets[0]
	if err := schema.Up(t.Context(), file, migrations.Files, packtest.Log(t)); err != nil {
		t.Fatal(err)
	}
	return file, zodbtest.History{Conn: conn, Version: version}
}

func daysAgo(days float64) int64 {
	return zodbtest.TimeTid(time.Now().Add(-time.Duration(days * 24 * float64(time.Hour))))
}

func store(t *testing.T, h zodbtest.History, tid int64, objects map[int64][]byte) int64 {
	t.Helper()
	tid, err := h.Commit(t.Context(), tid, objects)
	if err != nil {
		t.Fatal(err)
	}
	return tid
}

func allRevisions(t *testing.T, conn *pgx.Conn) *revision.Storage {
	t.Helper()
	s, err := revision.Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newDiary has revisions of ten days, a blob that an undo has brought back, garbage
// and a whiteout.
func newDiary(t *testing.T, h zodbtest.History) {
	t.Helper()
	page := func(refs ...int64) []byte { return zodbtest.Record(zodbtest.Document, refs...) }
	if _, err := h.CommitBlobs(t.Context(), daysAgo(10), map[int64][]byte{0: page(1, 2), 1: page(), 2: page(), 3: page(9), 4: page()},
		map[int64][][]byte{2: {[]byte("first"), []byte("half")}}); err != nil {
		t.Fatal(err)
	}
	second, err := h.CommitBlobs(t.Context(), daysAgo(9), map[int64][]byte{0: page(2), 2: page()}, map[int64][][]byte{2: {[]byte("second")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Undo(t.Context(), second, daysAgo(8)); err != nil {
		t.Fatal(err)
	}
	store(t, h, daysAgo(7), map[int64][]byte{3: page(8)})
	store(t, h, daysAgo(6), map[int64][]byte{4: nil})
	store(t, h, daysAgo(1), map[int64][]byte{0: page(1), 1: page()})
	store(t, h, daysAgo(0.1), map[int64][]byte{0: page(2)})
}

func trimDays(days float64) pack.Options {
	o := packtest.Everything
	o.Days = days
	return o
}

func TestAPackWithoutGarbageCollectionTrimsAHistory(t *testing.T) {
	t.Parallel()
	for _, version := range []zodbtest.Version{zodbtest.V15, zodbtest.V21, zodbtest.V30, zodbtest.V35, zodbtest.V42} {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			file, h := newTrimmed(t, version)
			newDiary(t, h)
			before := allRevisions(t, h.Conn)
			dry := trimDays(5)
			dry.DryRun = true
			would, err := pack.Run(t.Context(), file, dry, packtest.Log(t))
			if err != nil {
				t.Fatal(err)
			}
			if now := allRevisions(t, h.Conn); !slices.Equal(now.Keys(), before.Keys()) || now.Packed[daysAgo(10)] {
				t.Error("a dry run changed something")
			}
			done, err := pack.Run(t.Context(), file, trimDays(5), packtest.Log(t))
			if err != nil {
				t.Fatal(err)
			}
			after := allRevisions(t, h.Conn)
			if want := before.Trimmed(daysAgo(5)); !slices.Equal(after.Keys(), want) {
				t.Errorf("there are %v, want %v", after.Keys(), want)
			}
			if len(after.Unlinked) > 0 || packtest.Get[int](t, h.Conn, "SELECT count(*) FROM pg_largeobject_metadata") != 2 {
				t.Errorf("unlinked %v", after.Unlinked)
			}
			w, d := would.Trimmed, done.Trimmed
			if w.Revisions != d.Revisions || w.Bytes != d.Bytes || w.Whiteouts != d.Whiteouts || w.Marked != d.Marked || d.Marked == 0 ||
				int(d.Revisions+d.Whiteouts) != len(before.Keys())-len(after.Keys()) || d.Whiteouts != 1 {
				t.Errorf("would remove %+v, removed %+v", *w, *d)
			}
			if got, want := w.ByClass, []inventory.ClassHistory{{Class: "zmodels.Document", Revisions: d.Revisions, Bytes: d.Bytes}}; !slices.Equal(got, want) {
				t.Errorf("would remove %+v, want %+v", got, want)
			}
			if got := packtest.Get[int64](t, h.Conn, "SELECT revisions FROM relpack.run ORDER BY id DESC LIMIT 1"); got != d.Revisions {
				t.Errorf("relpack.run says %d", got)
			}
			for tid, packed := range after.Packed {
				if packed != (tid > 0 && tid <= daysAgo(5)) {
					t.Errorf("transaction %d: packed %v", tid, packed)
				}
			}
			again, err := pack.Run(t.Context(), file, trimDays(5), packtest.Log(t))
			if err != nil || again.Trimmed.Revisions+again.Trimmed.Whiteouts+again.Trimmed.Marked != 0 {
				t.Errorf("a second pack: %+v, %v", again.Trimmed, err)
			}
			var text strings.Builder
			if err := done.Write(&text); err != nil {
				t.Fatal(err)
			}
			packtest.ExpectWords(t, text.String(), "trimmed up to", "6 revisions", "1 object removed")
			packtest.ExpectWords(t, packtest.Status(t, file), "history-preserving storage", "trimmed up to", "6 old revisions")
		})
	}
}

func TestEmptiedTransactionsGoAWeekLater(t *testing.T) {
	t.Parallel()
	file, h := newTrimmed(t, zodbtest.V42)
	page := zodbtest.Record(zodbtest.Document)
	for day := range 3 {
		store(t, h, daysAgo(10-float64(day)), map[int64][]byte{1: page})
	}
	count := func(want int, says ...string) {
		t.Helper()
		o := trimDays(1)
		o.DryRun = true
		foretold := packtest.Pack(t, file, o).Trimmed.Transactions
		r, err := pack.Run(t.Context(), file, trimDays(1), packtest.Log(t))
		if err == nil && r.Trimmed.Transactions != foretold {
			t.Errorf("%d transactions went, %d were foretold", r.Trimmed.Transactions, foretold)
		}
		var text strings.Builder
		if err == nil {
			err = r.Write(&text)
		}
		if err != nil {
			t.Fatal(err)
		}
		packtest.ExpectWords(t, text.String(), says...)
		if got := packtest.Get[int](t, h.Conn, "SELECT count(*) FROM transaction WHERE tid > 0"); got != want {
			t.Errorf("%d transactions, want %d", got, want)
		}
	}
	// Two revisions are gone; the last one names the second.
	count(3, "0 transactions removed; 1 that no revision names waits until a week is over")
	packtest.Run(t, h.Conn, "UPDATE relpack.emptied SET since = since - interval '8 days'")
	count(2)
	if n := packtest.Get[int](t, h.Conn, "SELECT count(*) FROM relpack.emptied"); n != 0 {
		t.Errorf("%d are listed still", n)
	}
	store(t, h, daysAgo(3), map[int64][]byte{1: nil})
	count(3)
	packtest.Run(t, h.Conn, "UPDATE relpack.emptied SET since = since - interval '8 days'")
	count(1) // RelStorage chooses the next tid by the newest one
	// One that is named again, one of today, and the newest one.
	packtest.Run(t, h.Conn, "INSERT INTO transaction (tid, username, description, packed) SELECT $1::bigint + n, '', '', true FROM generate_series(0, 1) AS n", daysAgo(0.5))
	packtest.Run(t, h.Conn, `INSERT INTO relpack.emptied (tid, since) SELECT tid, now() - interval '8 days' FROM transaction WHERE tid > 0 ON CONFLICT DO NOTHING`)
	store(t, h, daysAgo(0.25), map[int64][]byte{1: page})
	count(3)
}

// A pack marks what was put back without its mark, as far as it trims, and removes none
// that can be undone.
func TestADryRunCountsNoTransactionThatStaysUnmarked(t *testing.T) {
	t.Parallel()
	file, h := newTrimmed(t, zodbtest.V42)
	for _, ago := range []float64{10, 0.25} {
		store(t, h, daysAgo(ago), map[int64][]byte{0: zodbtest.Record(zodbtest.Document)})
	}
	for _, ago := range []float64{8, 3} {
		packtest.Run(t, h.Conn, `WITH back AS (INSERT INTO transaction (tid, username, description, packed) VALUES ($1, '', '', false) RETURNING tid)
			INSERT INTO relpack.emptied (tid, since) SELECT tid, now() - interval '8 days' FROM back`, daysAgo(ago))
	}
	o := trimDays(5)
	o.DryRun = true
	foretold := packtest.Pack(t, file, o).Trimmed.Transactions
	removed := packtest.Pack(t, file, trimDays(5)).Trimmed.Transactions
	if foretold != 1 || removed != 1 {
		t.Errorf("%d transactions went, %d were foretold, want 1", removed, foretold)
	}
}

func TestWithoutItsGraphNothingOfAHistoryIsSwept(t *testing.T) {
	t.Parallel()
	_, h := newTrimmed(t, zodbtest.V42)
	newDiary(t, h)
	before := allRevisions(t, h.Conn)
	for _, call := range []string{"sweep()", "doom(now())", "doom(NULL)", "reach()", "capture_list()", "horizon_move(now())"} {
		_, err := h.Conn.Exec(t.Context(), "SELECT relpack."+call)
		if !fault.IsState(err, "RP002") {
			t.Errorf("%s: %v", call, err)
		}
	}
	if after := allRevisions(t, h.Conn); !slices.Equal(after.Keys(), before.Keys()) {
		t.Error("revisions are gone")
	}
}

func TestAStorageThatBecameOneOfTheOtherKindIsRefused(t *testing.T) {
	t.Parallel()
	file, h := newTrimmed(t, zodbtest.V42)
	newDiary(t, h)
	packtest.Run(t, h.Conn, "UPDATE relpack.storage SET keeps_history = false")
	_, err := pack.Run(t.Context(), file, trimDays(5), packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "is history-preserving, and was history-free", "relpack migrate down")
	packtest.ExpectWords(t, packtest.Status(t, file), "was history-free", `"relpack migrate down", then "relpack migrate up"`)
}

func TestAnUndoBesideATrimFailsAndOneThatHadBegunIsWaitedFor(t *testing.T) {
	t.Parallel()
	file, h := newTrimmed(t, zodbtest.V42)
	newDiary(t, h)
	last := store(t, h, daysAgo(0.05), map[int64][]byte{0: zodbtest.Record(zodbtest.Document)})
	undoer := zodbtest.History{Conn: packtest.Session(t, file), Version: zodbtest.V42}
	undo, err := undoer.BeginUndo(t.Context(), last, 0)
	if err != nil {
		t.Fatal(err)
	}
	impatient := file
	impatient.CommitLockTimeout = time.Second
	_, err = pack.Run(t.Context(), impatient, trimDays(5), packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitFailure, "wait for undos", fmt.Sprintf("pid %d", undoer.Conn.PgConn().PID()))
	if err := undo.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := pack.Run(t.Context(), file, packtest.Before("trim", func() {
		if _, err := undoer.Undo(t.Context(), undo.Tid, 0); err == nil || !strings.Contains(err.Error(), "a pack runs") {
			t.Errorf("an undo beside a pack: %v", err)
		}
	}), packtest.Log(t)); err != nil {
		t.Fatal(err)
	}
}
