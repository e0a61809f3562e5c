package pack_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
)

// newChosen is a history whose garbage, 2 and 3, is chosen, and the session that holds
// the pack lock: nothing but the sweep is missing.
func newChosen(t *testing.T) (target.Target, zodbtest.History, *pgx.Conn) {
	t.Helper()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page(), 2: page(3), 3: page()})
	store(t, h, daysAgo(1), map[int64][]byte{0: page(1)})
	dryRun(t, file, 5)
	conn := packtest.Session(t, file)
	packtest.Run(t, conn, "SELECT relpack.try_pack_lock()")
	return file, h, conn
}

// trimmed is the trim by hand, as the handbook says.
func trimmed(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	if !packtest.Get[bool](t, conn, "SELECT relpack.trim_settle()") {
		t.Fatal("not settled")
	}
	packtest.Run(t, conn, "SELECT relpack.trim_mark((SELECT horizon_tid FROM relpack.storage), 0, 1000)")
	packtest.Run(t, conn, "SELECT relpack.trim_cleared((SELECT horizon_tid FROM relpack.storage))")
}

const sweepFiveDays = "SELECT outcome || ' ' || objects FROM relpack.sweep(pack_time => now() - interval '5 days')"

func refusesToSweep(t *testing.T, conn *pgx.Conn, sql string, words ...string) {
	t.Helper()
	_, err := conn.Exec(t.Context(), sql)
	packtest.ExpectState(t, err, "RP002")
	packtest.ExpectWords(t, err.Error(), words...)
}

func TestASweepOfAHistoryWantsItTrimmed(t *testing.T) {
	t.Parallel()
	_, h, conn := newChosen(t)
	refusesToSweep(t, conn, sweepFiveDays, "undo")
	packtest.Get[bool](t, conn, "SELECT relpack.trim_settle()")
	refusesToSweep(t, conn, sweepFiveDays, "not trimmed")
	_, err := conn.Exec(t.Context(), "SELECT relpack.trim_cleared((SELECT horizon_tid FROM relpack.storage))")
	packtest.ExpectState(t, err, "RP003")
	trimmed(t, conn)
	if got := packtest.Get[string](t, conn, sweepFiveDays); got != "swept 2" {
		t.Errorf("%s", got)
	}
	expectObjects(t, h, "swept", 0, 1)
	if got := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.write_event"); got != 0 {
		t.Errorf("%d events of its own deletion", got)
	}
}

func TestASweepOfAHistoryWantsNoRulesOnItsTables(t *testing.T) {
	t.Parallel()
	_, h, conn := newChosen(t)
	trimmed(t, conn)
	for _, table := range []string{"object_state", "current_object", "transaction"} {
		packtest.Run(t, h.Conn, "CREATE RULE also AS ON DELETE TO "+table+" DO ALSO NOTHING")
		refusesToSweep(t, conn, sweepFiveDays, "rules change", table)
		packtest.Run(t, h.Conn, "DROP RULE also ON "+table)
	}
}

func TestASweepOfAHistoryWantsThePackTimeOfItsGraph(t *testing.T) {
	t.Parallel()
	file, _, conn := newChosen(t)
	trimmed(t, conn)
	refusesToSweep(t, conn, "SELECT relpack.sweep(pack_time => now() - interval '6 days')", "another pack time")
	packtest.Run(t, conn, "SELECT relpack.release_pack_lock()")
	dryRun(t, file, -1) // whoever reads
	packtest.Run(t, conn, "SELECT relpack.try_pack_lock()")
	trimmed(t, conn)
	refusesToSweep(t, conn, "SELECT relpack.sweep(pack_time => now())", "another pack time")
	if got := packtest.Get[string](t, conn, "SELECT outcome || ' ' || objects FROM relpack.sweep(pack_time => NULL)"); got != "swept 2" {
		t.Errorf("%s", got)
	}
}

func TestASweepOfAHistoryDeletesNothingButSingleCurrentKnownPackedRevisions(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ what, sql, want string }{
		{"of two revisions", `INSERT INTO object_state SELECT 3, tid - 1, 0, md5, state_size, state FROM object_state WHERE zoid = 3`, "stale"},
		{"that current_object does not name", "DELETE FROM current_object WHERE zoid = 3", "stale"},
		{"of another tid", "UPDATE relpack.object SET tid = tid - 1 WHERE zoid = 3", "stale"},
		{"later than the horizon", "UPDATE relpack.storage SET horizon_tid = (SELECT min(tid) - 1 FROM object_state)", "stale"},
		{"that can be undone", "UPDATE transaction SET packed = false", "unmarked"},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			_, h, conn := newChosen(t)
			trimmed(t, conn)
			packtest.Run(t, conn, "SELECT relpack.doom(now() - interval '5 days')")
			packtest.Run(t, h.Conn, "INSERT INTO transaction (tid, packed, username, description) SELECT tid - 1, true, '', '' FROM transaction WHERE tid > 0")
			packtest.Unnoticed(t, h.Conn, test.sql)
			packtest.Run(t, conn, "UPDATE relpack.storage SET trigger_identity = relpack.trigger_identity()")
			before := allRevisions(t, h.Conn)
			got := packtest.Get[string](t, conn, "SELECT outcome FROM relpack.sweep_try('{2,3}', false, false)")
			if got != test.want {
				t.Errorf("%s, not %s", got, test.want)
			}
			if after := allRevisions(t, h.Conn); !slices.Equal(after.Keys(), before.Keys()) {
				t.Errorf("left %v of %v", after.Keys(), before.Keys())
			}
		})
	}
}

func TestWhatIsStoredBesideASweepOfAHistoryKeepsWhatItRefersTo(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		what    string
		objects map[int64][]byte
		want    []int64
	}{
		{"a reference to garbage", map[int64][]byte{1: page(2)}, []int64{0, 1, 2, 3}},
		{"a part of it", map[int64][]byte{3: page()}, []int64{0, 1, 3}},
		{"something else", map[int64][]byte{1: page(0)}, []int64{0, 1}},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			file, h := newHistory(t, zodbtest.V42)
			store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page(), 2: page(3), 3: page()})
			o := packtest.Before("delete", func() { store(t, h, 0, test.objects) })
			o.Days = 5
			packtest.Pack(t, file, o)
			expectObjects(t, h, test.what, test.want...)
		})
	}
}

func TestATransactionThatLostItsLastRevisionToASweepGoesAWeekLater(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page()})
	garbage := store(t, h, daysAgo(19), map[int64][]byte{2: page(3), 3: page()})
	packtest.Pack(t, file, trimDays(5))
	expectObjects(t, h, "packed", 0, 1)
	if got := packtest.Lines(t, h.Conn, "SELECT tid::text FROM relpack.emptied"); len(got) != 1 {
		t.Fatalf("emptied: %v, want %d", got, garbage)
	}
	packtest.Run(t, h.Conn, "UPDATE relpack.emptied SET since = since - interval '8 days'")
	store(t, h, 0, map[int64][]byte{1: page()})
	if report := packtest.Pack(t, file, trimDays(5)); report.Trimmed.Transactions != 1 {
		t.Errorf("%+v", report.Trimmed)
	}
}

func TestBlobsOfGarbageInAHistoryGoOutOfTheDatabase(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(21), map[int64][]byte{0: page(1), 1: page()})
	for day := 20.0; day > 18; day-- {
		if _, err := h.CommitBlobs(t.Context(), daysAgo(day), map[int64][]byte{2: page()}, map[int64][][]byte{2: {[]byte("a"), []byte("b")}}); err != nil {
			t.Fatal(err)
		}
	}
	packtest.Pack(t, file, trimDays(5))
	expectObjects(t, h, "packed", 0, 1)
	if got := packtest.Lines(t, h.Conn, "SELECT 'large object ' || oid FROM pg_largeobject_metadata UNION ALL SELECT 'file of ' || zoid FROM relpack.blob_removal"); len(got) > 0 {
		t.Errorf("left: %s", strings.Join(got, ", "))
	}
}

func TestADeletionThatHasBegunInAHistoryEndsAtTheEarlierPackTime(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page(), 2: page(), 3: page(), 5: page()})
	store(t, h, daysAgo(10), map[int64][]byte{4: page(5)})
	store(t, h, daysAgo(1), map[int64][]byte{0: page(1)})
	dryRun(t, file, 5)
	conn := packtest.Session(t, file)
	packtest.Run(t, conn, "SELECT relpack.try_pack_lock()")
	trimmed(t, conn)
	if got := packtest.Get[string](t, conn, "SELECT outcome || ' ' || objects FROM relpack.sweep(1, now() - interval '5 days')"); got != "swept 1" {
		t.Fatalf("%s", got)
	}
	packtest.Run(t, conn, "SELECT relpack.release_pack_lock()")
	packtest.Pack(t, file, trimDays(15))
	expectObjects(t, h, "with an earlier pack time", 0, 1, 4, 5)
	packtest.Pack(t, file, trimDays(5))
	expectObjects(t, h, "with that of the deletion", 0, 1)
}

func TestWhatIsWrittenSinceTheHorizonWasChosenStaysWithANegativeGrace(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page(), 2: page(), 3: page()})
	packtest.Pack(t, file, trimDays(30))
	o := packtest.Before("trim", func() { store(t, h, 0, map[int64][]byte{4: page(2)}) })
	packtest.Pack(t, file, o)
	expectObjects(t, h, "new and not referred to", 0, 1, 2, 4)
	packtest.Pack(t, file, packtest.Everything)
	expectObjects(t, h, "later", 0, 1)
}

func TestWhatIsRestoredBesideASweepAndSupersededIsTrimmedBeforeItGoesOn(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page(), 2: page(3), 3: page()})
	restored := daysAgo(21)
	o := packtest.Before("delete", func() {
		packtest.Run(t, h.Conn, "INSERT INTO transaction (tid, username, description) VALUES ($1, '', '')", restored)
		packtest.Run(t, h.Conn, `INSERT INTO object_state (zoid, tid, prev_tid, md5, state_size, state)
			VALUES (1, $1, 0, md5($2::bytea), length($2::bytea), $2::bytea)`, restored, page(2))
	})
	o.Days = 5
	packtest.Pack(t, file, o)
	expectObjects(t, h, "packed", 0, 1)
	if got := packtest.Get[int](t, h.Conn, "SELECT count(*) FROM object_state WHERE tid = $1", restored); got != 0 {
		t.Error("a revision that refers to what is gone can be undone")
	}
}

// An import is one transaction of many objects: by the index on tid, all of them would be
// read for each. So would all that is chosen, if it were hashed.
func TestASweepOfAHistoryReadsEachObjectAFewTimes(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	const many = 3000
	objects, refs := map[int64][]byte{}, []int64{}
	for zoid := int64(1); zoid <= many; zoid++ {
		objects[zoid], refs = page(), append(refs, zoid)
	}
	objects[0] = page(refs...)
	store(t, h, daysAgo(30), objects)
	for zoid := int64(many + 1); zoid <= many+300; zoid++ {
		store(t, h, daysAgo(20-float64(zoid)/1000), map[int64][]byte{zoid: page()})
	}
	store(t, h, daysAgo(10), map[int64][]byte{0: page(refs[:10]...)})
	packtest.Run(t, h.Conn, "VACUUM ANALYZE object_state, current_object, transaction")
	const read = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE schemaname IN ('public', 'relpack')"
	var deleted int64
	if rows := packtest.RowsRead(t, file, read, func() { deleted = packtest.Pack(t, file, trimDays(1)).Deleted.Objects }); rows > 100*deleted {
		t.Errorf("%d rows were read to delete %d objects", rows, deleted)
	}
}
