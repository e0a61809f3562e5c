package page

import (
	"slices"
	"time"

	"relpack/runner/status"
)

// A Bar is one run in the chart of runs, the oldest first.
type Bar struct {
	status.Run
	X, Width       float64
	Y, Height      float64 // how long it took
	GoneY, GoneTop float64 // how much it deleted
	Gone           int64   // that: states of objects and of old revisions
	Seconds        float64
}

// A Chart is 600 by 120.
const (
	chartWidth  = 600
	chartHeight = 120
	fewRuns     = 12 // take no more room each
)

// newRuns places runs, of which status has the latest first.
func newRuns(runs []status.Run) []Bar {
	var bars []Bar
	longest, most := 0.0, int64(0)
	for _, run := range slices.Backward(runs) {
		b := Bar{Run: run, Gone: run.Deleted.Bytes + run.RevisionBytes}
		if run.Finished != nil {
			b.Seconds = run.Finished.Sub(run.Started).Round(time.Millisecond).Seconds()
		}
		longest, most = max(longest, b.Seconds), max(most, b.Gone)
		bars = append(bars, b)
	}
	for i := range bars {
		b := &bars[i]
		slot := float64(chartWidth) / float64(max(len(bars), fewRuns))
		b.X, b.Width = slot*float64(i)+slot*0.1, slot*0.35
		if longest > 0 {
			b.Height = chartHeight * b.Seconds / longest
		}
		if most > 0 {
			b.GoneTop = chartHeight * float64(b.Gone) / float64(most)
		}
		b.Y, b.GoneY = chartHeight-b.Height, chartHeight-b.GoneTop
	}
	return bars
}
