package pack_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/inventory"
	"relpack/runner/pack"
	"relpack/runner/progress"
	"relpack/runner/status"
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

// A stopper does something once to a pack that has removed some old revisions.
type stopper struct {
	progress.Silent
	trims bool
	do    func()
}

// stopping ends a pack between two batches of its trim.
func stopping(o pack.Options) pack.Options {
	stop := make(chan struct{})
	o.Progress, o.Stop = &stopper{do: func() { close(stop) }}, stop
	return o
}

func (s *stopper) Phase(name, _ string, _ int64) { s.trims = name == "trim" }

func (s *stopper) Add(n int64) {
	if s.trims && n > 0 && s.do != nil {
		s.do()
		s.do = nil
	}
}

// expectReport wants words of a report, and none of the others.
func expectReport(t *testing.T, r *pack.Report, without string, words ...string) {
	t.Helper()
	var text strings.Builder
	if err := r.Write(&text); err != nil {
		t.Fatal(err)
	}
	packtest.ExpectWords(t, text.String(), words...)
	if strings.Contains(text.String(), without) {
		t.Errorf("it has %q:\n%s", without, &text)
	}
}

// storeMany stores an object with so many old revisions, of 30 days ago.
func storeMany(t *testing.T, h zodbtest.History, many int64) {
	t.Helper()
	first := daysAgo(30)
	store(t, h, first, map[int64][]byte{0: page(1), 1: page()})
	packtest.Run(t, h.Conn, "INSERT INTO transaction (tid, username, description) SELECT $1 + n, '', '' FROM generate_series(1, $2::bigint) AS n", first, many)
	packtest.Run(t, h.Conn, `INSERT INTO object_state (zoid, tid, prev_tid, md5, state_size, state)
		SELECT 1, $1 + n, $1 + n - 1, md5($3::bytea), length($3::bytea), $3 FROM generate_series(1, $2::bigint) AS n`, first, many, page())
	packtest.Run(t, h.Conn, "UPDATE current_object SET tid = $1 WHERE zoid = 1", first+many)
}

func TestATrimThatDidNotEndSaysSo(t *testing.T) {
	t.Parallel()
	for _, gc := range []string{"pack-gc true", "pack-gc false"} {
		t.Run(gc, func(t *testing.T) {
			t.Parallel()
			file, h := newStored(t, zodbtest.V42, gc)
			const many = 5_000
			storeMany(t, h, many)
			r, err := pack.Run(t.Context(), file, stopping(trimDays(5)), packtest.Log(t))
			packtest.ExpectError(t, err, fault.ExitInterrupted)
			removed := r.Trimmed.Revisions
			if removed == 0 || removed == many {
				t.Fatalf("%d revisions were removed", removed)
			}
			expectReport(t, r, "trimmed up to", "trimming up to", "not finished", "zmodels.Document  2,000 revisions")
			text := packtest.Status(t, file)
			packtest.ExpectWords(t, text, "no trim has ended yet", "removed", "2,000 old revisions", "zmodels.Document  2,000 revisions")
			if strings.Contains(text, "never trimmed") {
				t.Errorf("status says\n%s", text)
			}
			r = packtest.Pack(t, file, trimDays(5))
			expectReport(t, r, "not finished", "trimmed up to", "zmodels.Document  3,000 revisions")
			packtest.ExpectWords(t, packtest.Status(t, file), "trimmed up to", "5,000 old revisions")
		})
	}
}

func TestATrimThatEndedIsToldWhereGarbageMayNotGo(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(30), map[int64][]byte{0: page(1), 1: page(), 2: page()})
	store(t, h, daysAgo(20), map[int64][]byte{1: []byte("no pickle")})
	r, err := pack.Run(t.Context(), file, trimDays(5), packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "can't be decoded")
	expectReport(t, r, "not finished", "trimmed up to", "1 revision,")
	packtest.ExpectWords(t, packtest.Status(t, file), "trimmed up to", "1 old revision")
	if noted := packtest.Get[int64](t, h.Conn, "SELECT coalesce(relpack.time_to_tid(trimmed_until), 0) FROM relpack.run"); max(noted-r.Trimmed.UntilTid, r.Trimmed.UntilTid-noted) > 1000 {
		t.Errorf("relpack.run says %d, the report %d", noted, r.Trimmed.UntilTid)
	}
}

func TestOnlyTheLastDryRunTellsWhatWouldGo(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]bool{"a dry run": true, "a pack": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file, h := newHistory(t, zodbtest.V42)
			for _, days := range []float64{40, 30, 20} {
				store(t, h, daysAgo(days), map[int64][]byte{0: page()})
			}
			packtest.Pack(t, file, trimDays(25))
			dry := trimDays(5)
			dry.DryRun = true
			packtest.Pack(t, file, dry)
			packtest.ExpectWords(t, packtest.Status(t, file), "would go  ", "zmodels.Document  1 revision")
			o := trimDays(25)
			o.DryRun = after
			packtest.Pack(t, file, o)
			text := packtest.Status(t, file)
			packtest.ExpectWords(t, text, "last removed", "zmodels.Document  1 revision")
			if strings.Contains(text, "would go") {
				t.Errorf("status says\n%s", text)
			}
		})
	}
}

func TestADryRunThatIsRefusedIsNotTakenForAPack(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(30), map[int64][]byte{0: page(1), 1: page(), 2: page()})
	store(t, h, daysAgo(20), map[int64][]byte{1: []byte("no pickle")})
	dry := trimDays(5)
	dry.DryRun = true
	for _, c := range []struct {
		options pack.Options
		code    int
		words   string
		without string
	}{
		{stopping(dry), fault.ExitInterrupted, "never trimmed", "would go"},
		{dry, fault.ExitRefused, "would go  ", "last removed"},
	} {
		_, err := pack.Run(t.Context(), file, c.options, packtest.Log(t))
		packtest.ExpectError(t, err, c.code)
		text := packtest.Status(t, file)
		packtest.ExpectWords(t, text, c.words)
		if strings.Contains(text, c.without) || strings.Contains(text, "last removed") {
			t.Errorf("status says\n%s", text)
		}
	}
}

func TestATrimThatIsKilledTellsWhatItHasRemoved(t *testing.T) {
	t.Parallel()
	for _, gc := range []string{"pack-gc true", "pack-gc false"} {
		t.Run(gc, func(t *testing.T) {
			t.Parallel()
			file, h := newStored(t, zodbtest.V42, gc)
			storeMany(t, h, 5_000)
			o := trimDays(5)
			o.Progress = &stopper{do: func() {
				packtest.Run(t, h.Conn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'relpack pack' AND datname = current_database()")
			}}
			r, err := pack.Run(t.Context(), file, o, packtest.Log(t))
			packtest.ExpectError(t, err, fault.ExitFailure, "connection")
			expectReport(t, r, "trimmed up to", "zmodels.Document  2,000 revisions")
			packtest.ExpectWords(t, packtest.Status(t, file), "no trim has ended yet", "last removed", "zmodels.Document  2,000 revisions")
			if noted := packtest.Get[string](t, h.Conn, "SELECT outcome || revisions FROM relpack.run"); noted != "running2000" {
				t.Errorf("relpack.run says %s", noted)
			}
			packtest.Pack(t, file, trimDays(5))
			packtest.ExpectWords(t, packtest.Status(t, file), "5,000 old revisions", "zmodels.Document  3,000 revisions")
		})
	}
}

func TestWhoHasTheRowOfARunLockedHoldsUpNoBatchOfATrim(t *testing.T) {
	t.Parallel()
	file, h := newStored(t, zodbtest.V42, "pack-gc false")
	storeMany(t, h, 5_000)
	freed := make(chan error, 1)
	o := trimDays(5)
	o.Progress = &stopper{do: func() {
		packtest.Run(t, h.Conn, "BEGIN; SELECT FROM relpack.run FOR UPDATE")
		time.AfterFunc(time.Second, func() {
			_, err := h.Conn.Exec(t.Context(), "ROLLBACK")
			freed <- err
		})
	}}
	r := packtest.Pack(t, file, o)
	if err := <-freed; err != nil {
		t.Error(err)
	}
	if noted := packtest.Get[int64](t, h.Conn, "SELECT revisions FROM relpack.run"); r.Trimmed.Revisions != 5_000 || noted != 5_000 {
		t.Errorf("%d revisions were removed, %d are noted", r.Trimmed.Revisions, noted)
	}
}

// On most nights nothing goes: a program that reads the report finds an empty list then.
func TestTheListOfClassesIsThereWhereNothingWent(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(9), map[int64][]byte{0: page(1), 1: page()})
	expect := func(report any, why string) {
		t.Helper()
		text, err := json.Marshal(report)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), `"by_class":[]`) {
			t.Errorf("%s: %s", why, text)
		}
	}
	look := func(why string) {
		t.Helper()
		report, err := status.Look(t.Context(), file, migrations.Files, packtest.Log(t))
		if err != nil {
			t.Fatal(err)
		}
		expect(report.History, why)
	}
	look("status, never packed")
	for _, why := range []string{"never packed", "packed"} {
		report := packtest.Pack(t, file, trimDays(1))
		expect(report.Trimmed, why)
		if packtest.Get[bool](t, h.Conn, "SELECT history IS NOT NULL FROM relpack.run ORDER BY id DESC LIMIT 1") {
			t.Errorf("%s: relpack.run has classes", why)
		}
	}
	dry := trimDays(1)
	dry.DryRun = true
	expect(packtest.Pack(t, file, dry).Trimmed, "a dry run")
	look("status")
	if text := packtest.Status(t, file); strings.Contains(text, "last removed") {
		t.Error(text)
	}
	file.KeepsGarbage = true
	expect(packtest.Pack(t, file, trimDays(1)).Trimmed, "pack-gc false")
}
