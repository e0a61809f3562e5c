package du_test

import (
	"context"
	"strings"
	"testing"

	"relpack/runner/du"
	"relpack/runner/fault"
)

func TestABrowserLooksIntoWhatWasMeasured(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	list := lines(s.measure(t, du.Options{}))
	r := s.measure(t, du.Options{Browse: func(ctx context.Context, b *du.Browser) error {
		// Who looks at a screen keeps nobody waiting.
		var idle bool
		if err := s.conn.QueryRow(ctx, "SELECT bool_and(state = 'idle') FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'relpack du'").
			Scan(&idle); err != nil || !idle {
			t.Errorf("a transaction is open, %v", err)
		}
		top, err := b.Top(4009)
		if err != nil || top.Sum != list[4009].Sum || top.Class != "zmodels.Folder" {
			t.Errorf("%v: %+v", err, top)
		}
		inside, err := b.Inside(top.Row, 5, du.ByStates)
		if err != nil || len(inside.Entries) != 5 || inside.Others.Count != int64(len(list[4009].Content))-5 || inside.Entries[0].States < inside.Entries[4].States {
			t.Errorf("%v: %+v", err, inside)
		}
		names, err := b.Names(ctx, 4009, []int64{4011, inside.Entries[0].Zoid})
		if err != nil || names[4011] != list[4011].Name || names[inside.Entries[0].Zoid] != list[inside.Entries[0].Zoid].Name {
			t.Errorf("%v: %v", err, names)
		}
		full, err := b.FullName(ctx, 4009)
		if err != nil || full != "root['plone']._tree['folder-32']" {
			t.Errorf("%v: %s", err, full)
		}
		classes, err := b.Classes(top.Row, du.ByObjects)
		var objects int64
		for _, c := range classes {
			objects += c.Objects
		}
		if err != nil || objects != top.Objects {
			t.Errorf("%v: %d objects, want %d", err, objects, top.Objects)
		}
		if _, err := b.Top(1982); err == nil || !strings.Contains(fault.Message(err), "relpack why 1982") {
			t.Error(err)
		}
		s.run(t, "INSERT INTO relpack.suspect (zoid, stage) VALUES (1, 'climb')")
		if _, err := b.Names(ctx, 4009, []int64{4011}); err == nil || !strings.Contains(err.Error(), "the graph is being changed") {
			t.Error(err)
		}
		return nil
	}})
	if r.Top != nil || !r.Empty() {
		t.Errorf("%+v", r.Top)
	}
}
