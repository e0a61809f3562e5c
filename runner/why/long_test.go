package why_test

import (
	"strings"
	"testing"

	"relpack/runner/look"
)

func TestALongWayIsShownFromBothEnds(t *testing.T) {
	t.Parallel()
	objects := map[int64][]byte{}
	const length = 3000
	for zoid := int64(0); zoid < length; zoid++ {
		objects[zoid] = record(zoid + 1)
	}
	objects[length] = record()
	s := newStorage(t, objects)
	report, err := s.try(t, 0, length)
	if err != nil {
		t.Fatal(err)
	}
	a := report.Objects[0]
	if a.Verdict != look.Alive || len(a.Way) != length+1 || strings.Count(a.Name, "…") != 1 || !strings.HasPrefix(a.Name, "root.ref0.ref0") ||
		!strings.HasSuffix(a.Name, ".ref0.ref0") || len(a.Name) > 2000 {
		t.Errorf("%d steps: %s", len(a.Way), a.Name)
	}
	var text strings.Builder
	if err := report.Write(&text); err != nil || strings.Count(text.String(), "\n") > 120 || !strings.Contains(text.String(), "2,901 more") {
		t.Errorf("%v: %d lines", err, strings.Count(text.String(), "\n"))
	}
}
