package why_test

import (
	"strings"
	"testing"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/look"
)

// chain is a storage in which 1 leads to 2, 2 to 3 and so on, and the root to 1 and
// to the last.
func chain(length int64) map[int64][]byte {
	objects := map[int64][]byte{0: record(1)}
	for zoid := int64(1); zoid <= length; zoid++ {
		objects[zoid] = record(zoid + 1)
	}
	objects[length+1] = record(1) // a circle, without 0
	return objects
}

func TestASearchThatLooksAtTooMuchSaysSo(t *testing.T) {
	t.Parallel()
	s := newStorage(t, chain(60))
	s.limits.Looked = 20
	// Without 1 there is no way to 50, and its referrers are 2 to 61.
	w := s.ask(t, 1, 50)[0].Without
	if w.Verdict != look.Unknown || w.Looked < 20 || w.Looked > 25 || w.Garbage != nil {
		t.Errorf("%+v", w)
	}
	s.limits.Looked = 100
	if w = s.ask(t, 1, 50)[0].Without; w.Verdict != look.Unreachable || w.Garbage.Objects != 61 {
		t.Errorf("%+v, %+v", w, w.Garbage)
	}
}

func TestWhatHangsOnAnObjectIsCountedUpToALimit(t *testing.T) {
	t.Parallel()
	s := newStorage(t, chain(60))
	s.limits.Held = 20
	report, err := s.try(t, 1, 50)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := report.Write(&text); err != nil || report.Objects[0].Without.Garbage != nil || !strings.Contains(text.String(), "was not counted") {
		t.Errorf("%v: %s", err, text.String())
	}
}

// More than is read may have been written. What the graph has for alive is told, and
// nothing is called unreachable.
func TestWhenTooMuchWasWrittenNothingIsCalledUnreachable(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]int{"objects": 2, "references": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStorage(t, garden())
			s.limits.Fresh = limit
			refs := make([]int64, 0, 20)
			for zoid := int64(100); zoid < 120; zoid++ {
				refs = append(refs, zoid)
			}
			packtest.CommitRecords(t, s.conn, map[int64][]byte{2: record(append(refs, 10)...), 20: record(), 21: record()})
			s.expect(t, map[int64]look.Verdict{1: look.Alive, 10: look.Unknown, 11: look.Unknown})
			report, err := s.try(t, 0, 10)
			if err != nil || !strings.Contains(report.Uncertain, "more was written") {
				t.Errorf("%v: %+v", err, report)
			}
		})
	}
}

func TestGarbageWithALongTailIsNotDatedWhereItIsNotFollowed(t *testing.T) {
	t.Parallel()
	objects := chain(60)
	objects[0] = record()
	s := newStorage(t, objects)
	s.limits.Looked = 20
	g := s.ask(t, 0, 50)[0].Garbage
	if g == nil || g.Complete || g.DeletableAfter != nil || g.With.Objects != 20 {
		t.Errorf("%+v", g)
	}
	s.limits.Looked = 0
	if g = s.ask(t, 0, 50)[0].Garbage; !g.Complete || g.DeletableAfter == nil || g.With.Objects != 61 {
		t.Errorf("%+v", g)
	}
}

// What an object no longer refers to was looked at all the same.
func TestASearchThatLeavesReferrersOutDoesNotCallAnObjectUnreachable(t *testing.T) {
	t.Parallel()
	objects := map[int64][]byte{0: record(1, 60), 1: record(50), 50: record(), 60: record(50)}
	for zoid := int64(10); zoid < 40; zoid++ {
		objects[zoid] = record(50) // garbage
	}
	s := newStorage(t, objects)
	parent := packtest.Get[int64](t, s.conn, "SELECT parent FROM relpack.object WHERE zoid = 50")
	packtest.CommitRecords(t, s.conn, map[int64][]byte{parent: record()})
	s.limits.Looked = 20
	if a := s.ask(t, 0, 50)[0]; a.Verdict == look.Unreachable {
		t.Errorf("%+v", a)
	}
}

// Nobody knows what garbage refers to that can't be decoded, once it is attached again.
func TestWhatUndecodableGarbageRefersToIsNotCalledUnreachableOnceThatIsAttached(t *testing.T) {
	t.Parallel()
	objects := garden()
	objects[10] = zodbtest.Truncated(record(11, 12, 13, 14))
	s := newStorage(t, objects)
	s.expect(t, map[int64]look.Verdict{11: look.Unreachable})
	packtest.CommitRecords(t, s.conn, map[int64][]byte{2: record(10)})
	s.expect(t, map[int64]look.Verdict{10: look.Alive, 11: look.Unknown})
}

func TestAStateThatCanNotBeReadIsTold(t *testing.T) {
	t.Parallel()
	objects := garden()
	objects[2] = zodbtest.Odd(zodbtest.Document, 1)
	s := newStorage(t, objects)
	packtest.CommitRecords(t, s.conn, map[int64][]byte{1: record(2, 20), 20: nil})
	report, err := s.try(t, 0, 0, 2, 20)
	var text strings.Builder
	if err == nil {
		err = report.Write(&text)
	}
	if err != nil || report.Objects[0].Broken != "" || !strings.Contains(report.Objects[1].Broken, " at byte ") || !strings.Contains(report.Objects[2].Broken, "NULL or empty") {
		t.Errorf("%+v, %v", report.Objects, err)
	}
	packtest.ExpectWords(t, text.String(), "broken", `"relpack check" says what to do`)
}
