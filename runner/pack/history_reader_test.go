package pack_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
)

// Before relpack has a graph nobody reports what is restored.
func TestWhatWasRestoredBesideAReaderStaysUntilTheReaderHasEnded(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page(2), 2: page()})
	store(t, h, daysAgo(6), map[int64][]byte{0: page(1)})
	reader, err := packtest.Session(t, file).BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Exec(t.Context(), "SELECT count(*) FROM object_state"); err != nil {
		t.Fatal(err)
	}
	if err := h.Restore(t.Context(), daysAgo(10), true, map[int64][]byte{1: page()}, nil); err != nil {
		t.Fatal(err)
	}
	packtest.Pack(t, file, trimDays(5))
	expectObjects(t, h, "beside the reader", 0, 1, 2)
	if err := reader.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	packtest.Pack(t, file, trimDays(5))
	expectObjects(t, h, "after it", 0, 1)
}
