package pack_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/graph"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/record"
	"relpack/runner/target"
)

// Nobody reports an UPDATE of current_object. Whether an object was set back is asked when
// its old revisions are found, and again when they are to go.
func TestWhatIsSetBackWhileItsRevisionsAreTrimmedIsReadBeforeASweep(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	first := store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page(2), 2: page()})
	store(t, h, daysAgo(15), map[int64][]byte{1: page()})
	dryRun(t, file, 5)
	conn := packtest.Session(t, file)
	packtest.Run(t, conn, "SELECT relpack.try_pack_lock()")
	if !packtest.Get[bool](t, conn, "SELECT relpack.trim_settle()") {
		t.Fatal("not settled")
	}
	packtest.Run(t, conn, "SELECT relpack.trim_mark((SELECT horizon_tid FROM relpack.storage), 0, 1000)")
	if found := packtest.Get[int](t, conn, "SELECT cardinality(zoids) FROM relpack.trim_find((SELECT horizon_tid FROM relpack.storage), -1, 0, 100, 100)"); found != 1 {
		t.Fatalf("%d revisions were found", found)
	}
	packtest.Run(t, h.Conn, "UPDATE current_object SET tid = $1 WHERE zoid = 1", first)
	if gone := packtest.Get[int64](t, conn, "SELECT revisions FROM relpack.trim_batch((SELECT horizon_tid FROM relpack.storage), '{1}', ARRAY[$1::bigint])", first); gone != 0 {
		t.Fatalf("%d revisions went", gone)
	}
	packtest.Run(t, conn, "SELECT relpack.trim_cleared((SELECT horizon_tid FROM relpack.storage))")
	refusesToSweep(t, conn, sweepFiveDays, "captured changes are not applied")
	expectObjects(t, h, "swept", 0, 1, 2)
	packtest.Run(t, conn, "SELECT relpack.release_pack_lock()")
	packtest.Pack(t, file, trimDays(5))
	expectObjects(t, h, "packed", 0, 1, 2)
}

// forward sets an object forward by hand, to its newest revision.
const forward = "UPDATE current_object SET tid = (SELECT max(tid) FROM object_state WHERE zoid = $1) WHERE zoid = $1"

func TestWhatIsSetForwardByHandIsTrimmedAndItsReferencesGo(t *testing.T) {
	t.Parallel()
	for _, days := range []float64{-1, 5} {
		file, h := newHistory(t, zodbtest.V42)
		first := store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page(2), 2: page()})
		store(t, h, daysAgo(15), map[int64][]byte{1: page()})
		store(t, h, daysAgo(1), map[int64][]byte{0: page(1)})
		if err := h.Restore(t.Context(), first, true, map[int64][]byte{1: page(2)}, nil); err != nil {
			t.Fatal(err)
		}
		packtest.Pack(t, file, trimDays(days))
		expectObjects(t, h, "set back", 0, 1, 2)
		packtest.Run(t, h.Conn, forward, 1)
		report := packtest.Pack(t, file, trimDays(days))
		if n := packtest.Get[int](t, h.Conn, "SELECT count(*) FROM object_state WHERE zoid = 1"); n != 1 || report.Trimmed.LeftAlone > 0 {
			t.Errorf("--days %v: %d revisions are left, %d objects were left alone", days, n, report.Trimmed.LeftAlone)
		}
		if days < 0 {
			expectObjects(t, h, "set forward", 0, 1)
			continue
		}
		// Somebody may hold 2 in memory since before that.
		expectObjects(t, h, "set forward just now", 0, 1, 2)
		packtest.Run(t, h.Conn, "UPDATE relpack.object SET detached_tid = $1 WHERE zoid = 2", daysAgo(6))
		packtest.Pack(t, file, trimDays(days))
		expectObjects(t, h, "set forward long ago", 0, 1)
	}
}

// A commit sets it forward, and the others go on beside it as beside any commit.
func TestACommitThatSetsAnObjectForwardIsNoRestore(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	first := store(t, h, daysAgo(20), map[int64][]byte{0: page(1, 3), 1: page(2), 2: page(), 3: page(4), 4: page()})
	store(t, h, daysAgo(15), map[int64][]byte{1: page()})
	if err := h.Restore(t.Context(), first, true, map[int64][]byte{1: page(2)}, nil); err != nil {
		t.Fatal(err)
	}
	packtest.Pack(t, file, trimDays(5))
	store(t, h, daysAgo(4), map[int64][]byte{1: page(), 3: page()})
	packtest.Pack(t, file, trimDays(3))
	expectObjects(t, h, "up to a day after the commit", 0, 1, 3)
	if n := packtest.Get[int](t, h.Conn, "SELECT count(*) FROM relpack.to_trim WHERE alone"); n != 0 {
		t.Errorf("%d objects are called set back", n)
	}
	packtest.ExpectSound(t, file)
}

// The pack time goes back below what is trimmed, where objects that were left alone have
// their old revisions still.
func TestOldRevisionsOfWhatWasSetBackCountWhenThePackTimeGoesBack(t *testing.T) {
	t.Parallel()
	for name, look := range map[string]func(t *testing.T, file target.Target){
		"after a dry run":     func(t *testing.T, file target.Target) { dryRun(t, file, 5) },
		"after a killed pack": func(t *testing.T, file target.Target) { packtest.CrashAfter(t, file, trimDays(5), 28) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file, h := newHistory(t, zodbtest.V42)
			set := func(tid int64) { packtest.Run(t, h.Conn, "UPDATE current_object SET tid = $1 WHERE zoid = 1", tid) }
			first := store(t, h, daysAgo(20), map[int64][]byte{0: page(1, 2), 1: page(), 2: page()})
			second := store(t, h, daysAgo(15), map[int64][]byte{1: page(2)})
			store(t, h, daysAgo(14), map[int64][]byte{0: page(1)})
			store(t, h, daysAgo(10), map[int64][]byte{1: page()})
			set(first)
			packtest.Pack(t, file, trimDays(5))
			expectRevisions(t, h.Conn, "set back", 1, 3)
			store(t, h, daysAgo(1), map[int64][]byte{1: page()})
			look(t, file)
			set(second)
			packtest.Pack(t, file, trimDays(17))
			expectObjects(t, h, "to which a current revision refers", 0, 1, 2)
		})
	}
}

// A pack to an earlier time has not seen what a later one left alone.
func TestWhatWasLeftAloneIsTrimmedAfterAPackToAnEarlierTime(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	first := store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page()})
	store(t, h, daysAgo(15), map[int64][]byte{1: page(2), 2: page()})
	store(t, h, daysAgo(10), map[int64][]byte{1: page()})
	packtest.Run(t, h.Conn, "UPDATE current_object SET tid = $1 WHERE zoid = 1", first)
	packtest.Pack(t, file, trimDays(5))
	store(t, h, daysAgo(1), map[int64][]byte{1: page()})
	packtest.Pack(t, file, trimDays(18))
	collect(t, file, h, 4, daysAgo(4))
	expectRevisions(t, h.Conn, "set forward by a commit that names the first one", 1, 3)
}

// An object that a trim left alone is set forward while it is read, and set back again
// before that is applied: current_object names a revision that was not read.
func TestWhatIsSetForwardWhileItIsReadAndSetBackAgainKeepsItsReferences(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	first := store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page(2), 2: page()})
	store(t, h, daysAgo(15), map[int64][]byte{1: zodbtest.Record(zodbtest.Class{Module: "met", Name: "First"})})
	dryRun(t, file, 5)
	setBack := func() { packtest.Run(t, h.Conn, "UPDATE current_object SET tid = $1 WHERE zoid = 1", first) }
	setBack()
	p := packtest.Packer(t, file, packtest.Session(t, file))
	p.History = true
	packtest.Run(t, p.Conn, "SELECT relpack.try_pack_lock()")
	if !packtest.Get[bool](t, p.Conn, "SELECT relpack.trim_settle()") {
		t.Fatal("not settled")
	}
	const until = "(SELECT horizon_tid FROM relpack.storage)"
	packtest.Run(t, p.Conn, "SELECT relpack.trim_mark("+until+", 0, 1000)")
	if gone := packtest.Get[int64](t, p.Conn, "SELECT revisions FROM relpack.trim_batch("+until+", '{1}', ARRAY[$1::bigint])", first); gone != 0 {
		t.Fatalf("%d revisions went", gone)
	}
	packtest.Run(t, p.Conn, "SELECT relpack.trim_cleared("+until+")")
	packtest.Run(t, h.Conn, forward, 1)
	classes := record.NoClasses(nil)
	x := graph.NewExaminer(p, classes)
	defer x.Second.Close()
	classes.Open = func(ctx context.Context) (*pgx.Conn, error) {
		setBack()
		return x.Second.Get(ctx)
	}
	if left, err := x.Chunk(t.Context()); err != nil || left != 0 {
		t.Fatalf("%d objects are left: %v", left, err)
	}
	packtest.Run(t, p.Conn, "SELECT relpack.reach()")
	if alive := packtest.Get[bool](t, h.Conn, "SELECT parent IS NOT NULL FROM relpack.object WHERE zoid = 2"); !alive {
		t.Error("the graph lacks what the current revision refers to")
	}
	packtest.Run(t, p.Conn, "SELECT relpack.release_pack_lock()")
	packtest.Pack(t, file, trimDays(5))
	expectRevisions(t, h.Conn, "set back again", 1, 2)
	expectObjects(t, h, "to which the current revision refers", 0, 1, 2)
	packtest.ExpectSound(t, file)
}
