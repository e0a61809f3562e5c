package orphans_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/orphans"
)

// newPackedShelf is a history after a pack that knew the directory, with a file of a
// revision of blob 2 that has no row.
func newPackedShelf(t *testing.T) (s *shelf, a packtest.Album, unnamed int64) {
	t.Helper()
	s, a = newHistoryShelf(t, true)
	packtest.PackWithGrace(t, a.Target, 5)
	for path, kind := range s.files {
		if kind == "listed" {
			delete(s.files, path)
		}
	}
	s.write(a.Layout, 2, a.First+3, 20*day, "unnamed")
	return s, a, a.First + 3
}

func TestOnlyRevisionsWithoutARowAreRemovedFromAHistory(t *testing.T) {
	t.Parallel()
	s, a := newHistoryShelf(t, true)
	s.write(a.Layout, 2, a.First+3, 20*day, "unnamed")
	s.write(a.Layout, 2, a.Second+3, 20*day, "unnamed")
	s.write(a.Layout, 9, a.First, 20*day, "gone")
	s.put("tmp/BUCx0_z1a2b", 2*day, "temporary")
	s.put("readme", 20*day, "other")
	s.write(zodbtest.Lawn, 4, a.First, 20*day, "duplicate")
	o := s.removing()
	o.Days = 40 // by the files' times all is young
	if r, err := s.look(o); err != nil || r.Removed.Files != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	s.expectThere()
	r := s.expectRemoved(s.removing(), "unnamed", "temporary", "duplicate")
	if r.Removed != (orphans.Files{Files: 4, Bytes: 28}) || r.Kept != 0 || kind(r, "listed") != 2 || kind(r, "stored") != 3 {
		t.Errorf("%+v", r)
	}
	if r := s.expectRemoved(s.removing(), "unnamed", "temporary", "duplicate"); r.Removed.Files != 0 || r.Orphans.Files != 0 {
		t.Errorf("%+v", r)
	}
	if !strings.Contains(s.mark(), `"cleared": 0`) {
		t.Error(s.mark())
	}
	// What a pack trims afterwards was superseded long ago, and goes.
	packtest.PackWithGrace(t, a.Target, 0.5)
	s.files[s.below(2, a.Second, a.Layout)] = "trimmed"
	packtest.Run(t, s.conn, "DELETE FROM relpack.blob_removal")
	if err := zodbtest.WriteBlob(s.BlobDir, a.Layout, 2, a.Second, []byte("content")); err != nil {
		t.Fatal(err)
	}
	delete(s.files, s.below(2, a.First, a.Layout))
	delete(s.files, s.below(3, a.First, a.Layout))
	s.expectRemoved(s.removing(), "unnamed", "temporary", "duplicate", "trimmed")
}

// An undo of the later transaction writes the state of that row anew, and copies its file.
func TestTheFileOfAVanishedRevisionThatAnUndoWouldLookForStays(t *testing.T) {
	t.Parallel()
	s, a, _ := newPackedShelf(t)
	packtest.Run(t, s.conn, "DELETE FROM object_state WHERE zoid = 2 AND tid = $1", a.Second)
	s.files[s.below(2, a.Second, a.Layout)] = "missing"
	s.expectKinds(orphans.Options{Days: 0.5, Now: s.later()}, nil)
	if r := s.expectRemoved(s.removing(), "unnamed"); kind(r, "missing") != 1 {
		t.Errorf("%+v", r)
	}
	packtest.Run(t, s.conn, "UPDATE transaction SET packed = true WHERE tid = $1", a.Now)
	s.expectRemoved(s.removing(), "unnamed", "missing")
}

// removable are the files of blob 2 that the server lets go, of those with these tids.
func (s *shelf) removable(conn *pgx.Conn, since int64, until int64, lists string, tids ...int64) []int64 {
	s.t.Helper()
	rows, err := conn.Query(s.t.Context(), `SELECT orphaned.tid FROM `+lists+` AS list
		CROSS JOIN LATERAL relpack.blobs_orphaned(array_fill(2::bigint, ARRAY[cardinality($1::bigint[])]), $1,
			array_fill($2::bigint, ARRAY[cardinality($1::bigint[])]),
			array_fill('unnamed'::text, ARRAY[cardinality($1::bigint[])]), $3, relpack.blobs_mark(0), list.listed, list.version) AS orphaned`, tids, since, until)
	if err != nil {
		s.t.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}

const listing = "relpack.blobs_listed()"

func TestTheServerLetsOnlyFilesOfRevisionsWithoutARowGo(t *testing.T) {
	t.Parallel()
	s, a, unnamed := newPackedShelf(t)
	packtest.Run(t, s.conn, "SELECT relpack.try_pack_lock()")
	if got := s.removable(s.conn, a.Second, a.Now, listing, a.First-9, unnamed, a.Second, a.Now); !slices.Equal(got, []int64{a.First - 9, unnamed}) {
		t.Errorf("%d", got)
	}
	for why, got := range map[string][]int64{
		"it was superseded by another one":       s.removable(s.conn, a.Now, a.Now, listing, unnamed),
		"it was superseded within the grace":     s.removable(s.conn, a.Second, a.Second-1, listing, unnamed),
		"a list was made before the clock began": s.removable(s.conn, a.Second, a.Now, "(SELECT 'infinity'::timestamptz AS listed, version FROM relpack.blobs_listed())", unnamed),
		"nobody knows when the list was made":    s.removable(s.conn, a.Second, a.Now, "(SELECT NULL::timestamptz AS listed, version FROM relpack.blobs_listed())", unnamed),
	} {
		if len(got) > 0 {
			t.Errorf("%s: %d may go", why, got)
		}
	}
	// What is put back above that makes no event.
	packtest.Run(t, s.conn, "UPDATE relpack.storage SET watermark = $1, applied_tid = $1", a.Second-1)
	if got := s.removable(s.conn, a.Second, a.Now, listing, unnamed); len(got) > 0 {
		t.Error("it was superseded after the last capture, and may go")
	}
}

func TestWhatWasSupersededWithinAnHourStaysInAHistory(t *testing.T) {
	t.Parallel()
	s, a, _ := newPackedShelf(t)
	a.Write(t, zodbtest.TimeTid(time.Now().Add(-time.Minute)), map[int64][]byte{2: zodbtest.Record(zodbtest.Blob)})
	s.pack()
	packtest.Run(t, s.conn, "SELECT relpack.try_pack_lock()")
	last := packtest.Get[int64](t, s.conn, "SELECT max(tid) FROM object_state")
	if got := s.removable(s.conn, last, last, listing, a.Now+5); len(got) > 0 {
		t.Errorf("%d may go", got)
	}
}

func TestAListThatIsOlderThanACaptureRemovesNothing(t *testing.T) {
	t.Parallel()
	s, a, unnamed := newPackedShelf(t)
	packtest.Run(t, s.conn, "SELECT relpack.try_pack_lock()")
	packtest.Run(t, s.conn, "CREATE TABLE list AS SELECT * FROM relpack.blobs_listed()")
	if got := s.removable(s.conn, a.Second, a.Now, "list", unnamed); len(got) != 1 {
		t.Fatalf("%d", got)
	}
	packtest.Run(t, s.conn, "SELECT relpack.capture_watermark()")
	packtest.Run(t, s.conn, "SELECT relpack.capture_list()")
	_, err := s.conn.Exec(t.Context(), `SELECT orphaned.tid FROM list CROSS JOIN LATERAL
		relpack.blobs_orphaned('{2}', ARRAY[$1::bigint], ARRAY[$2::bigint], '{unnamed}', $2, relpack.blobs_mark(0), listed, version) AS orphaned`, unnamed, a.Second)
	packtest.ExpectRefusal(t, err, "has looked at the storage since the files were listed", "again")
}

// reading opens a transaction that has seen what is stored.
func (s *shelf) reading() (end func()) {
	s.t.Helper()
	reader := packtest.Session(s.t, s.Target)
	packtest.Run(s.t, reader, "BEGIN ISOLATION LEVEL REPEATABLE READ")
	packtest.Get[int](s.t, reader, "SELECT count(*) FROM object_state")
	return func() { packtest.Run(s.t, reader, "COMMIT") }
}

func TestTheServerKeepsWhatAnOpenTransactionMayReadOfAHistory(t *testing.T) {
	t.Parallel()
	s, a, unnamed := newPackedShelf(t)
	packtest.Run(t, s.conn, "SELECT relpack.try_pack_lock()")
	end := s.reading()
	packtest.Run(t, s.conn, "CREATE TABLE list AS SELECT * FROM relpack.blobs_listed()")
	if got := s.removable(s.conn, a.Second, a.Now, "list", unnamed); len(got) > 0 {
		t.Error("a file may go that a transaction may read")
	}
	end()
	defer s.reading()()
	if got := s.removable(s.conn, a.Second, a.Now, "list", unnamed); len(got) != 1 {
		t.Error("a file stays for a transaction that began after it was listed")
	}
}

// What the clock said then, it may say again.
func TestWhoBeganBeforeTheClockWasSetBackMayReadAListedFile(t *testing.T) {
	t.Parallel()
	s, a, unnamed := newPackedShelf(t)
	packtest.Run(t, s.conn, "SELECT relpack.try_pack_lock()")
	end := s.reading()
	packtest.Run(t, s.conn, `CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT pg_catalog.now() - interval ''1 hour'''`)
	body := packtest.Get[string](t, s.conn, "SELECT pg_get_functiondef('relpack.blobs_listed'::regproc)")
	packtest.Run(t, s.conn, strings.ReplaceAll(body, "clock_timestamp()", "public.clock_timestamp()"))
	packtest.Run(t, s.conn, "CREATE TABLE list AS SELECT * FROM relpack.blobs_listed()")
	if got := s.removable(s.conn, a.Second, a.Now, "list", unnamed); len(got) > 0 {
		t.Error("a file may go that a transaction reads")
	}
	end()
}

// Its row was there when the transaction began, though not when the files were listed,
// nor is it when they go.
func TestTheFileOfARevisionThatWasPutBackForAWhileStays(t *testing.T) {
	t.Parallel()
	s, a, unnamed := newPackedShelf(t)
	end := func() {}
	r, err := s.atPhase(s.removing(), "remove blob files", func() {
		a.PutBack(t, 2, unnamed)
		end = s.reading()
		packtest.Run(t, s.conn, "UPDATE current_object SET tid = $1 WHERE zoid = 2", a.Now)
		packtest.Run(t, s.conn, "DELETE FROM object_state WHERE zoid = 2 AND tid = $1", unnamed)
	})
	if err != nil || r.Removed.Files != 0 || r.Kept != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	s.expectThere()
	end()
	s.expectRemoved(s.removing(), "unnamed")
}

func TestTheFileOfARevisionThatIsPutBackWhileItIsAboutToGoStays(t *testing.T) {
	t.Parallel()
	s, a, unnamed := newPackedShelf(t)
	r, err := s.atPhase(s.removing(), "remove blob files", func() { a.PutBack(t, 2, unnamed) })
	if err != nil || r.Removed.Files != 0 || r.Kept != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	s.expectThere()
}

func TestAnOpenTransactionIsAwaitedBeforeFilesOfAHistoryGo(t *testing.T) {
	t.Parallel()
	s, _, _ := newPackedShelf(t)
	s.CommitLockTimeout = time.Second
	end := s.reading()
	_, err := s.look(s.removing())
	s.expectRefused(err, fault.ExitFailure, "an open transaction may still read them: pid ", "End that transaction")
	end()
	s.expectRemoved(s.removing(), "unnamed")
}

// It has copied the file of the revision before, and let go of the pack lock.
func TestAnUndoInFlightKeepsItsFileAndTellsOfNobodyElse(t *testing.T) {
	t.Parallel()
	for _, commits := range []bool{true, false} {
		s, a, _ := newPackedShelf(t)
		beside := a.History
		beside.Conn = packtest.Session(t, a.Target)
		undo, err := beside.BeginUndo(t.Context(), a.Now, 0)
		if err != nil {
			t.Fatal(err)
		}
		s.write(a.Layout, 2, undo.Tid, 0, "of the undo")
		done := make(chan error, 1)
		go func() {
			_, err := s.look(s.removing())
			done <- err
		}()
		packtest.Until(t, "it waits for the undo", func() bool {
			return packtest.Get[bool](t, s.conn, `SELECT EXISTS (SELECT FROM pg_stat_activity
				WHERE datname = current_database() AND application_name = 'relpack blobs' AND query LIKE '%capture_watermark%')`)
		})
		s.expectThere()
		end := undo.Abort
		if commits {
			end = undo.Commit
		}
		if err := end(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("it commits: %t: %v", commits, err)
		}
		s.expectThere("unnamed") // of one that was killed, its file is later than all
	}
}

func TestUndoAndARemovalFromAHistoryExcludeEachOther(t *testing.T) {
	t.Parallel()
	s, a, _ := newPackedShelf(t)
	beside := a.History
	beside.Conn = packtest.Session(t, a.Target)
	var undone error
	if _, err := s.atPhase(s.removing(), "remove blob files", func() { _, undone = beside.BeginUndo(t.Context(), a.Now, 0) }); err != nil {
		t.Fatal(err)
	}
	if undone == nil || !strings.Contains(undone.Error(), "a pack runs") {
		t.Errorf("an undo beside a removal: %v", undone)
	}
	s.write(a.Layout, 2, a.First+4, 20*day, "left")
	packtest.Run(t, beside.Conn, "SELECT pg_advisory_lock(-2)")
	if _, err := s.look(s.removing()); fault.ExitCode(err) != fault.ExitLocked {
		t.Errorf("a removal beside an undo: %v", err)
	}
	s.expectThere("unnamed")
}

func TestNothingIsRemovedFromADirectoryThatIsNotAHistorys(t *testing.T) {
	t.Parallel()
	for words, spoil := range map[string]func(s *shelf, a packtest.Album){
		"the files of 2 of 3 revisions of live blobs": func(s *shelf, a packtest.Album) {
			path := zodbtest.BlobPath(s.BlobDir, a.Layout, 2, a.Second)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			delete(s.files, s.below(2, a.Second, a.Layout))
		},
		"later than what is stored": func(s *shelf, a packtest.Album) { s.aside(4, a.First+7) },
		"another storage uses":      func(s *shelf, a packtest.Album) { s.aside(1, a.First-5) },
	} {
		s, a, _ := newPackedShelf(t)
		s.aside(4, a.Now+7) // later than all: no reason, and no excuse
		spoil(s, a)
		_, err := s.look(s.removing())
		s.expectRefused(err, fault.ExitRefused, words)
	}
}

// As an older backup leaves them.
func TestFilesLaterThanAllOfAHistoryStayAndAreCounted(t *testing.T) {
	t.Parallel()
	s, a, _ := newPackedShelf(t)
	s.write(a.Layout, 4, a.Now+7, 20*day, "above")
	s.write(a.Layout, 50, a.Now+8, 20*day, "above")
	if r := s.expectRemoved(s.removing(), "unnamed"); kind(r, "above") != 2 {
		t.Errorf("%+v", r)
	}
}

// The storage goes on, so that a revision follows it.
func TestAFileOfSomebodyElseIsNoRevisionOfAHistoryWithTheNextCommit(t *testing.T) {
	t.Parallel()
	s, a, _ := newPackedShelf(t)
	s.aside(2, zodbtest.TimeTid(s.now.Add(-2*time.Hour)))
	end := s.reading()
	done := make(chan error, 1)
	go func() {
		_, err := s.look(s.removing())
		done <- err
	}()
	s.untilItWaits()
	tid := a.Write(t, zodbtest.TimeTid(s.now.Add(-time.Hour-time.Minute)), map[int64][]byte{2: zodbtest.Record(zodbtest.Blob)})
	s.files[s.below(2, tid, a.Layout)] = "stored"
	end()
	if err := <-done; fault.ExitCode(err) != fault.ExitRefused {
		t.Error(err)
	}
	s.expectThere()
}

func TestFilesFromBeforeAHistoryWasReplacedStay(t *testing.T) {
	t.Parallel()
	s, _, _ := newPackedShelf(t)
	packtest.Run(t, s.conn, "UPDATE relpack.storage SET replaced = now() - interval '29 days'")
	packtest.Run(t, s.conn, "UPDATE relpack.storage SET replaced = now()")
	if r := s.expectRemoved(s.removing()); kind(r, "replaced") != 1 {
		t.Errorf("%+v", r)
	}
}

// RelStorage's own pack deletes old revisions of most objects.
func TestAHistoryWhoseOldRevisionsAreDeletedWasNotReplaced(t *testing.T) {
	t.Parallel()
	s, _, _ := newPackedShelf(t)
	packtest.Run(t, s.conn, "UPDATE relpack.storage SET objects = 1")
	packtest.Run(t, s.conn, "DELETE FROM object_state AS old WHERE EXISTS (SELECT FROM current_object AS now WHERE now.zoid = old.zoid AND now.tid > old.tid)")
	s.pack()
	if packtest.Get[bool](t, s.conn, "SELECT replaced > '-infinity' FROM relpack.storage") {
		t.Error("it was replaced")
	}
}
