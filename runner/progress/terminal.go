package progress

import (
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// barWidth leaves room for the figures on a terminal of 80 columns.
const barWidth = 20

// A Terminal shows a bar with rate and time left. What else goes to the
// terminal must be written through it, so that it doesn't run into the bar.
type Terminal struct {
	guard sync.Mutex
	out   io.Writer
	bar   *progressbar.ProgressBar
}

// NewTerminal draws on a terminal.
func NewTerminal(out io.Writer) *Terminal { return &Terminal{out: out} }

// Phase is part of Progress.
func (p *Terminal) Phase(name, unit string, total int64) {
	p.End()
	p.guard.Lock()
	defer p.guard.Unlock()
	if total <= 0 {
		total = -1 // the bar's word for unknown
	}
	p.bar = progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(p.out),
		progressbar.OptionSetDescription(name),
		progressbar.OptionSetWidth(barWidth),
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(),
		progressbar.OptionSetItsString(unit),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetSpinnerChangeInterval(0), // draw in Add only
		progressbar.OptionSetRenderBlankState(true),   // starts the clock of the rate
		progressbar.OptionClearOnFinish())
}

// Add is part of Progress.
func (p *Terminal) Add(n int64) {
	p.guard.Lock()
	defer p.guard.Unlock()
	if p.bar != nil {
		// An estimate that was too low is no error.
		_ = p.bar.Add64(n)
	}
}

// End is part of Progress.
func (p *Terminal) End() {
	p.guard.Lock()
	defer p.guard.Unlock()
	if p.bar != nil {
		_ = p.bar.Exit() // stops the bar where it is
		_ = p.bar.Clear()
		p.bar = nil
	}
}

// Write prints beside the bar, which comes back with the next Add.
func (p *Terminal) Write(text []byte) (int, error) {
	p.guard.Lock()
	defer p.guard.Unlock()
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	return p.out.Write(text)
}
