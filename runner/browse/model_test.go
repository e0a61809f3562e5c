package browse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"relpack/runner/du"
)

// A house has rooms with things in them: row 0 is it, 1 to rooms are rooms, and so on.
type house struct {
	rooms, things int
	name          string // before each
	history       int64  // of the second room
	broken        error
	asked         []int64 // whose names were asked for
}

func (h *house) Inside(row uint32, most int, key du.Key) (du.Inside, error) {
	if h.broken != nil {
		return du.Inside{}, h.broken
	}
	var found du.Inside
	count := h.rooms
	if row > 0 {
		count = h.things
	}
	for i := range count {
		e := du.Entry{Row: row*1000 + uint32(i) + 1, Class: "m.Room", Sum: du.Sum{States: int64(count-i) * 1000, Blobs: int64(i) * 10, Objects: int64(i%7) + 2}}
		if i == 1 {
			e.History = h.history
		}
		e.Zoid = int64(e.Row) + 50
		found.Entries = append(found.Entries, e)
	}
	slices.SortStableFunc(found.Entries, func(a, b du.Entry) int { return int(key.Of(b.Sum) - key.Of(a.Sum)) })
	found.Entries = found.Entries[:min(most, len(found.Entries))]
	found.Parts.Count = 3
	return found, nil
}

func (h *house) Classes(uint32, du.Key) ([]du.Class, error) {
	return []du.Class{{Class: "m.Room", Sum: du.Sum{States: 2048, History: h.history, Blobs: 1024, Objects: 7}}, {}}, h.broken
}

func (h *house) Names(_ context.Context, holder int64, zoids []int64) (map[int64]string, error) {
	h.asked = append(h.asked, zoids...)
	names := map[int64]string{}
	for _, zoid := range zoids {
		names[zoid] = fmt.Sprintf("%s['%d in %d']", h.name, zoid, holder)
	}
	return names, h.broken
}

// A screen is a model with what drives it.
type screen struct {
	t *testing.T
	*Model
}

func newScreen(t *testing.T, h *house) screen {
	t.Helper()
	m := New(t.Context(), h, du.Entry{Zoid: 50, Class: "m.House", Sum: du.Sum{States: 10_000, Objects: 1000}}, "root", du.BySize)
	m.Storage, m.Blobs, m.History = "site", true, h.history > 0
	m.Why = func(_ context.Context, zoid int64) (string, error) {
		return strings.Repeat(fmt.Sprintf("zoid %d is alive\n", zoid), 100), h.broken
	}
	s := screen{t, m}
	s.run(m.Init())
	s.send(tea.WindowSizeMsg{Width: 120, Height: 24})
	return s
}

// run does what commands say, until nothing is left.
func (s screen) run(cmd tea.Cmd) {
	for cmd != nil {
		_, cmd = s.Update(cmd())
	}
}

func (s screen) send(msg tea.Msg) {
	_, cmd := s.Update(msg)
	s.run(cmd)
}

var special = map[string]tea.Key{"enter": {Code: tea.KeyEnter}, "left": {Code: tea.KeyLeft}, "down": {Code: tea.KeyDown}, "end": {Code: tea.KeyEnd},
	"pgdown": {Code: tea.KeyPgDown}, "home": {Code: tea.KeyHome}, "up": {Code: tea.KeyUp}, "esc": {Code: tea.KeyEscape}}

// press presses keys.
func (s screen) press(keys ...string) {
	s.t.Helper()
	for _, key := range keys {
		k, known := special[key]
		if !known {
			k = tea.Key{Code: rune(key[0]), Text: key}
		}
		s.send(tea.KeyPressMsg(k))
	}
}

func (s screen) lines() []string {
	return strings.Split(s.View().Content, "\n")
}

// cursor is the line that is shown in reverse.
func (s screen) cursor() string {
	for _, line := range s.lines() {
		if strings.HasPrefix(line, reverse) {
			return line
		}
	}
	return ""
}

// expect wants texts on the screen.
func (s screen) expect(texts ...string) {
	s.t.Helper()
	for _, text := range texts {
		if !strings.Contains(s.View().Content, text) {
			s.t.Errorf("no %q in\n%s", text, s.View().Content)
		}
	}
}

func TestWhoGoesInAndOutSeesWhatIsInside(t *testing.T) {
	t.Parallel()
	s := newScreen(t, &house{rooms: 3, things: 2})
	s.expect("relpack du site: root", "['51 in 50']  (51 m.Room)", "all of it: 9.8 KiB, 1,000 objects", "3 parts of the BTree")
	s.press("down", "enter")
	s.expect("relpack du site: root['52 in 50']", "['2051 in 52']")
	s.press("down", "enter")
	s.expect("root['52 in 50']['2052 in 52']")
	s.press("left", "left")
	s.expect("relpack du site: root\n"[:21])
	if !strings.Contains(s.cursor(), "['52 in 50']") {
		t.Errorf("the cursor is at %s", s.cursor())
	}
	s.press("left", "left")
	s.expect("relpack du site: root")
}

func TestTheCursorStaysOnItsObjectWhenTheOrderChanges(t *testing.T) {
	t.Parallel()
	s := newScreen(t, &house{rooms: 9})
	s.press("down")
	at := s.cursor()
	for _, key := range []string{"states", "blobs", "objects", "size"} {
		s.press("s")
		s.expect("by " + key)
		if zoid := "(52 m.Room)"; !strings.Contains(s.cursor(), zoid) || !strings.Contains(at, zoid) {
			t.Errorf("by %s: %s", key, s.cursor())
		}
	}
}

func TestManyEntriesAreScrolledAndOnlyThoseOnTheScreenHaveNames(t *testing.T) {
	t.Parallel()
	h := &house{rooms: 900}
	s := newScreen(t, h)
	if len(h.asked) != 19 {
		t.Errorf("%d names were asked for", len(h.asked))
	}
	s.press("end")
	if !strings.Contains(s.cursor(), "['950 in 50']") || len(h.asked) != 38 {
		t.Errorf("%s, %d names", s.cursor(), len(h.asked))
	}
	for range 60 {
		s.press("up")
		if s.cursor() == "" {
			t.Fatal("the cursor left the screen")
		}
	}
	s.press("home", "pgdown", "pgdown")
	if !strings.Contains(s.cursor(), "['89 in 50']") {
		t.Error(s.cursor())
	}
}

func TestClassesAndWhyAreTextsInFront(t *testing.T) {
	t.Parallel()
	s := newScreen(t, &house{rooms: 3})
	s.press("c")
	s.expect("classes in root", "by size", "3.0 KiB [####        ]    2.0 KiB    1.0 KiB            7  m.Room", "class unknown")
	s.press("q", "down", "w")
	s.expect("zoid 52 is alive", "q back")
	s.press("end", "end", "q", "w", "down", "esc", "?")
	s.expect("why the object with the cursor is alive")
	s.press("q")
	s.expect("(52 m.Room)")
}

func TestErrorsAreShownUntilTheNextKey(t *testing.T) {
	t.Parallel()
	h := &house{rooms: 3}
	s := newScreen(t, h)
	h.broken = errors.New("the graph is being changed")
	s.press("w")
	s.expect("! the graph is being changed", "(51 m.Room)")
	s.press("enter")
	s.expect("! the graph is being changed")
	h.broken = nil
	s.press("left")
	s.expect("q quit", "(51 m.Room)")
}

// An answer takes its time. Its place is there at once, and q closes that only.
func TestAnAnswerIsAwaitedInFront(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"w", "c"} {
		s := newScreen(t, &house{rooms: 3})
		why := s.Why
		var asked context.Context
		s.Why = func(ctx context.Context, zoid int64) (string, error) {
			asked = ctx
			return why(ctx, zoid)
		}
		_, ask := s.Update(tea.KeyPressMsg(tea.Key{Code: rune(key[0]), Text: key}))
		s.expect("it is being looked up", "q back")
		if _, cmd := s.Update(tea.KeyPressMsg(tea.Key{Code: 'q', Text: "q"})); cmd != nil {
			t.Errorf("%s, q: a command", key)
		}
		s.expect("(51 m.Room)", "q quit")
		answer := ask()
		if asked != nil && asked.Err() == nil {
			t.Error("who is asked does not know that nobody waits")
		}
		s.send(answer)
		s.expect("(51 m.Room)", "q quit")
		_, again := s.Update(tea.KeyPressMsg(tea.Key{Code: rune(key[0]), Text: key}))
		s.send(answer) // to the question before
		s.expect("it is being looked up")
		s.run(again)
		s.expect(map[string]string{"w": "zoid 51 is alive", "c": "1.0 KiB            7  m.Room"}[key])
	}
}

// Who is quick leaves before the answer comes.
func TestAnAnswerThatComesLateIsNotShown(t *testing.T) {
	t.Parallel()
	s := newScreen(t, &house{rooms: 3, things: 2})
	_, cmd := s.Update(tea.KeyPressMsg(special["enter"]))
	late := cmd()
	s.press("left")
	s.send(late)
	s.expect("(53 m.Room)")
	_, cmd = s.Update(tea.KeyPressMsg(tea.Key{Code: 's', Text: "s"}))
	late = cmd()
	s.press("s")
	s.send(late)
	s.expect("by blobs")
	if !strings.Contains(s.lines()[2], "(53 m.Room)") {
		t.Error(s.lines()[2])
	}
}

func TestNothingIsWiderOrLongerThanTheScreen(t *testing.T) {
	t.Parallel()
	s := newScreen(t, &house{rooms: 100, things: 0, name: strings.Repeat("漢字", 9)})
	for _, size := range [][2]int{{40, 10}, {1, 1}, {300, 60}, {95, 3}, {3, 9}} {
		s.send(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
		for _, keys := range [][]string{{"end"}, {"c"}, {"q", "w"}, {"q", "?"}, {"q", "home", "enter"}, {"left"}} {
			s.press(keys...)
			lines := s.lines()
			if len(lines) > size[1] {
				t.Errorf("%v: %d lines", size, len(lines))
			}
			for _, line := range lines {
				text := strings.NewReplacer(bold, "", reverse, "", plain, "").Replace(line)
				if ansi.StringWidth(text) > size[0] {
					t.Errorf("%v: %q", size, line)
				}
			}
		}
	}
}

func TestQAndControlCQuit(t *testing.T) {
	t.Parallel()
	s := newScreen(t, &house{rooms: 1})
	for _, key := range []tea.Key{{Code: 'q', Text: "q"}, {Code: 'c', Mod: tea.ModCtrl}} {
		_, cmd := s.Update(tea.KeyPressMsg(key))
		if cmd == nil {
			t.Fatalf("%v does nothing", key)
		}
		if _, quits := cmd().(tea.QuitMsg); !quits {
			t.Errorf("%v does not quit", key)
		}
	}
}
