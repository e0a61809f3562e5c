package zodbtest_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/revision"
	"relpack/runner/internal/zodbtest"
)

func newHistory(t *testing.T, version zodbtest.Version) (zodbtest.History, *pgx.Conn) {
	t.Helper()
	conn := pgtest.NewDatabase(t).Connect(t)
	execute(t, conn, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
	if err := zodbtest.CreateHistory(t.Context(), conn, version); err != nil {
		t.Fatal(err)
	}
	return zodbtest.History{Conn: conn, Version: version}, conn
}

func execute(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func loadHistory(t *testing.T, conn *pgx.Conn) *revision.Storage {
	t.Helper()
	s, err := revision.Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// must is what a step returned.
func must[T any](t *testing.T) func(T, error) T {
	return func(result T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
}

func expectState(t *testing.T, s *revision.Storage, zoid int64, want []byte) {
	t.Helper()
	got, there := s.At(zoid, s.Current[zoid])
	if !there || string(got.State) != string(want) || (got.State == nil) != (want == nil) {
		t.Errorf("object %d has %q, want %q", zoid, got.State, want)
	}
}

func TestAHistoryIsWrittenAndUndoneInEveryVersion(t *testing.T) {
	t.Parallel()
	for _, version := range []zodbtest.Version{zodbtest.V15, zodbtest.V21, zodbtest.V30, zodbtest.V35, zodbtest.V42} {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			h, conn := newHistory(t, version)
			tid := must[int64](t)
			one, two := zodbtest.Record(zodbtest.Document, 1), zodbtest.Record(zodbtest.Document, 2)
			first := tid(h.CommitBlobs(t.Context(), 100, map[int64][]byte{0: one, 1: one}, map[int64][][]byte{1: {[]byte("a"), []byte("b")}}))
			second := tid(h.Commit(t.Context(), 0, map[int64][]byte{0: two, 1: two}))
			undo := tid(h.Undo(t.Context(), second, 0))
			s := loadHistory(t, conn)
			expectState(t, s, 0, one)
			old, again := s.Chunks[revision.Key{Zoid: 1, Tid: first}], s.Chunks[revision.Key{Zoid: 1, Tid: undo}]
			if len(old) != 2 || len(again) != 2 || old[0] != again[0] || old[1] != again[1] {
				t.Errorf("the undo has the large objects %v, want those of what it restored: %v", again, old)
			}
			tid(h.Undo(t.Context(), undo, 0))
			expectState(t, loadHistory(t, conn), 0, two)
			created := tid(h.Commit(t.Context(), 0, map[int64][]byte{7: one}))
			tid(h.Undo(t.Context(), created, 0))
			expectState(t, loadHistory(t, conn), 7, nil)
		})
	}
}

func TestAnUndoIsRefusedWhileAPackRunsAndOfWhatWasPackedOrWrittenAgain(t *testing.T) {
	t.Parallel()
	h, conn := newHistory(t, zodbtest.V42)
	tid := must[int64](t)
	one := zodbtest.Record(zodbtest.Document)
	first := tid(h.Commit(t.Context(), 0, map[int64][]byte{0: one}))
	second := tid(h.Commit(t.Context(), 0, map[int64][]byte{0: zodbtest.Record(zodbtest.Document, 5)}))
	refused := func(undone int64) {
		t.Helper()
		if _, err := h.Undo(t.Context(), undone, 0); !errors.Is(err, zodbtest.ErrUndo) {
			t.Errorf("undo of %d: %v", undone, err)
		}
	}
	packer, err := pgx.Connect(t.Context(), conn.Config().ConnString())
	if err != nil {
		t.Fatal(err)
	}
	execute(t, packer, "SELECT pg_advisory_lock(-2)")
	refused(second)
	if err := packer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	execute(t, conn, "SELECT pg_advisory_lock(-2), pg_advisory_unlock(-2)")
	refused(first) // its object was written again
	execute(t, conn, "UPDATE transaction SET packed = true")
	refused(second)
}

func TestARestoredRevisionBecomesCurrent(t *testing.T) {
	t.Parallel()
	h, conn := newHistory(t, zodbtest.V42)
	one, two := zodbtest.Record(zodbtest.Document, 1), zodbtest.Record(zodbtest.Document, 2)
	must[int64](t)(h.Commit(t.Context(), 200, map[int64][]byte{0: two}))
	if err := h.Restore(t.Context(), 100, true, map[int64][]byte{0: one}, nil); err != nil {
		t.Fatal(err)
	}
	s := loadHistory(t, conn)
	expectState(t, s, 0, one)
	if !s.SetBack(0) || !s.Packed[100] || s.Packed[200] {
		t.Errorf("current %v, packed %v", s.Current, s.Packed)
	}
	if err := h.DeleteInPlace(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	expectState(t, loadHistory(t, conn), 0, nil)
}
