package browse

import (
	"context"
	"slices"

	tea "charm.land/bubbletea/v2"

	"relpack/runner/du"
)

// A Source answers what the model asks.
type Source interface {
	Inside(row uint32, most int, key du.Key) (du.Inside, error)
	Classes(row uint32, key du.Key) ([]du.Class, error)
	Names(ctx context.Context, holder int64, zoids []int64) (map[int64]string, error)
}

// A Model is what is on the screen.
type Model struct {
	Source  Source
	Storage string // its name; "" if it has none
	Number  int    // of this storage
	Count   int    // of all storages that are shown one after the other
	Blobs   bool   // their sizes are known
	History bool   // the storage keeps it
	// UpTo is until when the graph knows of what was written, and Uncertain why what
	// looks unreachable may be alive; "" if it is not.
	UpTo, Uncertain string
	// Why is the text of "relpack why" about an object.
	Why func(ctx context.Context, zoid int64) (string, error)

	ctx           context.Context
	key           du.Key
	levels        []level // the last one is shown
	names         map[[2]int64]string
	asked         map[[2]int64]bool
	overlay       *overlay
	message       string // an error, until the next key
	ended         bool   // no other storage is asked for
	width, height int
}

// A level is an object that somebody went into.
type level struct {
	entry  du.Entry
	name   string // how Python would reach it
	inside du.Inside
	loaded bool
	at     int // the entry with the cursor
	first  int // the first one on the screen
}

// An overlay is a text in front of the list.
type overlay struct {
	title   string
	text    string
	classes []du.Class         // are its text, made as wide as the screen is
	leave   context.CancelFunc // who is asked for the text; nil: nobody
	first   int                // the first of its lines on the screen
}

// mostEntries is how many entries of an object can be gone through.
const mostEntries = 10_000

// New begins with an object, whose name is given, and sorts by a key.
func New(ctx context.Context, source Source, top du.Entry, name string, key du.Key) *Model {
	return &Model{Source: source, ctx: ctx, key: key, levels: []level{{entry: top, name: name}},
		names: map[[2]int64]string{}, asked: map[[2]int64]bool{}, width: 80, height: 24}
}

// Answers of commands.
type (
	insideMsg struct {
		row    uint32
		key    du.Key
		inside du.Inside
		err    error
	}
	namesMsg struct {
		holder int64
		names  map[int64]string
		err    error
	}
	textMsg struct {
		overlay *overlay // that waits for it
		text    string
		classes []du.Class
		err     error
	}
)

// Init is part of tea.Model.
func (m *Model) Init() tea.Cmd {
	if !slices.Contains(m.keys(), m.key) {
		m.key = du.BySize
	}
	return m.load()
}

func (m *Model) top() *level { return &m.levels[len(m.levels)-1] }

// load asks what is in the object that is shown.
func (m *Model) load() tea.Cmd {
	row, key := m.top().entry.Row, m.key
	return func() tea.Msg {
		inside, err := m.Source.Inside(row, mostEntries, key)
		return insideMsg{row, key, inside, err}
	}
}

// askNames asks for the names of what is on the screen and has none yet.
func (m *Model) askNames() tea.Cmd {
	l := m.top()
	holder := l.entry.Zoid
	var zoids []int64
	for _, e := range m.visible() {
		if id := [2]int64{holder, e.Zoid}; !m.asked[id] {
			m.asked[id] = true
			zoids = append(zoids, e.Zoid)
		}
	}
	if len(zoids) == 0 {
		return nil
	}
	return func() tea.Msg {
		names, err := m.Source.Names(m.ctx, holder, zoids)
		return namesMsg{holder, names, err}
	}
}

// Update is part of tea.Model.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
		m.scroll()
		return m, m.askNames()
	case tea.KeyPressMsg:
		m.message = ""
		return m, m.press(msg.String())
	case insideMsg:
		return m, m.show(msg)
	case namesMsg:
		for zoid, name := range msg.names {
			m.names[[2]int64{msg.holder, zoid}] = name
		}
		m.fail(msg.err)
	case textMsg:
		m.answer(msg)
	}
	return m, nil
}

func (m *Model) fail(err error) {
	if err != nil {
		m.message = err.Error()
	}
}

// show takes what is in an object, unless somebody has left it since.
func (m *Model) show(msg insideMsg) tea.Cmd {
	l := m.top()
	if m.fail(msg.err); msg.err != nil || l.entry.Row != msg.row || m.key != msg.key {
		return nil
	}
	var under int64 = -1
	if l.at < len(l.inside.Entries) && l.loaded {
		under = l.inside.Entries[l.at].Zoid
	}
	l.inside, l.loaded = msg.inside, true
	for i, e := range l.inside.Entries {
		if e.Zoid == under {
			l.at = i
		}
	}
	m.scroll()
	return m.askNames()
}

// answer takes what an overlay waits for, unless somebody has left it since.
func (m *Model) answer(msg textMsg) {
	if m.overlay != msg.overlay {
		return
	}
	if m.fail(msg.err); msg.err != nil {
		m.overlay = nil
		return
	}
	m.overlay.text, m.overlay.classes = msg.text, msg.classes
}

// await shows an overlay whose text is asked for.
func (m *Model) await(title string, ask func(context.Context) textMsg) tea.Cmd {
	ctx, leave := context.WithCancel(m.ctx)
	waiting := &overlay{title: title, text: "it is being looked up ...", leave: leave}
	m.overlay = waiting
	return func() tea.Msg {
		defer leave()
		msg := ask(ctx)
		msg.overlay = waiting
		return msg
	}
}

// press does what a key is for.
func (m *Model) press(key string) tea.Cmd {
	switch key {
	case "ctrl+c":
		// A key to go, as in top and htop, which end with 0 as well: nothing was left undone.
		m.ended = true
		return tea.Quit
	case "ctrl+z":
		return tea.Suspend
	}
	if m.overlay != nil {
		return m.pressOverlay(key)
	}
	l := m.top()
	switch key {
	case "q":
		return tea.Quit
	case "enter", "right", "l":
		return m.in()
	case "left", "h", "backspace", "esc":
		return m.out()
	case "s":
		all := m.keys()
		m.key = all[(slices.Index(all, m.key)+1)%len(all)]
		return m.load()
	case "c":
		return m.classes()
	case "w":
		return m.why()
	case "?":
		m.overlay = &overlay{title: "keys", text: m.help()}
		return nil
	}
	l.at = moved(key, l.at, len(l.inside.Entries), m.rows())
	m.scroll()
	return m.askNames()
}

// moved is where a key takes the cursor.
func moved(key string, at, count, page int) int {
	switch key {
	case "up", "k":
		at--
	case "down", "j":
		at++
	case "pgup":
		at -= page
	case "pgdown", "space":
		at += page
	case "home", "g":
		at = 0
	case "end", "G":
		at = count
	}
	return max(0, min(at, count-1))
}

// keys are what the list can be sorted by.
func (m *Model) keys() []du.Key {
	if m.History {
		return []du.Key{du.BySize, du.ByStates, du.ByHistory, du.ByBlobs, du.ByObjects}
	}
	return []du.Key{du.BySize, du.ByStates, du.ByBlobs, du.ByObjects}
}

// selected is the entry with the cursor.
func (m *Model) selected() (du.Entry, bool) {
	l := m.top()
	if l.at >= len(l.inside.Entries) {
		return du.Entry{}, false
	}
	return l.inside.Entries[l.at], true
}

func (m *Model) in() tea.Cmd {
	e, ok := m.selected()
	if !ok || e.Objects <= 1 {
		return nil
	}
	m.levels = append(m.levels, level{entry: e, name: m.fullName(e)})
	return m.load()
}

func (m *Model) out() tea.Cmd {
	if len(m.levels) == 1 {
		return nil
	}
	m.levels = m.levels[:len(m.levels)-1]
	return m.load() // the order may be another
}

// fullName is how Python would reach an entry.
func (m *Model) fullName(e du.Entry) string {
	l := m.top()
	name := m.names[[2]int64{l.entry.Zoid, e.Zoid}]
	if name == "" {
		name = ".?"
	}
	return l.name + name
}

func (m *Model) classes() tea.Cmd {
	row, key := m.top().entry.Row, m.key
	return m.await("classes in "+m.top().name, func(context.Context) textMsg {
		classes, err := m.Source.Classes(row, key)
		return textMsg{classes: classes, err: err}
	})
}

func (m *Model) why() tea.Cmd {
	e, ok := m.selected()
	if !ok {
		e = m.top().entry
	}
	return m.await("why", func(ctx context.Context) textMsg {
		text, err := m.Why(ctx, e.Zoid)
		return textMsg{text: text, err: err}
	})
}
