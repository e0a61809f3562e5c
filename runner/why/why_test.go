package why_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/program"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/look"
	"relpack/runner/why"
)

func TestALiveObjectHasANameByWhichPythonFindsIt(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	for zoid, want := range map[int64]string{
		0: "root", 1: "root['plone']",
		4648: "root['plone']",
	} {
		a := s.ask(t, 0, zoid)[0]
		if a.Verdict != look.Alive || !strings.HasPrefix(a.Name, want) || strings.Contains(a.Name, "?") {
			t.Errorf("zoid %d is %s by the name of %s", zoid, a.Verdict, a.Name)
		}
	}
}

// Each step of a way is a reference, and it begins at the root; what has none can't
// be reached.
func TestTheWaysOfTheSampleAreReferencesAndTheVerdictsAreTrue(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	refs, err := zodbtest.Load(t.Context(), s.conn)
	if err != nil {
		t.Fatal(err)
	}
	reachable := zodbtest.Reachable(refs)
	random := rand.New(rand.NewPCG(1, 2))
	var zoids []int64
	for zoid := range refs {
		if random.IntN(12) == 0 {
			zoids = append(zoids, zoid)
		}
	}
	for _, a := range s.ask(t, 0, zoids...) {
		want := look.Unreachable
		if reachable[a.Zoid] {
			want = look.Alive
		}
		if a.Verdict != want {
			t.Errorf("zoid %d is %s, want %s", a.Zoid, a.Verdict, want)
		}
		if a.Verdict == look.Unreachable {
			if a.Garbage == nil || a.Garbage.With.Objects == 0 || len(a.Garbage.Chain) == 0 || a.Garbage.DeletableAfter == nil {
				t.Errorf("zoid %d: %+v", a.Zoid, a.Garbage)
			}
			continue
		}
		if len(a.Way) == 0 || a.Way[0].Zoid != 0 || a.Way[len(a.Way)-1].Zoid != a.Zoid || strings.Contains(a.Name, "?") {
			t.Errorf("zoid %d: %s, %+v", a.Zoid, a.Name, a.Way)
		}
		for i := 1; i < len(a.Way); i++ {
			if !slices.Contains(refs[a.Way[i-1].Zoid], a.Way[i].Zoid) {
				t.Errorf("zoid %d: %d does not refer to %d", a.Zoid, a.Way[i-1].Zoid, a.Way[i].Zoid)
			}
		}
	}
}

func TestReferrersAreCountedAndTheFirstAreNamed(t *testing.T) {
	t.Parallel()
	objects := garden()
	holders := []int64{}
	for zoid := int64(100); zoid < 140; zoid++ {
		objects[zoid] = record(2)
		holders = append(holders, zoid)
	}
	objects[3] = record(append(holders, 2)...)
	objects[10] = record(11, 2)
	s := newStorage(t, objects)
	r := s.ask(t, 0, 2)[0].Referrers
	if r.Count != 43 || len(r.First) != 5 {
		t.Fatalf("%+v", r)
	}
	for _, first := range r.First {
		want := look.Alive
		if first.Zoid == 10 {
			want = look.Unreachable
		}
		if first.Verdict != want || !strings.HasPrefix(first.Name.Name, ".ref") {
			t.Errorf("%+v", first)
		}
	}
}

func TestAnObjectIsAliveWithoutAnotherByAnotherWay(t *testing.T) {
	t.Parallel()
	s := newStorage(t, garden())
	for without, name := range map[int64]string{1: "root.ref1.ref0", 3: "root.ref0.ref0"} {
		w := s.ask(t, without, 2)[0].Without
		if w == nil || w.Verdict != look.Alive || strings.Replace(w.Name, "root", "root", 1) != name {
			t.Errorf("without %d: %+v, want %s", without, w, name)
		}
	}
}

func TestWhatIsAliveOnlyBecauseOfAnotherIsCounted(t *testing.T) {
	t.Parallel()
	// 4 hangs on 1 alone, in two ways; 5 on 1 and on 3; 6 hangs on what hangs on 1.
	s := newStorage(t, map[int64][]byte{
		0: record(1, 3), 1: record(4, 5, 7), 3: record(5), 4: record(6), 5: record(1), 6: record(4), 7: record(4, 6)})
	var size int64
	if err := s.conn.QueryRow(t.Context(), "SELECT sum(length(state)) FROM object_state WHERE zoid IN (1, 4, 6, 7)").Scan(&size); err != nil {
		t.Fatal(err)
	}
	w := s.ask(t, 7, 4)[0].Without
	if w.Verdict != look.Alive {
		t.Errorf("%+v", w)
	}
	packtest.CommitRecords(t, s.conn, map[int64][]byte{0: record(1, 3, 0)}) // what is newer is read, too
	for _, zoid := range []int64{4, 6, 7} {
		w := s.ask(t, 1, zoid)[0].Without
		if w.Verdict != look.Alive { // 5 refers to 1, and 3 to 5: only 1 itself is taken away
			continue
		}
		t.Errorf("zoid %d: %+v", zoid, w)
	}
	w = s.ask(t, 1, 6)[0].Without
	if w.Verdict != look.Unreachable || w.Garbage == nil || w.Garbage.Objects != 4 || w.Garbage.Bytes != size {
		t.Errorf("%+v %+v, want 4 objects of %d bytes", w, w.Garbage, size)
	}
	if w = s.ask(t, 1, 5)[0].Without; w.Verdict != look.Alive || w.Name != "root.ref1.ref0" {
		t.Errorf("%+v", w)
	}
}

func TestGarbageIsTracedToWhatItWasCutOffFrom(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	// A folder that was deleted: its __parent__ is a live one.
	a := s.ask(t, 0, 1978)[0]
	g := a.Garbage
	if a.Verdict != look.Unreachable || g == nil || !strings.HasPrefix(g.From, "root['plone']") || g.DeletableAfter == nil || g.Since != nil {
		t.Fatalf("%+v, %+v", a, g)
	}
	if last := g.Chain[len(g.Chain)-1]; last.Zoid != 1978 {
		t.Errorf("%+v", g.Chain)
	}
}

func TestWhatIsNotStoredHasReferrersAndNoWay(t *testing.T) {
	t.Parallel()
	objects := garden()
	objects[2], objects[5], objects[11] = record(77, 5), record(), record(10, 77)
	objects[1], objects[4] = record(2, 4), record()
	s := newStorage(t, objects)
	kept := why.Count{Objects: 1, Bytes: int64(len(objects[5]))}
	a := s.ask(t, 0, 77, 78)
	if a[0].Verdict != look.NotStored || a[0].Referrers.Count != 2 || a[0].Way != nil {
		t.Errorf("%+v", a[0])
	}
	for _, r := range a[0].Referrers.First {
		switch {
		case r.Zoid == 2 && r.Verdict == look.Alive && strings.HasSuffix(r.Full, ".ref0.ref0") && strings.HasPrefix(r.Full, "root.ref"):
		case r.Zoid == 11 && r.Verdict == look.Unreachable && r.Name.Name == ".ref1":
		default:
			t.Errorf("%+v", r)
		}
	}
	if a[1].Verdict != look.NotStored || a[1].Referrers.Count != 0 {
		t.Errorf("%+v", a[1])
	}
	// A row that vanishes: the graph keeps its node.
	packtest.Run(t, s.conn, "DELETE FROM object_state WHERE zoid = 2")
	if a := s.ask(t, 0, 2)[0]; a.Verdict != look.NotStored || a.Referrers.Count != 2 || a.Kept == nil || *a.Kept != kept {
		t.Errorf("%+v, kept %+v", a, a.Kept)
	}
	// What hangs on it is no garbage: it may come back.
	packtest.Run(t, s.conn, "DELETE FROM object_state WHERE zoid IN (1, 3)")
	for range 2 {
		b := s.ask(t, 0, 2, 4)
		if b[1].Verdict != look.Alive || !slices.ContainsFunc(b[1].Way, func(step look.Step) bool { return step.Missing }) {
			t.Errorf("%+v", b[1])
		}
		program.Run(t, "pack", "--quiet", "--dry-run", "--dsn", s.dsn)
	}
}

func TestWhatIsGarbageAnywayOrNotThereIsSaidOfWithout(t *testing.T) {
	t.Parallel()
	s := newStorage(t, garden())
	for _, c := range []struct {
		zoid, without int64
		says          string
	}{
		{10, 1, "unreachable anyway"},
		{10, 77777, "there is no object 77777"},
		{1, 77777, "there is no object 77777"},
	} {
		r, err := s.try(t, c.without, c.zoid)
		var text strings.Builder
		if err := errors.Join(err, r.Write(&text)); err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(fmt.Sprintf(`(?m)^without %d +%s$`, c.without, c.says)).MatchString(text.String()) {
			t.Errorf("%+v: %s", c, text.String())
		}
	}
}
