package pack_test

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/session"
)

type listed struct {
	Tid         int64
	Size        *int32
	Current     bool
	Packed      *bool
	Superseded  bool
	Username    *string
	Description *string
}

func listHistory(t *testing.T, conn *pgx.Conn, zoid int64, days float64) []listed {
	t.Helper()
	rows, err := session.Rows(t.Context(), conn, pgx.RowToStructByPos[listed],
		"SELECT tid, size, is_current, packed, superseded, username, description FROM relpack.history($1, $2)", zoid, days)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// superseded are the tids that a pack with so many days removes, by the function.
func superseded(t *testing.T, conn *pgx.Conn, zoid int64, days float64) (tids []int64) {
	t.Helper()
	for _, r := range listHistory(t, conn, zoid, days) {
		if r.Superseded {
			tids = append(tids, r.Tid)
		}
	}
	slices.Sort(tids)
	return tids
}

func TestTheHistoryOfAnObjectSaysWhatAPackTrims(t *testing.T) {
	t.Parallel()
	file, h := newStored(t, zodbtest.V42, "pack-gc false")
	first := store(t, h, daysAgo(9), map[int64][]byte{0: page(1, 2, 3, 4), 1: page(), 2: page(), 3: page(), 4: page()})
	store(t, h, daysAgo(8), map[int64][]byte{1: page(2), 2: page(1), 4: page(1)})
	packtest.Run(t, h.Conn, "UPDATE current_object SET tid = $1 WHERE zoid = 4", first) // which stays as it is
	store(t, h, daysAgo(7), map[int64][]byte{1: page(), 3: nil})
	store(t, h, daysAgo(0.01), map[int64][]byte{1: page(3)})
	packtest.Run(t, h.Conn, "UPDATE transaction SET description = convert_to('Grüße', 'UTF8'), username = convert_to('Jörg', 'UTF8') WHERE tid = (SELECT max(tid) FROM transaction)")
	want := map[int64][]int64{}
	for zoid := range int64(5) {
		want[zoid] = superseded(t, h.Conn, zoid, 1)
	}
	if last := listHistory(t, h.Conn, 1, 1)[0]; !last.Current || *last.Username != "Jörg" || *last.Description != "Grüße" || *last.Size == 0 || *last.Packed {
		t.Errorf("%+v", last)
	}
	if old := listHistory(t, h.Conn, 3, 1); len(old) != 2 || old[0].Size != nil || *old[1].Username != `\377` || !old[1].Superseded || !old[0].Superseded {
		t.Errorf("%+v", old)
	}
	before := allRevisions(t, h.Conn)
	packtest.Pack(t, file, trimDays(1))
	after := allRevisions(t, h.Conn)
	for zoid := range int64(5) {
		var gone []int64
		for _, key := range before.Keys() {
			if key.Zoid == zoid && !slices.Contains(after.Keys(), key) {
				gone = append(gone, key.Tid)
			}
		}
		slices.Sort(gone)
		if !slices.Equal(gone, want[zoid]) {
			t.Errorf("of zoid %d %v went, and %v were called superseded", zoid, gone, want[zoid])
		}
	}
}

func TestTheHistoryOfAnObjectThatHasNone(t *testing.T) {
	t.Parallel()
	_, conn := packtest.NewStorage(t)
	packtest.CommitRecords(t, conn, map[int64][]byte{0: page()})
	if rows := listHistory(t, conn, 0, 1); len(rows) != 1 || !rows[0].Current || rows[0].Superseded || rows[0].Username != nil || rows[0].Packed != nil {
		t.Errorf("%+v", rows)
	}
	if rows := listHistory(t, conn, 77, 1); len(rows) != 0 {
		t.Errorf("%+v", rows)
	}
}

func TestHistoryByClassCountsWhatIsStoredOfEachClass(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	newDiary(t, h)
	dryRun(t, file, 5)
	var want [4]int64 // objects, bytes, revisions, history
	for zoid, revisions := range allRevisions(t, h.Conn).Revisions {
		if zoid == 4 {
			continue // deleted: nobody knows its class
		}
		newest := len(revisions) - 1
		want[0]++
		want[1] += int64(len(revisions[newest].State))
		want[2] += int64(newest)
		for _, old := range revisions[:newest] {
			want[3] += int64(len(old.State))
		}
	}
	store(t, h, daysAgo(0), map[int64][]byte{0: page(1, 2, 3)}) // since the last pack
	var got [4]int64
	if err := h.Conn.QueryRow(t.Context(), "SELECT objects, bytes, revisions, history FROM relpack.history_by_class() LIMIT 1").
		Scan(&got[0], &got[1], &got[2], &got[3]); err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("counted %v, want %v", got, want)
	}
	deleted := packtest.Get[string](t, h.Conn, "SELECT format('%s %s %s', objects, bytes, revisions) FROM relpack.history_by_class() WHERE class = '(unknown)'")
	if deleted != "1 0 1" {
		t.Errorf("of the deleted object %s", deleted)
	}
}

// A pre-pack of zodbpack leaves more tables filled in a history than elsewhere.
func TestTablesThatZodbpackLeftFilledInAHistoryAreNamed(t *testing.T) {
	t.Parallel()
	_, h := newHistory(t, zodbtest.V42)
	packtest.Run(t, h.Conn, "INSERT INTO pack_state (tid, zoid) VALUES (1, 1); INSERT INTO pack_state_tid VALUES (1)")
	if got := packtest.Lines(t, h.Conn, "SELECT remedy FROM relpack.leftover ORDER BY remedy"); !slices.Equal(got, []string{
		"TRUNCATE public.pack_state;", "TRUNCATE public.pack_state_tid;"}) {
		t.Errorf("left over: %q", got)
	}
}

func TestTheHistoryTakesTheDaysThatAPackTakes(t *testing.T) {
	t.Parallel()
	_, h := newStored(t, zodbtest.V42, "pack-gc false")
	old := store(t, h, daysAgo(9), map[int64][]byte{0: page()})
	ahead := store(t, h, daysAgo(-3), map[int64][]byte{0: page()})
	store(t, h, daysAgo(-4), map[int64][]byte{0: page()})
	if got := superseded(t, h.Conn, 0, -1); !slices.Equal(got, []int64{old, ahead}) {
		t.Errorf("with a negative number %v are superseded", got)
	}
	for _, days := range []float64{0, 1, 36500, 1e7, 1e300} {
		if got := superseded(t, h.Conn, 0, days); len(got) > 0 {
			t.Errorf("with %v days %v are superseded", days, got)
		}
	}
}
