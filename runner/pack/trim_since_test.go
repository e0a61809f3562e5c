package pack_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
)

// expectRevisions tells how many revisions of an object have to be left.
func expectRevisions(t *testing.T, conn *pgx.Conn, when string, zoid int64, want int) {
	t.Helper()
	if got := packtest.Get[int](t, conn, "SELECT count(*) FROM object_state WHERE zoid = $1", zoid); got != want {
		t.Errorf("%s: %d revisions of %d, want %d", when, got, zoid, want)
	}
}

const weekLater = "UPDATE relpack.storage SET gone_through = gone_through - interval '8 days'"

// newWritten has two objects of three revisions, which a first pack has not all taken.
func newWritten(t *testing.T, h zodbtest.History) {
	t.Helper()
	for _, days := range []float64{20, 15, 10} {
		store(t, h, daysAgo(days), map[int64][]byte{0: page(1), 1: page()})
	}
}

func TestALaterPackOfAHistoryReadsWhatIsNew(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	const many = 3000
	objects := map[int64][]byte{0: page()}
	var refs []int64
	for zoid := int64(1); zoid <= many; zoid++ {
		objects[zoid], refs = page(), append(refs, zoid)
	}
	objects[0] = page(refs...)
	store(t, h, daysAgo(30), objects)
	store(t, h, daysAgo(29), objects)
	packtest.Pack(t, file, trimDays(20))
	packtest.Run(t, h.Conn, "VACUUM object_state")
	const read = `SELECT (sum(idx_tup_read) + (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = 'public'))::bigint
		FROM pg_stat_user_indexes WHERE schemaname = 'public'`
	store(t, h, daysAgo(10), map[int64][]byte{1: page(), 2: page(), 3: page()})
	if rows := packtest.RowsRead(t, file, read, func() { packtest.Pack(t, file, trimDays(5)) }); rows > many/10 {
		t.Errorf("%d rows of RelStorage's tables were read", rows)
	}
	expectRevisions(t, h.Conn, "written", 1, 1)
	packtest.Run(t, h.Conn, weekLater)
	if rows := packtest.RowsRead(t, file, read, func() { packtest.Pack(t, file, trimDays(5)) }); rows < many {
		t.Errorf("%d rows of RelStorage's tables were read a week later", rows)
	}
}

func TestATrimTakesWhatALaterRevisionNamesNoMore(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	newWritten(t, h)
	last := store(t, h, daysAgo(3), map[int64][]byte{1: page()})
	first := allRevisions(t, h.Conn).Revisions[1][0].Tid
	packtest.Run(t, h.Conn, "UPDATE object_state SET prev_tid = $1 WHERE zoid = 1 AND tid = $2", first, last)
	packtest.Pack(t, file, trimDays(5))
	expectRevisions(t, h.Conn, "named", 1, 3)
	collect(t, file, h, 2, daysAgo(2))
	expectRevisions(t, h.Conn, "when the pack time has passed what named it", 1, 1)
}

// Nobody reports what happens in current_object.
func TestATrimLooksAgainAtWhatTheLastOneLeftAlone(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	newWritten(t, h)
	revisions := allRevisions(t, h.Conn).Revisions[1]
	packtest.Run(t, h.Conn, "UPDATE current_object SET tid = $1 WHERE zoid = 1", revisions[0].Tid)
	collect(t, file, h, 5, daysAgo(5))
	collect(t, file, h, 4, daysAgo(4))
	expectRevisions(t, h.Conn, "set back", 1, 3)
	packtest.Run(t, h.Conn, "UPDATE current_object SET tid = $1 WHERE zoid = 1", revisions[2].Tid)
	collect(t, file, h, 3, daysAgo(3))
	expectRevisions(t, h.Conn, "current again", 1, 1)
	if got := packtest.Get[int](t, h.Conn, "SELECT count(*) FROM relpack.to_trim"); got != 0 {
		t.Errorf("%d objects are listed still", got)
	}
}

func TestATrimGoesThroughAllObjectsAfterAnEventOrADoubt(t *testing.T) {
	t.Parallel()
	for name, happens := range map[string]func(t *testing.T, h zodbtest.History){
		"a restored revision": func(t *testing.T, h zodbtest.History) {
			if err := h.Restore(t.Context(), daysAgo(12), false, map[int64][]byte{1: page()}, nil); err != nil {
				t.Fatal(err)
			}
			packtest.Run(t, h.Conn, "UPDATE current_object SET tid = (SELECT max(tid) FROM object_state WHERE zoid = 1) WHERE zoid = 1")
		},
		"one restored while the triggers were off": func(t *testing.T, h zodbtest.History) {
			packtest.SetTriggers(t, h.Conn, "DISABLE")
			packtest.Run(t, h.Conn, "INSERT INTO transaction (tid, username, description) VALUES ($1, '', '')", daysAgo(12))
			packtest.Run(t, h.Conn, "INSERT INTO object_state SELECT 1, max(tid), 0, md5('x'), 1, 'x' FROM transaction WHERE NOT packed")
			packtest.SetTriggers(t, h.Conn, "ENABLE ALWAYS")
		},
		"a week": func(t *testing.T, h zodbtest.History) {
			packtest.Run(t, h.Conn, weekLater)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file, h := newHistory(t, zodbtest.V42)
			newWritten(t, h)
			packtest.Pack(t, file, trimDays(5))
			if name == "a week" {
				// Whatever can have left it.
				packtest.Run(t, h.Conn, "UPDATE transaction SET packed = false")
			}
			happens(t, h)
			packtest.Pack(t, file, trimDays(4))
			expectRevisions(t, h.Conn, "afterwards", 1, 1)
			if got := packtest.Get[int](t, h.Conn, "SELECT count(*) FROM transaction WHERE tid > 0 AND NOT packed"); got != 0 {
				t.Errorf("%d transactions can be undone", got)
			}
		})
	}
}

func TestNothingIsClearedByAListThatMayLackSomething(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	newWritten(t, h)
	dryRun(t, file, 5)
	conn := packtest.Session(t, file)
	packtest.Run(t, conn, "SELECT relpack.try_pack_lock()")
	if packtest.Get[bool](t, conn, "SELECT relpack.trim_list($1)", daysAgo(5)) {
		t.Error("before the first trim all is listed")
	}
	trimmed(t, conn)
	packtest.Run(t, conn, "UPDATE relpack.storage SET cleared_tid = 0")
	_, err := conn.Exec(t.Context(), "SELECT relpack.trim_cleared($1, listed => true)", daysAgo(5))
	packtest.ExpectState(t, err, "RP002")
}

// What is restored beyond the watermark reports itself to nobody.
func TestNothingIsClearedBeyondTheWatermark(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	newWritten(t, h)
	dryRun(t, file, 5)
	later := store(t, h, daysAgo(1), map[int64][]byte{1: page()})
	conn := packtest.Session(t, file)
	packtest.Run(t, conn, "SELECT relpack.try_pack_lock()")
	trimmed(t, conn)
	packtest.Run(t, conn, "SELECT relpack.trim_mark($1, 0, 1000)", later)
	packtest.Run(t, conn, "SELECT relpack.trim_cleared($1)", later)
	if !packtest.Get[bool](t, conn, "SELECT cleared_tid = watermark FROM relpack.storage") {
		t.Error("cleared beyond the watermark")
	}
}
