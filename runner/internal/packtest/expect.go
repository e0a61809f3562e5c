package packtest

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/zodbtest"
	"relpack/runner/session"
)

// Findings are what relpack.verify() says, severity first.
func Findings(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	rows, err := session.Rows(t.Context(), conn, pgx.RowTo[string],
		"SELECT format('%s: %s %s', severity, finding, zoids) FROM relpack.verify()")
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// ExpectExact compares what the graph says with a walk in memory.
func ExpectExact(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	ExpectZoids(t, "unreachable", Zoids(t, conn, "SELECT zoid FROM relpack.unreachable_object"), Unreachable(t, conn))
	ExpectTree(t, conn)
}

// Unreachable are the zoids that a walk in memory does not come to.
func Unreachable(t testing.TB, conn *pgx.Conn) []int64 {
	t.Helper()
	refs, err := zodbtest.Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	return zodbtest.Unreachable(refs)
}

// ExpectTree checks what the graph promises: the nodes are the stored objects, and
// those missing that live objects refer to,
// a parent refers to its child, and parents lead to the root.
func ExpectTree(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	for what, sql := range map[string]string{
		"nodes that differ from the storage": `SELECT count(*) FROM object_state FULL JOIN relpack.object USING (zoid)
			WHERE object_state.tid IS DISTINCT FROM object.tid
			  AND NOT EXISTS (SELECT FROM relpack.missing WHERE missing.zoid = object.zoid AND object_state.zoid IS NULL)`,
		"parents that do not refer to their child": `SELECT count(*) FROM relpack.object
			WHERE parent IS NOT NULL AND zoid <> 0
			  AND NOT EXISTS (SELECT FROM relpack.object_inref i WHERE i.zoid = object.zoid AND i.inref = object.parent)`,
		"attached objects whose parents do not lead to the root": `WITH RECURSIVE live (zoid) AS (
				SELECT 0::bigint
				UNION ALL
				SELECT object.zoid FROM live
				JOIN relpack.object_inref i ON i.inref = live.zoid
				JOIN relpack.object ON object.zoid = i.zoid AND object.parent = live.zoid AND object.zoid <> 0)
			SELECT (SELECT count(*) FROM relpack.object WHERE parent IS NOT NULL) - (SELECT count(*) FROM live)`,
		"objects counted too many": "SELECT objects - (SELECT count(*) FROM relpack.object) FROM relpack.storage",
		"inrefs counted too many":  "SELECT inrefs - (SELECT count(*) FROM relpack.object_inref) FROM relpack.storage",
	} {
		if n := Get[int64](t, conn, sql); n != 0 {
			t.Errorf("%s: %d", what, n)
		}
	}
}

// ExpectNothingDangles makes sure that whatever can be reached is there.
func ExpectNothingDangles(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	refs, err := zodbtest.Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	for zoid := range zodbtest.Reachable(refs) {
		for _, ref := range refs[zoid] {
			if _, stored := refs[ref]; !stored {
				t.Errorf("object %d can be reached and refers to %d, which is gone", zoid, ref)
			}
		}
	}
}

// ExpectStored compares the stored objects with a list.
func ExpectStored(t testing.TB, conn *pgx.Conn, want ...int64) {
	t.Helper()
	slices.Sort(want)
	ExpectZoids(t, "stored", Stored(t, conn), want)
}

// Stored are the zoids of the stored objects.
func Stored(t testing.TB, conn *pgx.Conn) []int64 {
	return Zoids(t, conn, "SELECT zoid FROM object_state")
}

// Without is what of all is not in gone; both are sorted.
func Without(all, gone []int64) []int64 {
	return slices.DeleteFunc(slices.Clone(all), func(zoid int64) bool {
		_, found := slices.BinarySearch(gone, zoid)
		return found
	})
}

// ExpectZoids compares two lists of zoids, both in order.
func ExpectZoids(t testing.TB, what string, got, want []int64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %d zoids, want %d; too many %v, missing %v", what, len(got), len(want),
			First(Without(got, want)), First(Without(want, got)))
	}
}

// First is the beginning of a list, for messages.
func First(list []int64) []int64 { return list[:min(len(list), 10)] }
