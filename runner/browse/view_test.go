package browse

import (
	"context"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"relpack/runner/du"
)

func TestTheFirstListIsSortedAsAsked(t *testing.T) {
	t.Parallel()
	s := screen{t, New(t.Context(), &house{rooms: 3}, du.Entry{Zoid: 50}, "root", du.ByBlobs)}
	s.run(s.Init())
	s.expect("by blobs")
	if !strings.Contains(s.lines()[2], "(53 m.Room)") {
		t.Error(s.lines()[2])
	}
}

func TestTheColumnThatAListIsSortedByIsAlwaysThere(t *testing.T) {
	t.Parallel()
	for width, want := range map[int]map[du.Key]string{
		40: {du.BySize: "size  ", du.ByStates: "states  ", du.ByBlobs: "blobs  ", du.ByObjects: "objects  "},
		80: {du.BySize: "size   objects  ", du.ByStates: "states   objects  ", du.ByBlobs: "blobs   objects  ", du.ByObjects: "size   objects  "},
	} {
		s := newScreen(t, &house{rooms: 3})
		s.send(tea.WindowSizeMsg{Width: width, Height: 24})
		for range want {
			if head := strings.TrimLeft(strings.TrimPrefix(s.lines()[1], bold), " "); head != want[s.key]+"by "+string(s.key)+plain {
				t.Errorf("%d columns, by %s: %q", width, s.key, head)
			}
			s.press("s")
		}
		s.press("s", "s")
		if line := s.lines()[2]; !strings.Contains(line, " 20 B ") {
			t.Errorf("%d columns: %q", width, line)
		}
	}
}

func TestHowToQuitAndWhereOneIsAreOnNarrowScreens(t *testing.T) {
	t.Parallel()
	s := newScreen(t, &house{rooms: 3, things: 2, name: ".a_long_name_of_an_attribute"})
	s.send(tea.WindowSizeMsg{Width: 40, Height: 24})
	s.press("enter")
	lines := s.lines()
	if !strings.HasSuffix(lines[0], "an_attribute['51 in 50']"+plain) || !strings.HasPrefix(lines[0], bold+"…") {
		t.Errorf("%q", lines[0])
	}
	if last := lines[len(lines)-1]; last != "enter in  ← out  s sort  ? keys  q quit" {
		t.Errorf("%q", last)
	}
	s.send(tea.WindowSizeMsg{Width: 10, Height: 24})
	if lines := s.lines(); lines[len(lines)-1] != "q quit" {
		t.Errorf("%q", lines[len(lines)-1])
	}
}

func TestOneOfSeveralStoragesHasANumberAndControlCEndsAll(t *testing.T) {
	t.Parallel()
	s := newScreen(t, &house{rooms: 3})
	s.Number, s.Count = 2, 3
	s.expect("relpack du site (2 of 3): root", "q next storage")
	s.Number = 3
	s.expect("relpack du site (3 of 3): root", "q quit")
	if s.press("q"); s.ended {
		t.Error("q ends all")
	}
	if s.send(tea.KeyPressMsg(tea.Key{Code: 'c', Mod: tea.ModCtrl})); !s.ended {
		t.Error("control C does not end all")
	}
}

func TestTheScreenSaysHowFarItCanBeReliedOn(t *testing.T) {
	t.Parallel()
	s := newScreen(t, &house{rooms: 3})
	s.UpTo = "2026-01-02 03:04:05 UTC (3 days ago)"
	s.expect("graph up to 2026-01-02 03:04:05 UTC (3 days ago)")
	s.Uncertain = "the graph may not match the storage"
	s.expect("(3 days ago); uncertain, see ?")
	s.press("?")
	s.expect("uncertain: the graph may not match the storage")
}

func TestTextsInFrontAreWrapped(t *testing.T) {
	t.Parallel()
	s := newScreen(t, &house{rooms: 3})
	s.Why = func(context.Context, int64) (string, error) {
		return "held by   root['plone']['news']['a document'] and many others that follow\nend\n", nil
	}
	s.send(tea.WindowSizeMsg{Width: 40, Height: 24})
	s.press("w")
	if got := strings.Join(s.lines()[2:5], "\n"); got != "held by   root['plone']['news']['a\n          document'] and many others\n          that follow" {
		t.Errorf("%s", got)
	}
	s.press("q", "?", "end")
	s.expect("can be gone into")
	s.send(tea.WindowSizeMsg{Width: 120, Height: 24})
	s.expect("A name with / before it holds others: it can be gone into.")
}

func TestAStorageThatKeepsHistoryHasAColumnForIt(t *testing.T) {
	t.Parallel()
	s := newScreen(t, &house{rooms: 3, history: 5 << 20})
	head := func() string {
		return strings.Join(strings.Fields(strings.TrimSuffix(strings.TrimPrefix(s.lines()[1], bold), plain)), " ")
	}
	for width, want := range map[int]string{160: "size states history blobs objects by size", 95: "size states history blobs objects by size", 80: "size objects by size", 40: "size by size"} {
		s.send(tea.WindowSizeMsg{Width: width, Height: 24})
		if head() != want {
			t.Errorf("%d columns: %q", width, head())
		}
		if line := s.cursor(); ansi.StringWidth(line) > width || !strings.Contains(line, "5.0 MiB") || !strings.Contains(line, "(52 m.R") {
			t.Errorf("%d columns: %q", width, line)
		}
	}
	for _, key := range []string{"states", "history", "blobs", "objects", "size", "states", "history"} {
		s.press("s")
		s.expect("by " + key)
	}
	for width, want := range map[int]string{80: "history objects by history", 40: "history by history", 120: "size states history blobs objects by history"} {
		s.send(tea.WindowSizeMsg{Width: width, Height: 24})
		if head() != want || !strings.Contains(s.lines()[2], "5.0 MiB") {
			t.Errorf("%d columns: %q, %q", width, head(), s.lines()[2])
		}
	}
	s.send(tea.WindowSizeMsg{Width: 120, Height: 24})
	s.press("c")
	s.expect("by history", "2.0 KiB    5.0 MiB    1.0 KiB            7  m.Room")
	s.send(tea.WindowSizeMsg{Width: 80, Height: 24})
	s.expect("  5.0 MiB         7  m.Room")
	s.press("q", "?")
	s.expect("sort by size, states, history, blobs, objects")
}

func TestAStorageWithoutHistoryIsNotSortedByIt(t *testing.T) {
	t.Parallel()
	s := screen{t, New(t.Context(), &house{rooms: 3}, du.Entry{Zoid: 50}, "root", du.ByHistory)}
	s.run(s.Init())
	s.expect("by size")
	s.press("?")
	s.expect("sort by size, states, blobs, objects")
}
