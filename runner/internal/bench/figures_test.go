package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"relpack/runner/figures"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pickle"
)

// expectFigures checks what was measured, and whether targets were reached.
func expectFigures(t *testing.T, r *results, wanted ...string) {
	t.Helper()
	var lines []string
	for i := range r.Figures {
		f := &r.Figures[i]
		lines = append(lines, strings.TrimSpace(f.Name+": "+quantity(f.Value, f.Unit)+" "+f.reached(f.Must)))
	}
	if got, want := strings.Join(lines, "\n"), strings.Join(wanted, "\n"); got != want {
		t.Errorf("figures:\n%s\nwanted:\n%s", got, want)
	}
}

func TestTheShallowestTreeIsThatOfABreadthFirstWalk(t *testing.T) {
	t.Parallel()
	// 0 -> 1 -> 2 -> 3 and 0 -> 3 -> 1; 9 can't be reached.
	mean, most := breadthFirst([]int64{0, 0, 1, 2, 3, 9}, []int64{1, 3, 2, 3, 1, 2})
	if mean != 1 || most != 2 {
		t.Errorf("%g levels on average and %g at most", mean, most)
	}
	if mean, most := breadthFirst(nil, nil); mean != 0 || most != 0 {
		t.Errorf("a root alone: %g levels on average and %g at most", mean, most)
	}
}

func TestSparseRecordsReferToTheSameObjects(t *testing.T) {
	t.Parallel()
	record := stateOf([]int64{1, 3, 300})
	record = append(record[:len(record)-1], "X\x0a\x00\x00\x00C\x08 or U\x08 0."...)
	record = append(record[:len(record)-1], "0."...) // the text is dropped
	var s pickle.Scanner
	const factor = 1_000_000_007
	if err := multiplyRefs(&s, record, factor); err != nil {
		t.Fatal(err)
	}
	for _, zoid := range []int64{1, 3, 300} {
		if !bytes.Contains(record, zodbtest.Oid(zoid*factor)) {
			t.Errorf("%d is not referred to", zoid*factor)
		}
	}
	if err := s.Scan(record); err != nil || len(s.Refs()) != 3 {
		t.Errorf("references %d, %v", s.Refs(), err)
	}
}

func TestFirstPacksAreComparedWithFloorsAndBareStatements(t *testing.T) {
	t.Parallel()
	first := &packed{}
	first.Seconds = 12
	for name, seconds := range map[string]float64{"prepare": 1, "scan": 4, "index": 2, "reach": 2, "fill": 1, "choose": 2} {
		first.Phases = append(first.Phases, figures.Phase{Name: name, Seconds: seconds})
	}
	b := &bench{results: &results{}}
	b.add(figure{Name: "floor", Value: 2, Unit: "s"})
	b.addFirst(first)
	b.addBare([]float64{1, 1, 1, 1, 1, 1, 1, 1, 0}, first)
	expectFigures(t, b.results,
		"floor: 2 s", "first pack: 12 s", "first pack / floor: 6x MISSED",
		"bare: stream the states: 1 s", "bare: COPY in the references: 1 s", "bare: COPY in the objects: 1 s",
		"bare: index by referrer: 1 s", "bare: primary key of the references: 1 s", "bare: walk from the root: 1 s",
		"bare: INSERT of objects with parents: 1 s", "bare: primary key of the objects: 1 s", "bare: ANALYZE: 0 s",
		"bare statements: 8 s", "bare statements / floor: 4x", "first pack / bare statements: 1.25x ok")
	if note := b.Figures[5].Note; note != "up to here relpack's scan: 4 s" {
		t.Errorf("the last statement of a phase says %q", note)
	}
}

func TestSitesOfSeveralSizesAreComparedWhicheverCameFirst(t *testing.T) {
	t.Parallel()
	site := func(objects int64, first, each float64) *results {
		return &results{Objects: objects, Date: time.Unix(0, 0).UTC(), Figures: []figure{
			{Name: firstPack, Value: first, Unit: "s"}, {Name: changedObject, Value: each, Unit: "µs"}}}
	}
	small, large := site(200, 1, 100), site(2000, 13, 140)
	wanted := []string{"2000 objects / 200: first pack: 13x MISSED", "2000 objects / 200: a changed object: 1.4x ok"}
	a := &results{Objects: 2000, Figures: large.Figures}
	a.addScale(small)
	expectFigures(t, &results{Figures: a.Figures[2:]}, wanted...)
	small.addScale(large)
	expectFigures(t, &results{Figures: small.Figures[2:]}, wanted...)
	same := site(2100, 1, 1)
	same.addScale(large)
	expectFigures(t, &results{Figures: same.Figures[2:]})
}

func TestTheLastRoundsAreComparedWithTheFirst(t *testing.T) {
	t.Parallel()
	var each []float64
	for i := range 30 {
		each = append(each, float64(100+i))
	}
	many, few, one := &results{}, &results{}, &results{}
	many.addRounds(each)
	few.addRounds([]float64{1, 5, 100, 2, 2})
	one.addRounds(each[:1])
	expectFigures(t, many, "a changed object, the first 10 of 30 rounds: 104 µs", "a changed object, the last 10 of 30 rounds: 124 µs",
		"a changed object, the last 10 / the first 10: 1.19x ok")
	expectFigures(t, few, "a changed object, the first 2 of 5 rounds: 3 µs", "a changed object, the last 2 of 5 rounds: 2 µs",
		"a changed object, the last 2 / the first 2: 0.667x ok")
	expectFigures(t, one)
}

func TestAChangeIsCountedByWhatItTouches(t *testing.T) {
	t.Parallel()
	p := &packed{}
	p.Seconds, p.Unreachable.Objects = 0.5, 400
	r := &results{}
	r.addKind("a folder deleted", "folder-7", p, 100, 1500)
	expectFigures(t, r, "a folder deleted: 0.5 s", "a folder deleted, an object touched: 1,000 µs")
	if note := r.Figures[1].Note; note != "each of 500; 3 rows visited for each" {
		t.Error(note)
	}
}

func TestADeletionIsComparedWithBareStatementsAndZodbpack(t *testing.T) {
	t.Parallel()
	r := &results{}
	r.addDeletions(deletion{trim: []float64{9, 3, 3}, sweep: []float64{2}, transactions: []float64{1}, bare: [3][]float64{{1}, {2, 7, 3}, {2}},
		whole: []float64{10, 1, 8, 1, 9}, prepack: []float64{9, 9, 9}, theirs: []float64{90, 30, 30}})
	expectFigures(t, r, "bare DELETE of objects: 1 s", "bare DELETE of revisions: 4 s", "bare DELETE of transactions: 2 s", "bare statements: 7 s", "deletion: 8 s", "deletion / bare statements: 1.14x ok",
		"zodbpack's prepack: 9 s", "zodbpack's deletion: 50 s", "deletion: how much faster than zodbpack: 6.25x ok",
		"first pack, with its start: zodbpack: 39 s", "first pack, with its start: relpack: 9 s", "first pack, with its start: how much faster: 4.88x MISSED")
	slow := &results{}
	slow.addDeletions(deletion{trim: []float64{9}, transactions: []float64{0}, bare: [3][]float64{{5}, {0}, {0}}, whole: []float64{9}, prepack: []float64{0}, theirs: []float64{30}})
	expectFigures(t, &results{Figures: slow.Figures[3:8]}, "bare statements: 5 s", "deletion: 9 s", "deletion / bare statements: 1.8x MISSED",
		"zodbpack's prepack: 0 s", "zodbpack's deletion: 30 s")
	expectFigures(t, &results{Figures: slow.Figures[8:9]}, "deletion: how much faster than zodbpack: 3.33x MISSED")
}

func TestAHistoryIsComparedWithAStorageWithoutOne(t *testing.T) {
	t.Parallel()
	r := &results{}
	plain := &bench{results: &results{}}
	took := func(seconds ...float64) later { return later{seconds: seconds} }
	r.addPlain(nothingToDo, versus{plain: plain, size: "as many rows", must: 1.5}, took(0.02, 0.04), took(0.03, 0.01))
	r.addPlain(afterWrites, versus{plain: plain, size: "as many rows", must: 1.5}, took(0.4), took(0.2))
	r.addPlain(afterWrites, versus{plain: plain, size: "as many objects"}, took(0.4), took(0.2))
	expectFigures(t, r, "nothing to do, as many rows: 0.03 s", "nothing to do, as many rows / without history: 1.5x ok",
		"after 0.1 % changed, as many rows: 0.4 s", "after 0.1 % changed, as many rows / without history: 2x MISSED",
		"after 0.1 % changed, as many objects: 0.4 s", "after 0.1 % changed, as many objects / without history: 2x")
}

func TestSitesWithAndWithoutAHistoryAreKeptApart(t *testing.T) {
	t.Parallel()
	b := &bench{options: options{objects: 200, seed: 3}}
	plain, preserving := &realSite{bench: b, cache: "kept"}, &realSite{bench: b, cache: "kept", history: true, past: 20}
	if got := plain.tableFile("object_state"); got != "kept/site-200-3" {
		t.Errorf("object_state is kept in %s", got)
	}
	for table, want := range map[string]string{"current_object": "kept/history-200-3-20", "object_state": "kept/history-200-3-20.object_state"} {
		if got := preserving.tableFile(table); got != want {
			t.Errorf("%s is kept in %s, want %s", table, got, want)
		}
	}
}
