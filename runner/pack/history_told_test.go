package pack_test

import (
	"slices"
	"testing"
	"time"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/inventory"
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

// A first pack trims before there is a graph, one without garbage collection never has
// any, and none knows what was written since the last pack.
func TestEveryOldRevisionThatGoesIsToldOfByItsClass(t *testing.T) {
	t.Parallel()
	news, folder := zodbtest.Class{Name: "News"}, zodbtest.Class{Module: "zmodels", Name: "Folder"}
	for _, gc := range []string{"pack-gc true", "pack-gc false"} {
		for name, form := range map[string]func([]byte) []byte{"plain": slices.Clone[[]byte], "compressed": zodbtest.Compressed} {
			t.Run(gc+", "+name, func(t *testing.T) {
				t.Parallel()
				file, h := newStored(t, zodbtest.V42, gc)
				record := func(class zodbtest.Class, padding int, refs ...int64) []byte {
					return form(zodbtest.PaddedRecord(class, padding, refs...))
				}
				size := func(records ...[]byte) (n int64) {
					for _, r := range records {
						n += int64(len(r))
					}
					return n
				}
				document, root, long := record(zodbtest.Document, 100), record(folder, 10, 1, 2, 3, 4), record(news, 100_000)
				torn := zodbtest.Encrypted(page())
				store(t, h, daysAgo(30), map[int64][]byte{0: root, 1: document, 2: long, 3: torn, 4: document})
				store(t, h, daysAgo(29), map[int64][]byte{0: root, 1: document, 2: nil, 3: page()})
				store(t, h, daysAgo(28), map[int64][]byte{0: root, 1: document, 2: long, 4: nil})
				want := func(news, unknown, documents int64) []inventory.ClassHistory {
					all := []inventory.ClassHistory{
						{Class: "News", Revisions: 2, Bytes: size(long)},
						{Class: "zmodels.Document", Revisions: documents, Bytes: documents * size(document)},
						{Class: "zmodels.Folder", Revisions: 2, Bytes: 2 * size(root)},
						{Class: "(unknown)", Revisions: 1, Bytes: size(torn)},
					}
					slices.SortFunc(all, func(a, b inventory.ClassHistory) int { return int(b.Bytes - a.Bytes) })
					return all
				}
				r := packtest.Pack(t, file, trimDays(5))
				if got := r.Trimmed.ByClass; !slices.Equal(got, want(2, 1, 3)) {
					t.Errorf("a first pack: %+v, want %+v", got, want(2, 1, 3))
				}
				packtest.ExpectWords(t, packtest.Status(t, file), "last removed", "8 old revisions", "News  2 revisions")
				store(t, h, daysAgo(0.4), map[int64][]byte{0: record(folder, 10, 1, 2, 3, 7), 7: document})
				store(t, h, daysAgo(0.3), map[int64][]byte{1: document, 7: document})
				store(t, h, daysAgo(0.2), map[int64][]byte{7: document})
				r = packtest.Pack(t, file, trimDays(0.1))
				if got := r.Trimmed.ByClass; len(got) != 2 || got[0] != (inventory.ClassHistory{Class: "zmodels.Document", Revisions: 3, Bytes: 3 * size(document)}) {
					t.Errorf("a later pack: %+v", got)
				}
			})
		}
	}
}
