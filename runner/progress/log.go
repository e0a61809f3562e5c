package progress

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"
)

// logEvery is how often a log tells how far a phase is.
const logEvery = 10 * time.Second

// A Log writes a log line every 10 s: done of total, rate, time left.
type Log struct {
	log   *slog.Logger
	every time.Duration
	phase *loggedPhase
	done  atomic.Int64
}

// NewLog writes to log.
func NewLog(log *slog.Logger) *Log {
	return &Log{log: log, every: logEvery}
}

type loggedPhase struct {
	name, unit string
	total      int64
	start      time.Time
	stop       chan struct{}
	ended      sync.WaitGroup
}

// Phase is part of Progress.
func (p *Log) Phase(name, unit string, total int64) {
	p.End()
	p.done.Store(0)
	phase := &loggedPhase{name: name, unit: unit, total: total, start: time.Now(), stop: make(chan struct{})}
	p.phase = phase
	phase.ended.Go(func() {
		tick := time.NewTicker(p.every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.log.Info(phase.line(p.done.Load(), time.Since(phase.start)))
			case <-phase.stop:
				return
			}
		}
	})
}

// Add is part of Progress.
func (p *Log) Add(n int64) { p.done.Add(n) }

// End is part of Progress.
func (p *Log) End() {
	if p.phase == nil {
		return
	}
	close(p.phase.stop)
	p.phase.ended.Wait()
	p.phase = nil
}

// line says how far a phase is after some time.
func (p *loggedPhase) line(done int64, elapsed time.Duration) string {
	text := p.name + ": " + humanize.Comma(done)
	if p.total > 0 {
		text += fmt.Sprintf(" of %s %s (%d %%)", humanize.Comma(p.total), p.unit, min(100*done/p.total, 100))
	} else {
		text += " " + p.unit
	}
	rate := float64(done) / elapsed.Seconds()
	if done == 0 || rate == 0 {
		return text
	}
	text += ", " + rateText(rate, p.unit)
	if left := p.total - done; p.total > 0 && left > 0 {
		text += fmt.Sprintf(", %s left", time.Duration(float64(left)/rate*float64(time.Second)).Round(time.Second))
	}
	return text
}

func rateText(rate float64, unit string) string {
	if rate < 1 {
		return fmt.Sprintf("%.1f %s/min", 60*rate, unit)
	}
	return fmt.Sprintf("%s %s/s", humanize.Comma(int64(rate)), unit)
}
