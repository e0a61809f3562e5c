package pack_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
)

// A snapshot shows an older graph, another horizon, or revisions that are gone. What was
// deleted had superseded what is current now.
func TestADeleteInAnOlderSnapshotIsReported(t *testing.T) {
	t.Parallel()
	// It is older than the graph.
	t.Run("before the first build", func(t *testing.T) {
		t.Parallel()
		file, h := newHistory(t, zodbtest.V42)
		first := store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page(2), 2: page()})
		second := store(t, h, daysAgo(15), map[int64][]byte{1: page()})
		store(t, h, daysAgo(1), map[int64][]byte{0: page(1)})
		dba := packtest.Session(t, file)
		packtest.Run(t, dba, "BEGIN ISOLATION LEVEL REPEATABLE READ")
		packtest.Run(t, dba, "SELECT count(*) FROM object_state")
		dryRun(t, file, 5)
		packtest.Run(t, dba, "UPDATE current_object SET tid = $1 WHERE zoid = 1", first)
		packtest.Run(t, dba, "DELETE FROM object_state WHERE zoid = 1 AND tid = $1", second)
		packtest.Run(t, dba, "COMMIT")
		packtest.Pack(t, file, trimDays(5))
		expectObjects(t, h, "the current revision of 1 refers to 2", 0, 1, 2)
	})
	// It shows a newer revision that is gone by now, and nobody looks while the object is set back.
	t.Run("after the graph", func(t *testing.T) {
		t.Parallel()
		file, h := newHistory(t, zodbtest.V42)
		first := store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page(2), 2: page()})
		second := store(t, h, daysAgo(15), map[int64][]byte{1: page()})
		third := store(t, h, daysAgo(12), map[int64][]byte{1: page()})
		store(t, h, daysAgo(1), map[int64][]byte{0: page(1)})
		dryRun(t, file, 5)
		dba := packtest.Session(t, file)
		packtest.Run(t, dba, "BEGIN ISOLATION LEVEL REPEATABLE READ")
		packtest.Run(t, dba, "SELECT count(*) FROM object_state")
		packtest.Run(t, h.Conn, "UPDATE current_object SET tid = $1 WHERE zoid = 1", second)
		packtest.Run(t, h.Conn, "DELETE FROM object_state WHERE zoid = 1 AND tid = $1", third)
		dryRun(t, file, 5)
		packtest.Run(t, h.Conn, "UPDATE current_object SET tid = $1 WHERE zoid = 1", first)
		packtest.Run(t, dba, "DELETE FROM object_state WHERE zoid = 1 AND tid = $1", second)
		packtest.Run(t, dba, "COMMIT")
		packtest.Pack(t, file, trimDays(5))
		expectObjects(t, h, "the current revision of 1 refers to 2", 0, 1, 2)
	})
	// It shows a later horizon than there is.
	t.Run("the horizon of before", func(t *testing.T) {
		t.Parallel()
		file, h := newHistory(t, zodbtest.V42)
		store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page(2), 2: page()})
		second := store(t, h, daysAgo(15), map[int64][]byte{1: page()})
		store(t, h, daysAgo(8), map[int64][]byte{1: page()})
		store(t, h, daysAgo(1), map[int64][]byte{0: page(1)})
		dryRun(t, file, 5)
		dba := packtest.Session(t, file)
		packtest.Run(t, dba, "BEGIN ISOLATION LEVEL REPEATABLE READ")
		packtest.Run(t, dba, "SELECT count(*) FROM object_state")
		dryRun(t, file, 10)
		packtest.Run(t, dba, "DELETE FROM object_state WHERE zoid = 1 AND tid = $1", second)
		packtest.Run(t, dba, "COMMIT")
		packtest.Pack(t, file, trimDays(10))
		expectRevisions(t, h.Conn, "of 20 and 8 days ago", 1, 2)
		expectObjects(t, h, "the revision of 1 at the pack time refers to 2", 0, 1, 2)
	})
}

// An UPDATE that changes nothing that the graph shows makes no event, but its row may move
// into blocks that were read: there is room, as the history was trimmed.
func TestAFirstBuildSeesARowThatAnUpdateMoves(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	filler, pages, kids, root := map[int64][]byte{}, map[int64][]byte{}, map[int64][]byte{}, []int64{}
	for i := int64(0); i < 20; i++ {
		filler[1000+i] = zodbtest.PaddedRecord(zodbtest.Document, 1500)
	}
	for i := int64(1); i <= 40; i++ {
		pages[i] = zodbtest.PaddedRecord(zodbtest.Document, 1500, 200+i)
		kids[200+i] = page()
		root = append(root, i)
	}
	store(t, h, daysAgo(31), filler)
	store(t, h, daysAgo(30), pages)
	kids[0] = page(root...)
	store(t, h, daysAgo(29), kids)
	store(t, h, daysAgo(1), map[int64][]byte{0: page(root...)})
	packtest.Run(t, h.Conn, "DELETE FROM current_object WHERE zoid >= 1000")
	packtest.Run(t, h.Conn, "DELETE FROM object_state WHERE zoid >= 1000")
	packtest.Run(t, h.Conn, "VACUUM object_state")
	o := trimDays(5)
	o.RangeBlocks = 1
	adds := 0
	o.Progress = &packtest.Hooks{OnAdd: func(name string, _ int64) {
		if name == "scan" {
			if adds++; adds == 5 {
				packtest.Run(t, h.Conn, "UPDATE object_state SET md5 = md5 WHERE ctid >= '(9,0)' AND zoid BETWEEN 1 AND 40")
			}
		}
	}}
	packtest.Pack(t, file, o)
	want := []int64{0}
	want = append(want, root...)
	for i := int64(1); i <= 40; i++ {
		want = append(want, 200+i)
	}
	expectObjects(t, h, "all alive", want...)
	packtest.ExpectSound(t, file)
}

// What it says of the horizon it has read before: with an earlier one the older revision
// counts that is left.
func TestADeleteBesideAHorizonThatMovesBackIsReported(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page(2), 2: page()})
	second := store(t, h, daysAgo(15), map[int64][]byte{1: page()})
	store(t, h, daysAgo(8), map[int64][]byte{1: page()})
	store(t, h, daysAgo(1), map[int64][]byte{0: page(1)})
	dryRun(t, file, 5)
	dba, ended := packtest.Session(t, file), make(chan error, 1)
	o := trimDays(10)
	o.DryRun = true
	if _, err := pack.Run(t.Context(), file, o, packtest.PhaseLog("choose", func() {
		packtest.Run(t, dba, "BEGIN")
		packtest.Run(t, dba, "DELETE FROM object_state WHERE zoid = 1 AND tid = $1", second)
		go func() {
			_, err := dba.Exec(context.Background(), "SELECT pg_sleep(1); COMMIT")
			ended <- err
		}()
	})); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("there is no such phase")
	}
	packtest.Pack(t, file, trimDays(10))
	expectRevisions(t, h.Conn, "of 20 and 8 days ago", 1, 2)
	expectObjects(t, h, "the revision of 1 at the pack time refers to 2", 0, 1, 2)
}

// The list may take longer than a pack waits for writers.
func TestNothingIsListedInVainWhereTheHorizonCannotMoveBack(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page()})
	store(t, h, daysAgo(8), map[int64][]byte{1: page()})
	dryRun(t, file, 5)
	packtest.Run(t, h.Conn, `CREATE FUNCTION listing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'listed'; END $$;
		CREATE TRIGGER listing BEFORE INSERT ON relpack.pending EXECUTE FUNCTION listing()`)
	packer, dba := packtest.Session(t, file), packtest.Session(t, file)
	packtest.Run(t, packer, "SELECT relpack.try_pack_lock()")
	packtest.Run(t, packer, "SELECT relpack.trim_settle()")
	move := func() error {
		_, err := packer.Exec(t.Context(), "SELECT relpack.horizon_move(now() - interval '10 days')")
		return err
	}
	packtest.Run(t, dba, "BEGIN")
	packtest.Run(t, dba, "UPDATE object_state SET state = state WHERE zoid = 1")
	if err := move(); !fault.IsState(err, "55P03") {
		t.Errorf("beside a writer: %v", err)
	}
	packtest.Run(t, dba, "COMMIT")
	if err := move(); err == nil || !strings.Contains(err.Error(), "listed") {
		t.Errorf("afterwards: %v", err)
	}
}
