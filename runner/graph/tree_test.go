package graph_test

import (
	"maps"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/session"
)

// levels is how many references each object is away from the root, by a walk
// in the memory of the test.
func levels(l packtest.Links) map[int64]int64 {
	level := map[int64]int64{0: 0}
	for frontier, depth := []int64{0}, int64(1); len(frontier) > 0; depth++ {
		var next []int64
		for _, zoid := range frontier {
			for _, ref := range l[zoid] {
				if _, met := level[ref]; !met && l[ref] != nil {
					level[ref] = depth
					next = append(next, ref)
				}
			}
		}
		frontier = next
	}
	return level
}

// treeLevels is how many parents each object has above it in relpack's tree.
func treeLevels(t testing.TB, conn *pgx.Conn) map[int64]int64 {
	t.Helper()
	rows, err := session.Rows(t.Context(), conn, pgx.RowTo[[]int64], `
		WITH RECURSIVE tree (zoid, level) AS (
			SELECT 0::bigint, 0::bigint
			UNION ALL
			SELECT object.zoid, tree.level + 1
			FROM tree JOIN relpack.object ON object.parent = tree.zoid AND object.zoid <> 0
		)
		SELECT ARRAY[zoid, level] FROM tree`)
	if err != nil {
		t.Fatal(err)
	}
	level := map[int64]int64{}
	for _, row := range rows {
		level[row[0]] = row[1]
	}
	return level
}

// A first build makes the shallowest tree that there is, whatever the shape of
// the graph and however its zoids are spread.
func TestTheTreeOfAFirstBuildIsBreadthFirst(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string][]string{
		"levels read and looked up": nil,
		"levels looked up":          {"67108864, 255, 32", "67108864, 255, 1"},
		"levels read":               {"67108864, 255, 32", "67108864, 255, 100000"},
	} {
		for spread, factor := range map[string]int64{"dense zoids": 1, "sparse zoids": 524287} {
			t.Run(name+", "+spread, func(t *testing.T) {
				t.Parallel()
				target, conn := packtest.NewStorage(t)
				if limits != nil {
					text, err := zodbtest.Mutated("walk_limits", limits...)
					if err != nil {
						t.Fatal(err)
					}
					packtest.Run(t, conn, text)
				}
				graph := packtest.Links{}
				for zoid, refs := range bucketChains(40, 30) {
					graph[zoid*factor] = []int64{}
					for _, ref := range refs {
						graph[zoid*factor] = append(graph[zoid*factor], ref*factor)
					}
				}
				packtest.Load(t, conn, graph)
				packtest.DryRun(t, target)
				packtest.ExpectExact(t, conn)
				if got, want := treeLevels(t, conn), levels(graph); !maps.Equal(got, want) {
					t.Errorf("the levels are %v, and should be %v", got, want)
				}
			})
		}
	}
}

// bucketChains is a catalog: buckets refer to the next one and to what they list,
// and are older than the node above them. All but the first hang on a chain, for
// those who look for the oldest referrer.
func bucketChains(buckets, listed int64) packtest.Links {
	node := 1 + buckets + buckets*listed
	l := packtest.Links{0: {node}, node: {}, node + 1: {node + 2}, node + 2: {2, node + 1}}
	for i := range buckets {
		bucket := 1 + i
		l[node] = append(l[node], bucket)
		if i+1 < buckets {
			l[bucket] = append(l[bucket], bucket+1)
		}
		for k := range listed {
			document := 1 + buckets + i*listed + k
			l[bucket] = append(l[bucket], document)
			l[document] = []int64{node}
		}
	}
	return l
}

// Deeper than a byte can say, the tree goes on.
func TestAChainDeeperThanAByteIsReachedToItsEnd(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	graph := packtest.Links{}
	for zoid := range int64(1000) {
		graph[zoid] = []int64{zoid + 1, max(zoid-1, 1)}
	}
	graph[1000] = []int64{1}
	packtest.Load(t, conn, graph)
	packtest.DryRun(t, target)
	packtest.ExpectExact(t, conn)
	if got, want := treeLevels(t, conn), levels(graph); !maps.Equal(got, want) {
		t.Errorf("the levels are %v, and should be %v", got, want)
	}
}
