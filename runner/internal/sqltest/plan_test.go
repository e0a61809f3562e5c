package sqltest

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/inventory"
	"relpack/runner/target"
	"relpack/sql"
)

// planObjects is how many objects the graphs of these tests have: more than
// one step of a walk reaches, so that walks go on in another way.
const planObjects = 25_000

// Whatever the graph looks like, what a pack reads is in proportion to it: no
// plan reads a table again for each object. There are no statistics of tables
// that were filled a moment ago.
func TestNoPlanReadsATableForEachObject(t *testing.T) {
	t.Parallel()
	for name, shape := range map[string]struct {
		refs func(zoid int64) []int64
		cut  packtest.Links
	}{
		"a chain": {
			func(zoid int64) []int64 { return []int64{zoid + 1} },
			packtest.Links{100: nil},
		},
		"a chain whose objects refer to its first": {
			func(zoid int64) []int64 { return []int64{1, zoid + 1} },
			packtest.Links{100: {1}},
		},
		"an object that refers to all others": {
			func(zoid int64) (refs []int64) {
				if zoid == 0 {
					return []int64{1}
				}
				for other := int64(2); zoid == 1 && other < planObjects; other++ {
					refs = append(refs, other)
				}
				return refs
			},
			packtest.Links{1: nil},
		},
		"an object that all others refer to": {
			func(zoid int64) []int64 { return []int64{1, 4*zoid + 2, 4*zoid + 3, 4*zoid + 4, 4*zoid + 5} },
			packtest.Links{0: nil},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewStorage(t)
			graph := packtest.Links{}
			for zoid := range int64(planObjects) {
				for _, ref := range shape.refs(zoid) {
					if ref < planObjects {
						graph[zoid] = append(graph[zoid], ref)
					}
				}
				if graph[zoid] == nil {
					graph[zoid] = []int64{}
				}
			}
			packtest.Load(t, conn, graph)
			shortWalks(t, conn)
			expectFewReads(t, target, "the first build")
			packtest.Commit(t, conn, shape.cut)
			expectFewReads(t, target, "the cut")
			if left := packtest.Get[int64](t, conn, "SELECT count(*) FROM object_state"); left > 101 {
				t.Errorf("%d objects are left", left)
			}
		})
	}
}

// shortWalks makes walks end before the graph does.
func shortWalks(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	limits, err := zodbtest.Mutated("walk_limits", "1000, 100000", "1000, 20000")
	if err != nil {
		t.Fatal(err)
	}
	packtest.Run(t, conn, limits)
}

// Statistics from before there was garbage call it one row: to look for it
// first, once for each object that is attached again, would read it all each time.
func TestWhatIsDetachedIsNotLookedForFirst(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	// 1 refers to everything, 2 to one half of it.
	graph := packtest.Links{0: {1, 2}}
	var all, even []int64
	for zoid := int64(10); zoid < 10+2*planObjects; zoid++ {
		graph[zoid] = []int64{}
		all = append(all, zoid)
		if zoid%2 == 0 {
			even = append(even, zoid)
		}
	}
	graph[1], graph[2] = all, even
	packtest.Load(t, conn, graph)
	packtest.Pack(t, target, packtest.Everything)
	packtest.Run(t, conn, "VACUUM ANALYZE relpack.object, relpack.object_inref")
	packtest.Commit(t, conn, packtest.Links{1: nil})
	expectFewReads(t, target, "the cut")
	if left := packtest.Get[int](t, conn, "SELECT count(*) FROM object_state"); left != 3+len(even) {
		t.Errorf("%d objects are left of %d", left, 3+len(even))
	}
}

// expectFewReads packs, and counts the rows that were read, or looked at by a
// filter, in relpack's tables.
func expectFewReads(t *testing.T, target target.Target, what string) {
	t.Helper()
	conn := packtest.Session(t, target)
	const read = `SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint
		FROM pg_stat_user_tables WHERE schemaname = 'relpack'`
	packtest.Run(t, conn, "SELECT pg_stat_reset()")
	packtest.Pack(t, target, packtest.Everything)
	// A session's counts arrive when it ends.
	var rows int64
	packtest.Until(t, "the statistics", func() bool {
		last := rows
		time.Sleep(300 * time.Millisecond)
		rows = packtest.Get[int64](t, conn, read)
		return rows > planObjects && rows == last
	})
	if limit := int64(100 * planObjects); rows > limit {
		t.Errorf("%s read %d rows of relpack's tables, more than %d", what, rows, limit)
	} else {
		t.Logf("%s read %d rows, %.1f for each object", what, rows, float64(rows)/planObjects)
	}
}

// Tables that hold what one run hands to the next were large once: statistics
// that remember that make no plan read the storage, or the graph, as a whole.
func TestNoStatisticsMakeASmallChangeReadAllThatIsStored(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	graph := packtest.Links{0: {}}
	for zoid := int64(1); zoid < planObjects; zoid++ {
		graph[zoid] = []int64{}
		graph[0] = append(graph[0], zoid)
	}
	packtest.Load(t, conn, graph)
	packtest.Pack(t, target, packtest.Everything)
	packtest.Run(t, conn, "VACUUM ANALYZE")
	packtest.Run(t, conn, `UPDATE pg_class SET reltuples = 1000000, relpages = 5000
		WHERE relnamespace = 'relpack'::regnamespace AND relkind = 'r'
		  AND relname NOT IN ('object', 'object_inref', 'storage')`)
	small := packtest.Links{}
	for zoid := int64(1); zoid < 100; zoid++ {
		small[zoid] = []int64{zoid + 1}
	}
	packtest.Commit(t, conn, small)
	packtest.Run(t, conn, "SELECT pg_stat_force_next_flush()")
	if read := packtest.RowsRead(t, target, readWhole, func() { packtest.Pack(t, target, packtest.Everything) }); read > 1000 {
		t.Errorf("%d rows were read for 99 changes, in scans of whole tables", read)
	}
}

// Tables that hold few rows are never analyzed: the planner takes one of which it knows
// nothing for one of thousands of rows.
func TestWhatIsKnownOfFewObjectsIsLookedUp(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	graph := packtest.Links{0: {}}
	for zoid := int64(1); zoid < planObjects; zoid++ {
		graph[zoid] = []int64{}
		graph[0] = append(graph[0], zoid)
	}
	packtest.Load(t, conn, graph)
	packtest.Pack(t, target, packtest.Everything)
	packtest.Run(t, conn, "VACUUM ANALYZE object_state, relpack.object, relpack.object_inref")
	packtest.Run(t, conn, `SET session_replication_role = replica;
		INSERT INTO relpack.problem (zoid, blocks, kind, detail) VALUES (5, false, 'empty', ''), (6, true, 'opaque', '');
		INSERT INTO relpack.set_aside (zoid, reason, remedy) VALUES (7, '', '');
		INSERT INTO relpack.blob_removal (zoid, tid) VALUES (8, 1), (9, 1);
		RESET session_replication_role;
		SELECT pg_stat_force_next_flush()`)
	if read := packtest.RowsRead(t, target, readWhole, func() {
		look := packtest.Session(t, target)
		_, err := inventory.ReadProblems(t.Context(), look, 10)
		_, _, errs := inventory.ReadSetAside(t.Context(), look, 10)
		_, hanging := inventory.CountHanging(t.Context(), look)
		if err := errors.Join(err, errs, hanging); err != nil {
			t.Error(err)
		}
		if _, err := look.Exec(t.Context(), "SELECT relpack.require_settled()"); err == nil || !strings.Contains(err.Error(), "can't be decoded") {
			t.Errorf("a reachable opaque object: %v", err)
		}
		packtest.Run(t, look, "SELECT relpack.listed_blobs(0, 0, 100); SELECT relpack.blobs_in_database(); SELECT pg_stat_force_next_flush()")
	}); read > 100 {
		t.Errorf("%d rows were read in scans of whole tables", read)
	}
}

const readWhole = `SELECT sum(seq_tup_read)::bigint FROM pg_stat_user_tables
	WHERE relid IN ('object_state'::regclass, 'relpack.object'::regclass, 'relpack.object_inref'::regclass)`

// What goes by index is called dear where sequential scans are off, and would be
// compiled for longer than it runs. relpack's sessions have no JIT, those of psql do:
// what a DBA calls switches it off before anything is planned.
func TestWhatIsCalledInPsqlIsNotCompiled(t *testing.T) {
	t.Parallel()
	calls := realCalls(t)
	var follow func(name string, path []string)
	follow = func(name string, path []string) {
		head, _, _ := strings.Cut(read(t, sql.Files, name+".sql"), "AS $$")
		if strings.Contains(head, "SET jit = off") || slices.Contains(path, name) {
			return
		}
		path = append(slices.Clone(path), name)
		if strings.Contains(head, "SET enable_seqscan = off") {
			t.Errorf("%s may be compiled", strings.Join(path, " > "))
		}
		for _, callee := range calls[name] {
			follow(callee, path)
		}
	}
	handbook := readHandbook(t)
	for line := range strings.Lines(handbook) {
		if !strings.HasPrefix(line, "### relpack.") {
			continue
		}
		for _, m := range named.FindAllStringSubmatch(line, -1) {
			if _, ours := calls[m[1]]; ours {
				follow(m[1], nil)
			}
		}
	}
}

// Steps that walk have no settings of their own: they have those of one function
// that all calls come from.
func TestWalksGoWithTheSettingsOfWhatCallsThem(t *testing.T) {
	t.Parallel()
	calls := realCalls(t)
	for entry, steps := range map[string][]string{
		"reach_step": {"reach_flow", "reach_flow_deep", "reach_climb", "reach_cut", "reach_cut_deep",
			"reach_split", "reach_attach", "ways_up", "ways_walk", "reshape"},
		"spare_referred": {"doom_spare", "doom_spare_deep"},
		"doom":           {"doom_choose", "spare_young"},
		"apply":          {"hold_missing", "apply_edges", "apply_nodes", "note_dangling", "apply_problems", "apply_foreign"},
		"sweep_batch":    {"sweep_order", "sweep_piece"},
	} {
		if head, _, _ := strings.Cut(read(t, sql.Files, entry+".sql"), "AS $$"); !strings.Contains(head, "SET enable_seqscan = off") {
			t.Errorf("%s has no settings", entry)
		}
		for caller, callees := range calls {
			for _, step := range steps {
				if slices.Contains(callees, step) && caller != entry && !slices.Contains(steps, caller) {
					t.Errorf("%s calls %s, which relies on the settings of %s", caller, step, entry)
				}
			}
		}
		goLiterals(t, func(position, text string) {
			for _, step := range steps {
				if strings.Contains(text, "relpack."+step+"(") {
					t.Errorf("%s calls relpack.%s, which relies on the settings of relpack.%s", position, step, entry)
				}
			}
		})
	}
}

// A first build that keeps old revisions analyzes the graph before it knows what is
// reachable. By statistics of which nothing is, verify compares no object with all others:
// that took minutes here, and takes a part of a second.
func TestVerifyComparesNoObjectWithAllOthers(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	graph := packtest.Links{0: {}}
	for zoid := int64(1); zoid < 2*planObjects; zoid++ {
		graph[zoid] = []int64{}
		graph[0] = append(graph[0], zoid)
	}
	packtest.Load(t, conn, graph)
	packtest.Pack(t, target, packtest.Everything)
	packtest.Run(t, conn, `CREATE TEMP TABLE known AS SELECT zoid, parent FROM relpack.object;
		SET session_replication_role = replica;
		UPDATE relpack.object SET parent = NULL;
		ANALYZE relpack.object, relpack.object_inref;
		UPDATE relpack.object SET parent = known.parent FROM known WHERE known.zoid = object.zoid;
		RESET session_replication_role`)
	psql := packtest.Session(t, target)
	packtest.Run(t, psql, "SET statement_timeout = '20s'")
	for _, step := range []string{"relpack.verify_nodes(-1, 100000)", "relpack.verify_graph()"} {
		packtest.Run(t, psql, "SELECT * FROM "+step)
	}
}
