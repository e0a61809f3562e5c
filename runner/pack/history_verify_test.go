package pack_test

import (
	"slices"
	"testing"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
	"relpack/runner/verify"
)

// newWeek is a history of three weeks whose graph is up to date, with several
// revisions, a whiteout, what was set back, and garbage.
func newWeek(t *testing.T) (target.Target, zodbtest.History) {
	t.Helper()
	file, h := newHistory(t, zodbtest.V42)
	first := store(t, h, daysAgo(20), map[int64][]byte{0: page(1, 6), 1: page(2), 2: page(), 3: page(4), 4: page(), 5: page(2), 6: page(4), 7: page(3)})
	store(t, h, daysAgo(10), map[int64][]byte{1: page(3), 5: page(), 6: page()})
	store(t, h, daysAgo(3), map[int64][]byte{1: page(2), 7: nil})
	packtest.Run(t, h.Conn, "UPDATE current_object SET tid = $1 WHERE zoid = 6", first)
	return file, h
}

func TestVerifyComparesAGraphOfAHistoryWithAllThatIsKept(t *testing.T) {
	t.Parallel()
	file, h := newWeek(t)
	o := trimDays(5)
	o.DryRun = true
	packtest.Pack(t, file, o)
	packtest.ExpectSound(t, file)
	if found := packtest.Lines(t, h.Conn, "SELECT finding FROM relpack.verify() WHERE severity = 'error'"); len(found) > 0 {
		t.Errorf("%v", found)
	}
	packtest.Pack(t, file, trimDays(5))
	packtest.ExpectZoids(t, "packed", allRevisions(t, h.Conn).Zoids(), []int64{0, 1, 2, 3, 4, 6, 7})
	packtest.ExpectSound(t, file)
	// Of an old revision that is kept.
	packtest.Spoil(t, h.Conn, "DELETE FROM relpack.object_inref WHERE zoid = 3 AND inref = 1; UPDATE relpack.storage SET inrefs = inrefs - 1")
	report, err := verify.Run(t.Context(), file, packtest.VerifyOptions(false), packtest.Log(t))
	if found := packtest.Kinds(report.Findings); err == nil || !slices.Contains(found, "other_references") {
		t.Errorf("%v, %v", found, err)
	}
	if _, err := verify.Run(t.Context(), file, packtest.VerifyOptions(true), packtest.Log(t)); err != nil {
		t.Fatal(err)
	}
	packtest.ExpectSound(t, file)
}

func TestVerifyInPsqlMissesTheNewestRevisionThatTheGraphKnows(t *testing.T) {
	t.Parallel()
	file, h := newWeek(t)
	dryRun(t, file, 5)
	const finding = "SELECT coalesce(string_agg(finding, '; '), '') FROM relpack.verify() WHERE severity = 'error'"
	if found := packtest.Get[string](t, h.Conn, finding); found != "" {
		t.Fatal(found)
	}
	packtest.Run(t, h.Conn, "UPDATE current_object SET tid = (SELECT min(tid) FROM object_state WHERE zoid = 5) WHERE zoid = 5")
	packtest.Run(t, h.Conn, "DELETE FROM object_state WHERE zoid = 5 AND tid = (SELECT max(tid) FROM object_state WHERE zoid = 5)")
	packtest.Spoil(t, h.Conn, "DELETE FROM relpack.write_event")
	packtest.ExpectWords(t, packtest.Get[string](t, h.Conn, finding), "another tid")
}

func TestTheStatusOfAHistoryTellsOfItsGraph(t *testing.T) {
	t.Parallel()
	file, _ := newWeek(t)
	packtest.Pack(t, file, trimDays(5))
	packtest.ExpectWords(t, packtest.Status(t, file), "trimmed up to", "2 old revisions", "7, with")
}

func TestARoleThatOwnsNothingCollectsTheGarbageOfAHistory(t *testing.T) {
	t.Parallel()
	file, h := newWeek(t)
	want := allRevisions(t, h.Conn).Collect(daysAgo(5)).Stay()
	role := packtest.NewRole(t, h.Conn)
	packtest.Run(t, h.Conn, "GRANT pg_read_all_stats TO "+role)
	for _, grant := range packtest.Lines(t, h.Conn, "SELECT DISTINCT remedy FROM relpack.missing_privilege('"+role+"')") {
		packtest.Run(t, h.Conn, grant)
	}
	packtest.Pack(t, packtest.As(file, role), trimDays(5))
	if got := allRevisions(t, h.Conn).Keys(); !slices.Equal(got, want) {
		t.Errorf("there are %v, want %v", got, want)
	}
	packtest.ExpectSound(t, packtest.As(file, role))
}
