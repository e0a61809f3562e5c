package pack_test

import (
	"testing"
	"time"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
)

// Rows of transaction that no revision names stay for a week more.
func TestAHistoryIsToldOfFromItsOldestRevisionOn(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(30), map[int64][]byte{0: page(1), 1: page()})
	store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page()})
	second := daysAgo(15)
	store(t, h, second, map[int64][]byte{1: page()})
	store(t, h, daysAgo(10), map[int64][]byte{0: page(1)})
	oldest := func(r *time.Time) int64 {
		t.Helper()
		if r == nil {
			return 0
		}
		return zodbtest.TimeTid(*r)
	}
	noted := func(column string) int64 {
		t.Helper()
		return packtest.Get[int64](t, h.Conn, "SELECT coalesce(relpack.time_to_tid("+column+"), 0) FROM relpack.run ORDER BY id DESC LIMIT 1")
	}
	about := func(got, want int64) bool { return max(got-want, want-got) < 1000 }
	dry := trimDays(5)
	dry.DryRun = true
	first := packtest.Get[int64](t, h.Conn, "SELECT min(tid) FROM transaction WHERE tid > 0")
	r := packtest.Pack(t, file, dry)
	if !about(oldest(r.Trimmed.Oldest), first) || len(r.Trimmed.ByClass) != 1 || r.Trimmed.ByClass[0].Revisions != 4 || noted("trimmed_until") != 0 || !about(noted("oldest"), first) {
		t.Errorf("%+v, %d", r.Trimmed, noted("oldest"))
	}
	packtest.ExpectWords(t, packtest.Status(t, file), "never trimmed", "oldest revision", "4 old revisions", "zmodels.Document  4 revisions")
	r = packtest.Pack(t, file, trimDays(5))
	if !about(oldest(r.Trimmed.Oldest), second) || len(r.Trimmed.ByClass) != 1 || r.Trimmed.ByClass[0].Revisions != 4 || !about(noted("trimmed_until"), r.Trimmed.UntilTid) || !about(noted("oldest"), second) {
		t.Errorf("%+v, %d", r.Trimmed, noted("oldest"))
	}
	packtest.ExpectWords(t, packtest.Status(t, file), "trimmed up to", "oldest revision", "last removed", "4 old revisions", "zmodels.Document  4 revisions")
}
