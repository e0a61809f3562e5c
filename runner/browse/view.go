package browse

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/dustin/go-humanize"

	"relpack/runner/du"
	"relpack/runner/figures"
)

// How much of the screen is not for the list: the title, the head of the columns, and
// three lines at the bottom.
const around = 5

// rows is how many entries fit on the screen.
func (m *Model) rows() int { return max(1, m.height-around) }

// scroll keeps the cursor on the screen.
func (m *Model) scroll() {
	l := m.top()
	l.at = max(0, min(l.at, len(l.inside.Entries)-1))
	l.first = max(min(l.first, l.at), l.at-m.rows()+1)
}

// visible are the entries on the screen.
func (m *Model) visible() []du.Entry {
	l := m.top()
	return l.inside.Entries[min(l.first, len(l.inside.Entries)):min(l.first+m.rows(), len(l.inside.Entries))]
}

// What a terminal does with text.
const (
	bold, reverse, plain = "\x1b[1m", "\x1b[7m", "\x1b[m"
)

// View is part of tea.Model.
func (m *Model) View() tea.View {
	lines := m.overlayLines()
	if m.overlay == nil {
		lines = m.listLines()
	}
	lines[0] = fitEnd(lines[0], m.width)
	for i := range lines {
		lines[i] = fit(lines[i], m.width)
	}
	lines[0] = bold + lines[0] + plain
	lines[1] = bold + lines[1] + plain
	if l := m.top(); m.overlay == nil && l.loaded && len(l.inside.Entries) > 0 {
		at := 2 + l.at - l.first
		lines[at] = reverse + pad(lines[at], m.width) + plain
	}
	v := tea.NewView(strings.Join(lines[:min(len(lines), m.height)], "\n"))
	v.AltScreen = true
	return v
}

func (m *Model) listLines() []string {
	l := m.top()
	title := "relpack du"
	if m.Storage != "" {
		title += " " + m.Storage
	}
	if m.Count > 1 {
		title += fmt.Sprintf(" (%d of %d)", m.Number, m.Count)
	}
	title += ": " + l.name
	lines := []string{title, m.head()}
	of := m.key.Of(l.entry.Sum)
	for _, e := range m.visible() {
		lines = append(lines, m.row(e.Sum, of, m.entryText(e)))
	}
	for len(lines) < m.rows()+2 {
		lines = append(lines, "")
	}
	return append(lines, m.sumLine(), m.graphLine(), m.bottom("enter in", "← out", "s sort", "c classes", "w why", "? keys", m.quitKey()))
}

// bottom is the last line: an error, or what can be done. Where there is no room for
// all, the last of it is there.
func (m *Model) bottom(keys ...string) string {
	if m.message != "" {
		return "! " + strings.ReplaceAll(m.message, "\n", " ")
	}
	const between = "  "
	last := keys[max(0, len(keys)-2):]
	for first := len(keys) - len(last); first >= 0; first-- {
		line := strings.Join(append(slices.Clone(keys[:first]), last...), between)
		if ansi.StringWidth(line) <= m.width {
			return line
		}
	}
	return keys[len(keys)-1]
}

// quitKey says what q does.
func (m *Model) quitKey() string {
	if m.Number < m.Count {
		return "q next storage"
	}
	return "q quit"
}

// graphLine is how far all of this can be relied on.
func (m *Model) graphLine() string {
	text := ""
	if m.UpTo != "" {
		text = "graph up to " + m.UpTo
	}
	if m.Uncertain == "" {
		return text
	}
	return strings.TrimPrefix(text+"; uncertain, see ?", "; ")
}

// sumLine is about the object that is shown.
func (m *Model) sumLine() string {
	l := m.top()
	if !l.loaded {
		return "..."
	}
	text := fmt.Sprintf("all of it: %s, %s", figures.Size(l.entry.Bytes()), figures.Plural(l.entry.Objects, "object"))
	if l.entry.History > 0 {
		text += "; older revisions " + figures.Size(l.entry.History)
	}
	if n := l.inside.Parts.Count; n > 0 {
		text += fmt.Sprintf("; %s of the BTree %s", figures.Plural(n, "part"), figures.Size(l.inside.Parts.States))
	}
	if n := l.inside.Others.Count; n > 0 {
		text += fmt.Sprintf("; %s more %s", humanize.Comma(n), figures.Size(l.inside.Others.Bytes()))
	}
	if m.key == du.BySize && !m.Blobs {
		text += "; sizes of blobs are not known"
	}
	return text
}

const barWidth = 12

// head names the columns.
func (m *Model) head() string {
	names := map[du.Key]string{}
	for _, key := range m.keys() {
		names[key] = string(key)
	}
	return m.columns(names, strings.Repeat(" ", barWidth+2), "by "+string(m.key))
}

// row is a line of numbers, with a bar as long as the part of the whole.
func (m *Model) row(s du.Sum, of int64, text string) string {
	numbers := map[du.Key]string{du.BySize: figures.Size(s.Bytes()), du.ByStates: figures.Size(s.States), du.ByHistory: figures.Size(s.History),
		du.ByBlobs: figures.Size(s.Blobs), du.ByObjects: humanize.Comma(s.Objects)}
	if !m.Blobs {
		numbers[du.ByBlobs] = "?"
	}
	return m.columns(numbers, "["+bar(m.key.Of(s), of)+"]", text)
}

// wide is from which width on there is room for all columns but that of the history,
// which takes the place of the bar where there is none for both.
const wide = 95

// narrow is below which width there is room for one column.
const narrow = 50

// columns makes a line of as many columns as there is room for. The one that the list
// is sorted by is always there.
func (m *Model) columns(of map[du.Key]string, bar, text string) string {
	switch {
	case m.width < narrow:
		return fmt.Sprintf("%9s  %s", of[m.key], text)
	case m.width < wide && m.key == du.ByObjects:
		return fmt.Sprintf("%9s %9s  %s", of[du.BySize], of[du.ByObjects], text)
	case m.width < wide:
		return fmt.Sprintf("%9s %9s  %s", of[m.key], of[du.ByObjects], text)
	}
	bar, history := bar+" ", ""
	if m.History {
		history = fmt.Sprintf("%10s ", of[du.ByHistory])
		if m.width < wide+len(history) {
			bar = ""
		}
	}
	return fmt.Sprintf("%10s %s%10s %s%10s %12s  %s", of[du.BySize], bar, of[du.ByStates], history, of[du.ByBlobs], of[du.ByObjects], text)
}

func bar(part, whole int64) string {
	n := 0
	if whole > 0 {
		n = int(min(barWidth, (part*barWidth+whole/2)/whole))
	}
	return strings.Repeat("#", n) + strings.Repeat(" ", barWidth-n)
}

// entryText names an entry.
func (m *Model) entryText(e du.Entry) string {
	name, known := m.names[[2]int64{m.top().entry.Zoid, e.Zoid}]
	switch {
	case !known:
		name = "..."
	case name == "":
		name = "?"
	}
	mark := " "
	if e.Objects > 1 {
		mark = "/"
	}
	return fmt.Sprintf("%s%s  (%d %s)", mark, name, e.Zoid, cmp.Or(e.Class, "class unknown"))
}

// classText lists classes as the list does objects.
func (m *Model) classText(classes []du.Class) string {
	lines, of := []string{m.head()}, m.key.Of(m.top().entry.Sum)
	for _, c := range classes {
		lines = append(lines, m.row(c.Sum, of, cmp.Or(c.Class, "class unknown")))
	}
	return strings.Join(lines, "\n")
}

// wrapped are the lines of an overlay, none wider than the screen.
func (m *Model) wrapped() (lines []string) {
	text := m.overlay.text
	if m.overlay.classes != nil {
		text = m.classText(m.overlay.classes)
	}
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		lines = append(lines, wrap(line, m.width)...)
	}
	return lines
}

func (m *Model) overlayLines() []string {
	o := m.overlay
	if o == nil {
		return nil
	}
	all := m.wrapped()
	o.first = max(0, min(o.first, len(all)-1))
	lines := []string{o.title, ""}
	lines = append(lines, all[o.first:min(o.first+m.rows(), len(all))]...)
	for len(lines) < m.rows()+4 {
		lines = append(lines, "")
	}
	return append(lines, m.bottom("↑ ↓ scroll", "q back"))
}

// pressOverlay scrolls, or goes back to the list.
func (m *Model) pressOverlay(key string) tea.Cmd {
	o := m.overlay
	switch key {
	case "q", "esc", "left", "h", "backspace", "enter", "w", "c", "?":
		if o.leave != nil {
			o.leave()
		}
		m.overlay = nil
		return nil
	}
	last := max(1, len(m.wrapped())-m.rows()+1)
	o.first = moved(key, o.first, last, m.rows())
	return nil
}

const help = `up, k  down, j      one line
page up, page down  one page
home, g  end, G     the first, the last
enter, right, l     into the object with the cursor
left, h, backspace  out again
s                   sort by %s
c                   the classes of all that is in the object that is shown
w                   why the object with the cursor is alive, as "relpack why" says
q                   quit; go on to the next storage where there are several
control c           quit all

A name with / before it holds others: it can be gone into.
The name ? is of an object whose holder does not refer to it: w says what keeps it.
`

// help is about the keys, and about what the screen has no room for.
func (m *Model) help() string {
	var keys []string
	for _, key := range m.keys() {
		keys = append(keys, string(key))
	}
	text := fmt.Sprintf(help, strings.Join(keys, ", "))
	if m.Uncertain == "" {
		return text
	}
	return text + "\nuncertain: " + m.Uncertain + "\n"
}

// fit cuts a line to the width of the screen.
func fit(line string, width int) string { return ansi.Truncate(line, width, "…") }

// fitEnd is fit for a line whose end is what matters.
func fitEnd(line string, width int) string {
	over := ansi.StringWidth(line) - width
	if over <= 0 {
		return line
	}
	return ansi.TruncateLeft(line, over+1, "…")
}

func pad(line string, width int) string {
	return line + strings.Repeat(" ", max(0, width-ansi.StringWidth(line)))
}

// columnBegin is where the last column of a line begins.
var columnBegin = regexp.MustCompile(`^.*\S {2,}`)

// wrap makes lines of one that are not wider than the screen. What goes on is below
// where the last column began.
func wrap(line string, width int) []string {
	if ansi.StringWidth(line) <= width {
		return []string{line}
	}
	head := columnBegin.FindString(line)
	indent := ansi.StringWidth(head)
	if indent == 0 || indent > width/2 {
		head, indent = "", min(2, width/2)
	}
	lines := strings.Split(ansi.Wrap(line[len(head):], max(1, width-indent), ""), "\n")
	for i := 1; i < len(lines); i++ {
		lines[i] = strings.Repeat(" ", indent) + lines[i]
	}
	lines[0] = head + lines[0]
	return lines
}
