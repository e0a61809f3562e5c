package graph_test

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbgen"
	"relpack/runner/pickle"
)

// readInGraph counts the rows of relpack's two large tables that were looked up, or
// read in scans of all of them.
const readInGraph = `SELECT sum(coalesce(idx_tup_fetch, 0) + seq_tup_read)::bigint
	FROM pg_stat_user_tables WHERE schemaname = 'relpack' AND relname IN ('object', 'object_inref')`

// A generated site has what makes trees deep in a real one: chains of buckets
// that are older than the nodes above them and list the content. The tree is
// shallow after the first build and stays so, and a small change costs rows in
// proportion to it.
func TestTheTreeOfASiteIsShallowAndStaysSo(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	plan := zodbgen.NewPlan(40_000, 7)
	graph := packtest.Links{}
	decode := func(zoid int64, state []byte) {
		var s pickle.Scanner
		if err := s.Scan(state); err != nil {
			t.Fatalf("object %d: %v", zoid, err)
		}
		graph[zoid] = append([]int64{}, s.Refs()...)
	}
	rows := [][]any{}
	if err := plan.Write(func(zoid, tid int64, state []byte) error {
		decode(zoid, state)
		rows = append(rows, []any{zoid, tid, len(state), slices.Clone(state)})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.CopyFrom(t.Context(), pgx.Identifier{"object_state"},
		[]string{"zoid", "tid", "state_size", "state"}, pgx.CopyFromRows(rows)); err != nil {
		t.Fatal(err)
	}
	near, nearest := depthOf(levels(graph))
	if old, _ := depthOf(levelsByOldest(graph)); old < 10*near {
		t.Fatalf("the oldest referrers make a tree of %.1f levels on average, breadth-first it has %.1f: this graph shows nothing", old, near)
	}
	packtest.Pack(t, target, packtest.Everything)
	if mean, most := depthOf(treeLevels(t, conn)); mean != near || most != nearest {
		t.Errorf("the tree has %.2f levels on average and %d at most, breadth-first it has %.2f and %d", mean, most, near, nearest)
	}
	changes := plan.Changes()
	for _, fraction := range []float64{0.001, 0.02, 0.02, 0.02, 0.001} {
		change := changes.Next(fraction)
		for zoid, state := range change.Rows {
			decode(zoid, state)
		}
		if err := change.Commit(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
		// What this session has read is not counted later.
		packtest.Run(t, conn, "SELECT pg_stat_force_next_flush()")
		read := packtest.RowsRead(t, target, readInGraph, func() { packtest.Pack(t, target, packtest.Everything) })
		packtest.ExpectExact(t, conn)
		near, nearest := depthOf(levels(graph))
		mean, most := depthOf(treeLevels(t, conn))
		t.Logf("%d objects written: %.2f levels on average and %d at most, breadth-first %.2f and %d; %d rows read",
			len(change.Rows), mean, most, near, nearest, read)
		if mean > 1.5*near || most > 2*nearest {
			t.Error("the tree has become deep")
		}
		if limit := int64(200 * (len(change.Rows) + len(change.Garbage))); read > limit {
			t.Errorf("%d rows were read, more than %d", read, limit)
		}
	}
}

func depthOf(level map[int64]int64) (mean float64, most int64) {
	for _, l := range level {
		mean, most = mean+float64(l), max(most, l)
	}
	return mean / float64(len(level)), most
}

// levelsByOldest is how deep a tree of the lowest referrers would be.
func levelsByOldest(l packtest.Links) map[int64]int64 {
	oldest := map[int64]int64{}
	for from := range levels(l) {
		for _, to := range l[from] {
			if parent, met := oldest[to]; !met || from < parent {
				oldest[to] = from
			}
		}
	}
	delete(oldest, 0)
	level := map[int64]int64{0: 0}
	for zoid := range oldest {
		var way []int64
		for at := zoid; len(way) <= len(l); at = oldest[at] {
			if _, known := level[at]; known {
				break
			}
			way = append(way, at)
		}
		for _, at := range slices.Backward(way) {
			level[at] = level[oldest[at]] + 1
		}
	}
	return level
}
