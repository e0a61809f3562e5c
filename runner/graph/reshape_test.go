package graph_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/session"
	"relpack/runner/target"
	"relpack/runner/verify"
)

// setLimits replaces what relpack.walk_limits() says of when all parents are chosen
// again: a share of the objects, one in so many, and a number in any case.
func setLimits(t testing.TB, conn *pgx.Conn, share, least int) {
	t.Helper()
	text, err := zodbtest.Mutated("walk_limits", "24, 10000", fmt.Sprintf("%d, %d", share, least))
	if err != nil {
		t.Fatal(err)
	}
	packtest.Run(t, conn, text)
}

// packSaying packs without deleting and returns what the log says.
func packSaying(t testing.TB, target target.Target) string {
	t.Helper()
	var said bytes.Buffer
	o := packtest.Everything
	o.DryRun = true
	if _, err := pack.Run(t.Context(), target, o, slog.New(slog.NewTextHandler(&said, nil))); err != nil {
		t.Fatal(err)
	}
	return said.String()
}

// chains are two of so many objects each that hang on the root: 1, 2, 3, ...,
// and from length+1 on.
func chains(length int64) packtest.Links {
	l := packtest.Links{0: {1, length + 1}}
	for zoid := int64(1); zoid <= 2*length; zoid++ {
		l[zoid] = []int64{}
		if zoid%length != 0 {
			l[zoid] = []int64{zoid + 1}
		}
	}
	return l
}

const written = "SELECT string_agg(xmin::text, ' ' ORDER BY zoid) FROM relpack.object WHERE zoid > $1 AND zoid <= $2"

// However far it is to the root, one that has another way up takes along all
// that hangs on it.
func TestWhatHangsFarDownMovesWithoutBeingWritten(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.Load(t, conn, chains(2000))
	packtest.DryRun(t, target)
	before := packtest.Get[string](t, conn, written, 1500, 2000)
	packtest.Commit(t, conn, packtest.Links{1499: nil, 3000: {3001, 1500}})
	if said := packSaying(t, target); strings.Contains(said, "new parents for all") {
		t.Error(said)
	}
	packtest.ExpectExact(t, conn)
	if parent := packtest.Get[int64](t, conn, "SELECT parent FROM relpack.object WHERE zoid = 1500"); parent != 3000 {
		t.Errorf("its parent is %d", parent)
	}
	if packtest.Get[string](t, conn, written, 1500, 2000) != before {
		t.Error("what hangs on it was written")
	}
}

// What is attached hangs on the shallowest of those that refer to it, be it new,
// moved, or saved by something that is new.
func TestWhatIsAttachedHangsOnTheShallowestReferrer(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.Load(t, conn, chains(100))
	packtest.DryRun(t, target)
	// 50 moves, 300 is new and refers to 301; those with a lower zoid are deeper.
	packtest.Commit(t, conn, packtest.Links{49: nil, 90: {91, 50, 300, 301}, 120: {121, 50}, 105: {106, 300}, 130: {131, 50}, 300: {301}, 301: nil})
	packtest.DryRun(t, target)
	packtest.ExpectExact(t, conn)
	for zoid, want := range map[int64]int64{50: 120, 300: 105, 301: 300} {
		if parent := packtest.Get[int64](t, conn, "SELECT parent FROM relpack.object WHERE zoid = $1", zoid); parent != want {
			t.Errorf("%d hangs on %d, and should on %d", zoid, parent, want)
		}
	}
}

// An object that a million others refer to is not climbed from each of them;
// but what only the last of them saves is saved.
func TestMoreReferrersThanAreTriedAtFirstAreTriedInTheEnd(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	graph := packtest.Links{0: {1, 900}, 1: {2}, 2: {}, 900: {}}
	for zoid := int64(10); zoid < 200; zoid++ {
		graph[2] = append(graph[2], zoid)
		graph[zoid] = []int64{2}
	}
	packtest.Load(t, conn, graph)
	packtest.DryRun(t, target)
	before := packtest.Get[string](t, conn, written, 9, 199)
	packtest.Commit(t, conn, packtest.Links{1: nil, 900: {2}})
	packtest.DryRun(t, target)
	packtest.ExpectExact(t, conn)
	if packtest.Get[string](t, conn, written, 9, 199) != before {
		t.Error("what hangs on it was written")
	}
}

// Where much is cut off, all parents are chosen again: the log says so, the tree
// is as shallow as it can be, and nothing gets another age than it should.
func TestWhereMuchIsCutOffAllParentsAreChosenAgain(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	setLimits(t, conn, 16, 100)
	graph := chains(1000)
	packtest.Load(t, conn, graph)
	packtest.Commit(t, conn, packtest.Links{3000: {1500}, 990: nil})
	graph[3000], graph[990] = []int64{1500}, []int64{}
	packtest.DryRun(t, target)
	packtest.ExpectExact(t, conn)
	const ages = "SELECT string_agg(coalesce(detached_tid, 0)::text, ' ' ORDER BY zoid) FROM relpack.object WHERE zoid > 990 AND zoid <= 1000 OR zoid = 3000"
	old := packtest.Get[string](t, conn, ages)
	// The first chain is cut after 10; 800 on hang on the second now.
	packtest.Commit(t, conn, packtest.Links{10: nil, 1300: {1301, 800}})
	graph[10], graph[1300] = []int64{}, []int64{1301, 800}
	if said := packSaying(t, target); !strings.Contains(said, "choosing new parents for all objects") {
		t.Errorf("the log says %s", said)
	}
	packtest.ExpectExact(t, conn)
	if got, want := treeLevels(t, conn), levels(graph); !maps.Equal(got, want) {
		t.Errorf("the levels are %v, and should be %v", got, want)
	}
	if packtest.Get[string](t, conn, ages) != old {
		t.Error("what was garbage has another age")
	}
	if n := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.object WHERE detached_tid = (SELECT detach_tid FROM relpack.storage)"); n != 789 {
		t.Errorf("%d objects are cut off as of this run", n)
	}
}

// What was climbed was paid for: there is so much less that may be cut off before all
// parents are chosen again. What is too much to climb isn't begun.
func TestWhatWasClimbedCountsWithWhatIsCutOff(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		added, kept int64 // how many are new; what is left of the first chain
		says        string
	}{
		"cut":             {0, 920, ""},
		"climbed":         {80, 1000, ""},
		"climbed and cut": {80, 920, "much of the tree hangs on what was cut off"},
		"too many":        {200, 1000, "much has changed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewStorage(t)
			setLimits(t, conn, 16, 100)
			packtest.Load(t, conn, chains(1000))
			packtest.DryRun(t, target)
			changed := packtest.Links{}
			for zoid := int64(3001); zoid <= 3000+c.added; zoid++ {
				changed[zoid] = []int64{zoid + 1}
			}
			if c.added > 0 {
				changed[3000+c.added] = nil
				changed[2000] = []int64{3001}
			}
			if c.kept < 1000 {
				changed[c.kept] = nil
			}
			packtest.Commit(t, conn, changed)
			said := packSaying(t, target)
			if strings.Contains(said, "choosing new parents") != (c.says != "") || !strings.Contains(said, c.says) {
				t.Errorf("the log says %s", said)
			}
			packtest.ExpectExact(t, conn)
		})
	}
}

// While parents are chosen again they mean nothing: whatever relies on them
// refuses, and the next run goes on with it.
func TestWhoeverReliesOnParentsRefusesWhileTheyAreChosenAgain(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	setLimits(t, conn, 16, 100)
	packtest.Load(t, conn, chains(1000))
	locked := packtest.StatementsUntilLocked(t, target)
	packtest.Commit(t, conn, packtest.Links{10: nil})
	const state = "SELECT graph FROM relpack.storage"
	for n := locked; packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.suspect") == 0; n++ {
		if packtest.CrashAfter(t, target, packtest.Everything, n) == "" {
			t.Fatal("nothing is suspected")
		}
	}
	for packtest.Get[string](t, conn, state) != "reshaping" {
		if !packtest.Get[bool](t, conn, "SELECT relpack.reach_step()") {
			t.Fatal("all parents were not chosen again")
		}
	}
	for range 3 {
		for _, call := range []string{"doom(now())", "sweep(10)", "capture_list()", "apply()"} {
			_, err := conn.Exec(t.Context(), "SELECT * FROM relpack."+call)
			packtest.ExpectState(t, err, fault.StateRefused)
		}
		found, err := session.Rows(t.Context(), conn, pgx.RowTo[string], "SELECT finding FROM relpack.verify()")
		if err != nil || !slices.Equal(found, []string{"new parents are being chosen for all objects: there is nothing to verify"}) {
			t.Errorf("verify finds %v, %v", found, err)
		}
		if packtest.Get[*int64](t, conn, "SELECT unreachable FROM relpack.status()") != nil {
			t.Error("status counts what is unreachable")
		}
		_, err = verify.Run(t.Context(), target, verify.Options{Migrations: migrations.Files}, packtest.Log(t))
		packtest.ExpectRefusal(t, err, "chose new parents for all objects")
		// A step on: the levels, and a range each.
		packtest.Run(t, conn, "SELECT relpack.reach_step()")
	}
	if graph := packtest.Get[string](t, conn, state); graph != "reshaping" {
		t.Errorf("after three steps the graph is %s", graph)
	}
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectExact(t, conn)
	if left := packtest.Get[int](t, conn, "SELECT count(*) FROM object_state"); left != 1011 {
		t.Errorf("%d objects are left", left)
	}
}

// A tree that changes have made deep is made shallow again, at most once a day.
func TestATreeThatBecameDeepIsMadeShallowOnceADay(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	graph := packtest.Links{0: {1}, 1: {}}
	for zoid := int64(2); zoid < 400; zoid++ {
		graph[1] = append(graph[1], zoid)
		graph[zoid] = []int64{}
	}
	packtest.Load(t, conn, graph)
	packtest.DryRun(t, target)
	for range 2 {
		// One hangs on the other, until the first refers to all again.
		for zoid := int64(2); zoid < 399; zoid++ {
			graph[zoid] = []int64{zoid + 1}
		}
		graph[1] = []int64{2}
		packtest.Commit(t, conn, graph)
		packtest.DryRun(t, target)
		for zoid := int64(2); zoid < 400; zoid++ {
			graph[1] = append(graph[1], zoid)
		}
		packtest.Commit(t, conn, graph)
		packtest.DryRun(t, target)
		packtest.ExpectExact(t, conn)
		deepest := func() int64 { return slices.Max(slices.Collect(maps.Values(treeLevels(t, conn)))) }
		if depth := deepest(); depth < 200 {
			t.Errorf("it is %d deep, too early", depth)
		}
		packtest.Run(t, conn, "UPDATE relpack.storage SET depth_looked_at = depth_looked_at - interval '25 hours'")
		packtest.Commit(t, conn, packtest.Links{399: nil})
		if said := packSaying(t, target); !strings.Contains(said, "twice as deep") {
			t.Errorf("the log says %s", said)
		}
		packtest.ExpectExact(t, conn)
		if depth := deepest(); depth != 2 {
			t.Errorf("it is %d deep", depth)
		}
	}
}

// Steps that look single objects up keep hash joins off, which holds for what
// they call: the arrays of a climb would be joined in a loop.
func TestTheArraysOfAClimbAreJoinedByHashWhoeverCalls(t *testing.T) {
	t.Parallel()
	_, conn := packtest.NewStorage(t)
	settings := packtest.Get[[]string](t, conn, "SELECT proconfig FROM pg_proc WHERE proname = 'ways_up' AND pronamespace = 'relpack'::regnamespace")
	if !slices.Contains(settings, "enable_hashjoin=on") {
		t.Errorf("it has %v", settings)
	}
}
