package pack_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
)

func TestATrimReachesNoFurtherThanTheOldestTransactionHasSeen(t *testing.T) {
	t.Parallel()
	file, h := newTrimmed(t, zodbtest.V42)
	page := func(n int64) map[int64][]byte { return map[int64][]byte{0: zodbtest.Record(zodbtest.Document, n)} }
	store(t, h, daysAgo(3), page(1))
	store(t, h, daysAgo(2), page(2))
	seen := store(t, h, daysAgo(1), page(3))
	reader := packtest.Session(t, file)
	packtest.Run(t, reader, "BEGIN ISOLATION LEVEL REPEATABLE READ")
	packtest.Run(t, reader, "SELECT FROM object_state")
	store(t, h, 0, page(4))
	store(t, h, 0, page(5))
	until := func(moment string) int64 {
		t.Helper()
		return packtest.Get[int64](t, h.Conn, "SELECT relpack.trim_until("+moment+")")
	}
	// Whether the reader saw the newest transaction before it began, nobody knows.
	if got, want := until("now()"), daysAgo(2); got > seen || got < want-1<<26 || got > want+1<<26 {
		t.Errorf("up to %d, want %d", got, want)
	}
	report, err := pack.Run(t.Context(), file, trimDays(0), packtest.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	if report.HeldBy == "" || report.Trimmed.Revisions != 1 {
		t.Errorf("held by %q, %d revisions removed", report.HeldBy, report.Trimmed.Revisions)
	}
	packtest.Run(t, reader, "COMMIT")
	newest := packtest.Get[int64](t, h.Conn, "SELECT max(tid) FROM transaction")
	if got := until("now()"); got != newest {
		t.Errorf("up to %d, want %d", got, newest)
	}
	// Tids that are ahead of the clock say nothing of who has seen them.
	store(t, h, zodbtest.TimeTid(time.Now().Add(time.Hour)), page(6))
	packtest.Run(t, reader, "BEGIN ISOLATION LEVEL REPEATABLE READ")
	packtest.Run(t, reader, "SELECT FROM object_state")
	if got := until("now()"); got != 0 {
		t.Errorf("up to %d beside a reader, with tids of the future", got)
	}
	if got := until("NULL"); got <= newest {
		t.Errorf("up to %d with a negative --days", got)
	}
}

func TestARoleThatOwnsNothingTrimsWithTheGrantsThatItIsTold(t *testing.T) {
	t.Parallel()
	file, h := newTrimmed(t, zodbtest.V42)
	newDiary(t, h)
	before := allRevisions(t, h.Conn)
	role := packtest.NewRole(t, h.Conn)
	packtest.Run(t, h.Conn, "GRANT pg_read_all_stats TO "+role)
	_, err := pack.Run(t.Context(), packtest.As(file, role), trimDays(5), packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "may not")
	for _, grant := range packtest.Lines(t, h.Conn, "SELECT DISTINCT remedy FROM relpack.missing_privilege('"+role+"')") {
		packtest.Run(t, h.Conn, grant)
	}
	if _, err := pack.Run(t.Context(), packtest.As(file, role), trimDays(5), packtest.Log(t)); err != nil {
		t.Fatal(err)
	}
	if got, want := allRevisions(t, h.Conn).Keys(), before.Trimmed(daysAgo(5)); !slices.Equal(got, want) {
		t.Errorf("there are %v, want %v", got, want)
	}
}

func TestNothingIsTrimmedThatAnUndoMayNeed(t *testing.T) {
	t.Parallel()
	_, h := newTrimmed(t, zodbtest.V42)
	newDiary(t, h)
	before := allRevisions(t, h.Conn)
	oldest := before.Revisions[0][0].Tid
	batch := func() error {
		_, err := h.Conn.Exec(t.Context(), "SELECT relpack.trim_batch($1, '{0}', ARRAY[$2::bigint])", daysAgo(5), oldest)
		return err
	}
	uncreate := func() error {
		_, err := h.Conn.Exec(t.Context(), "SELECT relpack.trim_uncreated($1, '{7}')", daysAgo(5))
		return err
	}
	// Without the pack lock, before undos have ended, and of what is not marked.
	expectRaised(t, batch(), "RP002", "does not hold the pack lock")
	packtest.Run(t, h.Conn, "SELECT relpack.try_pack_lock()")
	expectRaised(t, batch(), "RP002", "an undo may be in flight")
	packtest.Run(t, h.Conn, "SELECT relpack.trim_settle()")
	expectRaised(t, batch(), "RP003", "unmarked")
	packtest.Run(t, h.Conn, "UPDATE transaction SET packed = true WHERE tid > $1", oldest)
	expectRaised(t, batch(), "RP003", "unmarked") // half of it could be undone
	packtest.Run(t, h.Conn, "UPDATE transaction SET packed = false")
	store(t, h, daysAgo(5.5), map[int64][]byte{7: nil})
	expectRaised(t, uncreate(), "RP003", "unmarked")
	packtest.Run(t, h.Conn, "UPDATE transaction SET packed = true WHERE tid > 0 AND tid < $1", daysAgo(9.5))
	expectRaised(t, batch(), "RP003", "unmarked")
	if after := allRevisions(t, h.Conn); len(after.Keys()) != len(before.Keys())+1 {
		t.Errorf("there are %v, were %v", after.Keys(), before.Keys())
	}
	packtest.Run(t, h.Conn, "UPDATE transaction SET packed = true WHERE tid > 0 AND tid <= $1", daysAgo(5))
	if err := errors.Join(batch(), uncreate()); err != nil {
		t.Error(err)
	}
	// Who gives the lock back and takes it again has to wait for undos anew.
	packtest.Run(t, h.Conn, "SELECT relpack.release_pack_lock()")
	expectRaised(t, batch(), "RP002", "does not hold the pack lock")
	packtest.Run(t, h.Conn, "SELECT relpack.try_pack_lock()")
	expectRaised(t, batch(), "RP002", "an undo may be in flight")
	if after := allRevisions(t, h.Conn); len(after.Keys()) != len(before.Keys())-1 {
		t.Errorf("there are %v, were %v", after.Keys(), before.Keys())
	}
}

// Who calls it in psql may ask for anything.
func TestABatchJudgesWhatItIsAskedToRemove(t *testing.T) {
	t.Parallel()
	_, h := newTrimmed(t, zodbtest.V42)
	tids := threeRevisions(t, h)
	later := store(t, h, daysAgo(1), map[int64][]byte{7: zodbtest.Record(zodbtest.Document)})
	packtest.Run(t, h.Conn, "SELECT relpack.try_pack_lock()")
	packtest.Run(t, h.Conn, "SELECT relpack.trim_settle()")
	packtest.Run(t, h.Conn, "SELECT relpack.trim_mark($1, 0, 100)", daysAgo(0))
	for _, tid := range []int64{tids[2], later, later + 1} {
		if n := packtest.Get[int64](t, h.Conn, "SELECT revisions FROM relpack.trim_batch($1, '{7,7}', ARRAY[$2, $2]::bigint[])", daysAgo(5), tid); n != 0 {
			t.Errorf("%d revisions went: what is kept, is later, or is not there", n)
		}
	}
	// What is named still does not go, however long it is listed.
	packtest.Run(t, h.Conn, "INSERT INTO relpack.emptied VALUES ($1, now() - interval '8 days')", tids[1])
	packtest.Run(t, h.Conn, "SELECT relpack.trim_batch($1, '{7,7}', $2)", daysAgo(5), tids[:2])
	if n := packtest.Get[int64](t, h.Conn, "SELECT removed FROM relpack.trim_transactions(10, 0)"); n != 0 {
		t.Errorf("%d transactions went that revisions name", n)
	}
	if got := allRevisions(t, h.Conn).Revisions[7]; len(got) != 2 {
		t.Errorf("there are %v", got)
	}
}

// Rows that were returned are looked for where a trigger of others may put them back.
func TestABatchIsTakenBackWhenATriggerPutsARowBack(t *testing.T) {
	t.Parallel()
	_, h := newTrimmed(t, zodbtest.V42)
	tids := threeRevisions(t, h)
	before := allRevisions(t, h.Conn)
	packtest.Run(t, h.Conn, "SELECT relpack.try_pack_lock()")
	packtest.Run(t, h.Conn, "SELECT relpack.trim_settle()")
	packtest.Run(t, h.Conn, "SELECT relpack.trim_mark($1, 0, 100)", daysAgo(0))
	packtest.Run(t, h.Conn, `CREATE FUNCTION put_back() RETURNS trigger LANGUAGE plpgsql AS
			'BEGIN INSERT INTO public.object_state SELECT old.*; RETURN NULL; END';
		CREATE TRIGGER back AFTER DELETE ON object_state FOR EACH ROW EXECUTE FUNCTION put_back()`)
	_, err := h.Conn.Exec(t.Context(), "SELECT relpack.trim_batch($1, '{7}', ARRAY[$2::bigint])", daysAgo(5), tids[0])
	expectRaised(t, err, "RP003", "changed")
	if after := allRevisions(t, h.Conn); len(after.Keys()) != len(before.Keys()) {
		t.Errorf("there are %v, were %v", after.Keys(), before.Keys())
	}
}

// The disk is waited for by what comes after a batch: a crash takes back both or none.
func TestABatchWaitsForNoDisk(t *testing.T) {
	t.Parallel()
	_, h := newTrimmed(t, zodbtest.V42)
	tids := threeRevisions(t, h)
	packtest.Run(t, h.Conn, "SELECT relpack.try_pack_lock()")
	packtest.Run(t, h.Conn, "SELECT relpack.trim_settle()")
	packtest.Run(t, h.Conn, "INSERT INTO relpack.emptied VALUES ($1, now() - interval '8 days')", tids[1])
	for _, call := range []struct{ sql, want string }{{"relpack.trim_batch($1, '{}', '{}')", "off"}, {"relpack.trim_transactions(10, 0 * $1::bigint)", "off"}, {"relpack.trim_begin($1)", "local"}} {
		packtest.Run(t, h.Conn, "BEGIN")
		packtest.Run(t, h.Conn, "SELECT FROM "+call.sql, daysAgo(5))
		if got := packtest.Get[string](t, h.Conn, "SHOW synchronous_commit"); got != call.want {
			t.Errorf("after %s synchronous_commit is %s, want %s", call.sql, got, call.want)
		}
		packtest.Run(t, h.Conn, "ROLLBACK")
	}
}

func expectRaised(t *testing.T, err error, state, text string) {
	t.Helper()
	if message, raised := fault.Raised(err, state); !raised || !strings.Contains(message, text) {
		t.Errorf("%v, want %s %s", err, state, text)
	}
}

// Nothing found means that all was read.
func TestATrimThatIsToFindNothingIsRefused(t *testing.T) {
	t.Parallel()
	_, h := newHistory(t, zodbtest.V42)
	for _, few := range []string{"0, 10", "10, 0", "-1, 10", "NULL, 10", "10, NULL"} {
		_, err := h.Conn.Exec(t.Context(), "SELECT relpack.trim_find(0, -1, 0, "+few+")")
		packtest.ExpectState(t, err, "22023")
		packtest.ExpectWords(t, err.Error(), "batch and rows_read are 1 at least")
	}
}
