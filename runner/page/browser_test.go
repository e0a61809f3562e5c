package page_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// chromium finds a browser, or installs Debian's where this process may.
func chromium(t *testing.T) string {
	t.Helper()
	find := func() string {
		for _, name := range []string{os.Getenv("RELPACK_CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
			if path, err := exec.LookPath(name); err == nil {
				return path
			}
		}
		return ""
	}
	path := find()
	if _, err := exec.LookPath("apt-get"); path == "" && err == nil && os.Getuid() == 0 {
		install := exec.CommandContext(t.Context(), "sh", "-c", `export DEBIAN_FRONTEND=noninteractive
			apt-get -o Acquire::Retries=5 update -qq && apt-get -o Acquire::Retries=5 -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends chromium`)
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("install chromium: %v\n%s", err, out)
		}
		path = find()
	}
	if path == "" {
		t.Skip("there is no chromium: install it, or set RELPACK_CHROMIUM")
	}
	return path
}

// A tab shows one page, and notes what a page that needs nothing else must not do.
type tab struct {
	t        *testing.T
	ctx      context.Context
	requests []string
	errors   []string
}

func open(t *testing.T, file string, width, height int64) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium(t)), chromedp.NoSandbox, chromedp.DisableGPU)
	allocated, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocated)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, func(event any) {
		switch event := event.(type) {
		case *network.EventRequestWillBeSent:
			b.requests = append(b.requests, event.Request.URL)
		case *runtime.EventExceptionThrown:
			b.errors = append(b.errors, event.ExceptionDetails.Text)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.EmulateViewport(width, height), chromedp.Navigate("file://"+file), chromedp.WaitReady("body"))
	return b
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// ask is what an action tells.
func ask[T any](b *tab, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return value
}

// eval is the value of an expression.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	return ask(b, chromedp.Evaluate[T](expression))
}

// text is what is read at a place.
func (b *tab) text(selector string) string {
	b.t.Helper()
	return strings.Join(strings.Fields(ask(b, chromedp.Text(selector))), " ")
}

// click moves the mouse to the middle of the first that nothing covers, and clicks.
func (b *tab) click(selector string) {
	b.t.Helper()
	at := eval[[]float64](b, `(() => { 
		for (const found of document.querySelectorAll("`+selector+`")) {
			const at = found.getBoundingClientRect(), x = at.x + at.width / 2, y = at.y + at.height / 2;
			if (found.contains(document.elementFromPoint(x, y))) return [x, y];
		}
		return [];
	})()`)
	if len(at) == 0 {
		b.t.Fatalf("nothing that can be clicked at %s", selector)
	}
	b.do(chromedp.MouseClickXY(at[0], at[1]))
}

// rows are the cells of a table's body.
func (b *tab) rows(table string) [][]string {
	b.t.Helper()
	return eval[[][]string](b, `[...document.querySelectorAll("`+table+` tbody tr")].map((row) => [...row.cells].map((cell) => cell.textContent.trim()))`)
}

// screenshot keeps a picture where somebody asks for one.
func (b *tab) screenshot(name string) {
	b.t.Helper()
	picture := ask(b, chromedp.FullScreenshot(100))
	if dir := os.Getenv("RELPACK_SCREENSHOTS"); dir != "" {
		if err := os.WriteFile(dir+"/"+name+".png", picture, 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
	if len(picture) < 10_000 {
		b.t.Errorf("the picture of %s has %d bytes", name, len(picture))
	}
}
