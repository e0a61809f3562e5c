package page_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/dustin/go-humanize"
	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/du"
	"relpack/runner/figures"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/program"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/inventory"
	"relpack/runner/page"
	"relpack/runner/status"
	"relpack/runner/target"
)

func TestMain(m *testing.M) {
	os.Exit(program.Main(m, func(ctx context.Context, conn *pgx.Conn) error {
		return zodbtest.CreateStorage(ctx, conn, zodbtest.V42)
	}))
}

// newPage is that of the sample, packed once, and what it is made of.
func newPage(t *testing.T) (file string, reports []*page.Report) {
	t.Helper()
	db := pgtest.NewDatabase(t)
	conn, blobs := db.Connect(t), t.TempDir()
	if err := zodbtest.LoadSmall(t.Context(), conn, blobs); err != nil {
		t.Fatal(err)
	}
	program.Pack(t, db.DSN)
	file = filepath.Join(t.TempDir(), "page.html")
	r := program.Run(t, "report", "--html", file, "--json", "--dsn", db.DSN, "--blob-dir", blobs)
	if r.Code != 0 {
		t.Fatalf("exit code %d: %s", r.Code, r.Stderr)
	}
	if err := json.Unmarshal([]byte(r.Stdout), &reports); err != nil {
		t.Fatal(err)
	}
	return file, reports
}

func TestAPageIsMadeWithoutTheBlobDirectoryAndSaysSo(t *testing.T) {
	t.Parallel()
	db := pgtest.NewDatabase(t)
	if err := zodbtest.LoadSmall(t.Context(), db.Connect(t), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	program.Pack(t, db.DSN)
	gone := filepath.Join(t.TempDir(), "gone")
	r := program.Run(t, "report", "--html", "-", "--dsn", db.DSN, "--blob-dir", gone)
	why := "sizes of blobs are not known: blob directory " + gone + " does not exist. Mount it or correct blob-dir"
	if r.Code != 0 || !strings.Contains(r.Stderr, why) || !strings.Contains(r.Stdout, "<dd class=\"sub\">see below</dd>") || !strings.Contains(r.Stdout, why) {
		t.Errorf("exit code %d: %s", r.Code, r.Stderr)
	}
	r = program.Run(t, "pack", "--dry-run", "--dsn", db.DSN, "--blob-dir", gone)
	if r.Code != 1 || !strings.Contains(r.Stderr, gone+" does not exist: nothing was changed. Mount it") {
		t.Errorf("exit code %d: %s", r.Code, r.Stderr)
	}
}

// expectContent wants the table of the map to list what is in a line.
func expectContent(t *testing.T, b *tab, line *du.Line) {
	t.Helper()
	want := map[string]bool{}
	row := func(label, class string, s du.Sum) {
		want[fmt.Sprint([]string{label, class, figures.Size(s.States + s.Blobs), figures.Size(s.States), figures.Size(s.Blobs), humanize.Comma(s.Objects)})] = true
	}
	for _, below := range line.Content {
		row(below.Name, below.Class, below.Sum)
	}
	if line.Parts != nil {
		row(humanize.Comma(line.Parts.Count)+" parts of the BTree", "", line.Parts.Sum)
	}
	if line.Others != nil {
		row(humanize.Comma(line.Others.Count)+" more", "", line.Others.Sum)
	}
	row("itself", "", du.Sum{States: line.Own, Objects: 1})
	rows := b.rows(".content")
	for _, row := range rows {
		if !want[fmt.Sprint(row)] {
			t.Errorf("%s: %q is not what --json says", line.Name, row)
		}
	}
	if len(rows) != len(want) {
		t.Errorf("%s: %d rows, want %d", line.Name, len(rows), len(want))
	}
}

func TestAPageIsClickedIntoAndHasTheNumbersOfJSON(t *testing.T) {
	t.Parallel()
	file, reports := newPage(t)
	space := reports[0].Space
	b := open(t, file, 1200, 900)
	for figure, want := range map[string]string{
		"live": figures.Size(space.Top.States), "blobs": figures.Size(space.Top.Blobs),
		"garbage": figures.Size(space.Unreachable.Bytes), "table": figures.Size(space.Table),
	} {
		if got := b.text(`[data-figure="` + figure + `"]`); got != want {
			t.Errorf("%s: %q, want %q", figure, got, want)
		}
	}
	expectContent(t, b, space.Top)
	// Into the site by a click, into its largest folder by the keyboard, out again.
	b.click(".map button b")
	site := space.Top.Content[0]
	expectContent(t, b, site)
	b.do(chromedp.KeyEvent(kb.Enter))
	folder := site.Content[0]
	expectContent(t, b, folder)
	if way := b.text(".way"); !strings.Contains(way, site.Name) || !strings.Contains(way, folder.Name) {
		t.Errorf("the way is %q", way)
	}
	b.do(chromedp.KeyEvent(kb.Escape))
	expectContent(t, b, site)
	// A click on what can't be gone into takes the focus away, but not the keys.
	b.click(".map button[disabled]")
	b.do(chromedp.KeyEvent(kb.Escape))
	expectContent(t, b, space.Top)
	b.click(".map button b")
	b.click(".way button")
	expectContent(t, b, space.Top)
	b.screenshot("light")
	dark := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, dark); err != nil {
		t.Fatal(err)
	}
	if color := eval[string](b, `getComputedStyle(document.body).backgroundColor`); color != "rgb(20, 24, 29)" {
		t.Errorf("in the dark the background is %s", color)
	}
	b.screenshot("dark")
	if len(b.requests) != 1 || len(b.errors) > 0 {
		t.Errorf("requests %q, errors %q", b.requests, b.errors)
	}
	for _, width := range []int64{1200, 390} {
		b.do(chromedp.EmulateViewport(width, 844))
		if wide := eval[int64](b, `document.documentElement.scrollWidth`); wide > width {
			t.Errorf("the page is %d wide in a window of %d", wide, width)
		}
		b.screenshot(fmt.Sprint(width))
	}
	heads := reports[0].Status.Graph.CutOff
	if rows := b.rows(".heads"); heads == nil || len(rows) != len(heads.Classes)+len(heads.Largest)+map[bool]int{true: 1}[heads.Others != nil] {
		t.Errorf("%d rows of what was cut off: %+v", len(rows), heads)
	}
	if rows := b.rows(".columns section:first-child"); len(rows) != len(reports[0].LiveByClass) || !strings.HasSuffix(rows[len(rows)-1][0], "more classes") {
		t.Errorf("live, by class: %q", rows)
	}
}

// sliced lists the texts of the map that are not whole: what is outside of its area or
// below another, and sizes and counts that are cut. A name may end with an ellipsis.
const sliced = `(() => {
	const all = [...document.querySelectorAll(".map button")].map((button) => [button, button.getBoundingClientRect()]);
	const whole = (t, p) => t.left > p.left - 0.5 && t.right < p.right + 0.5 && t.top > p.top - 0.5 && t.bottom < p.bottom + 0.5;
	const apart = (t, p) => t.right <= p.left + 0.5 || t.left >= p.right - 0.5 || t.bottom <= p.top + 0.5 || t.top >= p.bottom - 0.5;
	return all.flatMap(([button, place], i) => [...button.children].filter((text) => {
		const at = text.getBoundingClientRect(), number = text.tagName === "SPAN" || / more$| of the BTree$/.test(text.textContent);
		return !whole(at, place) || all.slice(i + 1).some(([, other]) => !apart(at, other)) || (number && text.scrollWidth > text.clientWidth);
	}).map((text) => button.title + ": " + text.textContent));
})()`

func TestNoTextOfTheMapIsSliced(t *testing.T) {
	t.Parallel()
	file, _ := newPage(t)
	b := open(t, file, 1200, 900)
	for _, width := range []int64{390, 600, 1000, 1200} {
		b.do(chromedp.EmulateViewport(width, 844))
		for _, in := range []string{"", "into"} {
			if in != "" {
				b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector(".map button").click()`))
			}
			if found := eval[[]string](b, sliced); len(found) > 0 {
				t.Errorf("%d pixels%s: %d texts are sliced: %q", width, in, len(found), found)
			}
			names, sizes := eval[int](b, `document.querySelectorAll(".map b").length`), eval[int](b, `document.querySelectorAll(".map span").length`)
			if t.Logf("%d%s: %d names, %d sizes", width, in, names, sizes); names < 5 || sizes < 3 {
				t.Errorf("%d pixels: %d names, %d sizes", width, names, sizes)
			}
			b.screenshot(fmt.Sprintf("map-%d%s", width, in))
		}
		b.do(chromedp.KeyEvent(kb.Escape))
	}
}

// tilted lists the rows of tables whose first cell is not as high as the second.
const tilted = `[...document.querySelectorAll(".columns tbody tr")].filter((row) => {
	const top = (cell) => {
		const range = document.createRange();
		range.selectNodeContents([...cell.childNodes].find((node) => node.nodeType === Node.TEXT_NODE));
		return range.getClientRects()[0].top;
	};
	return Math.abs(top(row.cells[0]) - top(row.cells[1])) > 1;
}).map((row) => row.textContent)`

func TestClassesStandInOneLineWithTheirNumbers(t *testing.T) {
	t.Parallel()
	file, _ := newPage(t)
	b := open(t, file, 1200, 900)
	for _, width := range []int64{390, 1200} {
		b.do(chromedp.EmulateViewport(width, 844))
		if found := eval[[]string](b, tilted); len(found) > 0 || len(b.rows(".columns")) < 5 {
			t.Errorf("%d pixels: %q", width, found)
		}
	}
}

func TestAPageSaysThatItDidNotCheck(t *testing.T) {
	t.Parallel()
	for graph, want := range map[*status.Graph]int{nil: 0, {}: 1} {
		var text strings.Builder
		err := page.Write(&text, []*page.Report{{Status: &status.Report{Graph: graph}}})
		if got := strings.Count(text.String(), "<li>This page does not tell whether everything is there: &#34;relpack check&#34; tells what is missing or can&#39;t be read now.</li>"); err != nil || got != want {
			t.Errorf("%d, %v\n%s", got, err, &text)
		}
	}
}

func TestAreasAreInProportionAndDoNotOverlap(t *testing.T) {
	t.Parallel()
	file, _ := newPage(t)
	b := open(t, file, 1000, 800)
	b.do(chromedp.Evaluate[chromedp.Void](`window.values = [60, 20, 9, 5, 3, 2, 1]; window.places = squarify(values, 0, 0, 300, 200)`))
	if off := eval[float64](b, `Math.max(...places.map((p, i) => Math.abs(p[2] * p[3] - values[i] * 600)))`); off > 0.01 {
		t.Errorf("areas differ by %f", off)
	}
	if overlap := eval[bool](b, `places.some((p, i) => places.some((q, j) => i < j && p[0] + p[2] > q[0] + 0.01 && q[0] + q[2] > p[0] + 0.01 && p[1] + p[3] > q[1] + 0.01 && q[1] + q[3] > p[1] + 0.01))`); overlap {
		t.Error("areas overlap")
	}
	for _, bytes := range []int64{0, 9, 10, 1023, 1024, 10_239, 10_240, 182_784, 183_808, 10_188, 10_190, 1_048_575, 1 << 20, 123_456_789, 5 << 40} {
		if got := eval[string](b, fmt.Sprintf("size(%d)", bytes)); got != figures.Size(bytes) {
			t.Errorf("%d bytes: %q, want %q", bytes, got, figures.Size(bytes))
		}
	}
}

// Names come from the database: none may become a part of the page.
func TestNamesAreNoMarkup(t *testing.T) {
	t.Parallel()
	const evil = `</script><img src=x onerror="document.title='taken'"><b>`
	line := &du.Line{Class: evil, Name: evil, Content: []*du.Line{{Zoid: 1, Class: evil, Name: evil, Sum: du.Sum{States: 10, Objects: 1}}}, Sum: du.Sum{States: 20, Objects: 2}}
	file := filepath.Join(t.TempDir(), "page.html")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := page.Write(out, []*page.Report{{Storage: evil, Error: evil, Space: &du.Report{Top: line}}}); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	b := open(t, file, 800, 600)
	if count := eval[int](b, `document.querySelectorAll("img").length`); count > 0 || len(b.requests) != 1 || len(b.errors) > 0 {
		t.Errorf("%d images, requests %q, errors %q", count, b.requests, b.errors)
	}
	if got := b.text(".map button b"); got != evil {
		t.Errorf("the name is shown as %q", got)
	}
}

func TestTheLastPackSaysWhyItWasRefused(t *testing.T) {
	t.Parallel()
	why := "zoid 7 can't be decoded"
	var text strings.Builder
	if err := page.Write(&text, []*page.Report{{Status: &status.Report{Graph: &status.Graph{
		Runs: []status.Run{{Outcome: "refused", Message: &why}},
	}}}}); err != nil || !strings.Contains(text.String(), "ended with: zoid 7 can&#39;t be decoded</li>") {
		t.Errorf("%v\n%s", err, &text)
	}
}

func TestAStorageThatCanNotBeLookedAtIsOnThePage(t *testing.T) {
	t.Parallel()
	db := pgtest.NewDatabase(t)
	r, err := page.Storage(t.Context(), target.Target{Name: "main", DSN: db.DSN}, page.Options{Depth: 2, Max: 5, Migrations: migrations.Files}, slog.New(slog.DiscardHandler))
	if err == nil || r.Error == "" {
		t.Fatalf("there is no graph: %v", err)
	}
	var text strings.Builder
	if err := page.Write(&text, []*page.Report{r}); err != nil || !strings.Contains(text.String(), "To look at") {
		t.Errorf("%v\n%s", err, &text)
	}
}

func TestASubtitleBeginsWithWhatIsKnown(t *testing.T) {
	t.Parallel()
	for _, status := range []*status.Report{nil, {}, {Found: "history-free storage", Server: "17.1"}, {Found: "history-free storage"}, {Server: "17.1"}} {
		var text strings.Builder
		want := "<p>looked at "
		if status != nil {
			want = map[string]string{"": "<p>looked at ", "history-free storage": "<p>history-free storage · looked at ",
				"17.1": "<p>PostgreSQL 17.1 · looked at ", "history-free storage17.1": "<p>history-free storage, PostgreSQL 17.1 · looked at "}[status.Found+status.Server]
		}
		if err := page.Write(&text, []*page.Report{{Status: status, Error: "can't connect"}}); err != nil || !strings.Contains(text.String(), want) {
			t.Errorf("no %q: %v\n%s", want, err, text.String()[strings.Index(text.String(), "<main"):][:300])
		}
	}
}

func TestThePageTellsWhatATrimRemoved(t *testing.T) {
	t.Parallel()
	trimmed := status.Run{Outcome: "packed", Revisions: 388, RevisionBytes: 362_000}
	for history, want := range map[*status.History]bool{nil: false, {}: true} {
		var text strings.Builder
		err := page.Write(&text, []*page.Report{{Status: &status.Report{History: history, Graph: &status.Graph{Runs: []status.Run{trimmed}}}}})
		if got := strings.Contains(text.String(), "<th scope=\"col\">old revisions</th>") && strings.Contains(text.String(), "<td>388, 354 KiB</td>"); err != nil || got != want {
			t.Errorf("%t, %v\n%s", got, err, &text)
		}
	}
}

func TestThePageTellsHowLongTheBlobsInTheGarbageAre(t *testing.T) {
	t.Parallel()
	known, twice := int64(3<<20), int64(6<<20)
	folder := inventory.Hanging{Blobs: 6, BlobBytes: &known}
	written := func(heads *inventory.Heads) string {
		t.Helper()
		var text strings.Builder
		if err := page.Write(&text, []*page.Report{{Space: &du.Report{Top: &du.Line{}}, Status: &status.Report{Graph: &status.Graph{CutOff: heads}}}}); err != nil {
			t.Fatal(err)
		}
		return text.String()
	}
	packtest.ExpectWords(t, written(&inventory.Heads{Classes: []inventory.HeadClass{{Class: "Folder", Heads: 1, Hanging: folder}},
		Others: &inventory.HeadClass{Hanging: inventory.Hanging{Blobs: 2, BlobBytes: &known}}, Largest: []inventory.Head{{Zoid: 7, Hanging: folder}}}),
		"; besides, 8 blobs of "+figures.Size(twice), "<td>6, "+figures.Size(known)+"</td>", "<td>2, "+figures.Size(known)+"</td>")
	packtest.ExpectWords(t, written(&inventory.Heads{Classes: []inventory.HeadClass{{Class: "Folder", Heads: 1, Hanging: inventory.Hanging{Blobs: 1}}}}),
		"; besides, 1 blob of unknown size", "<td>1, size not known</td>")
	for _, heads := range []*inventory.Heads{nil, {}} {
		if text := written(heads); strings.Contains(text, "besides") {
			t.Error(text)
		}
	}
}
