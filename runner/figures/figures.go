package figures

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// A Count is of objects and the bytes of their states.
type Count struct {
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"`
}

// String is for people.
func (c Count) String() string {
	return fmt.Sprintf("%s, %s", Plural(c.Objects, "object"), Size(c.Bytes))
}

// Less takes others away, as far as there are so many.
func (c Count) Less(others Count) Count {
	return Count{max(c.Objects-others.Objects, 0), max(c.Bytes-others.Bytes, 0)}
}

// A Phase is a part of the run.
type Phase struct {
	Name    string  `json:"name"`    // as in the log
	Seconds float64 `json:"seconds"` // it took in all
}

// longPhases leaves out what nobody noticed.
func longPhases(all []Phase) []string {
	var phases []string
	for _, p := range all {
		if p.Seconds >= 0.001 {
			phases = append(phases, p.Name+" "+Seconds(p.Seconds))
		}
	}
	return phases
}

// Plural says how many there are of what.
func Plural(n int64, what string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(what, "s"):
		what += "es"
	default:
		what += "s"
	}
	return humanize.Comma(n) + " " + what
}

// VerbEnding is that of the verb behind Plural.
func VerbEnding(n int64) string {
	if n == 1 {
		return "s"
	}
	return ""
}

// Seconds says how long something took.
func Seconds(s float64) string {
	unit := time.Millisecond
	if s >= 1 {
		unit = 10 * time.Millisecond
	}
	return time.Duration(s * float64(time.Second)).Round(unit).String()
}

// Size says how many bytes there are.
func Size(bytes int64) string { return humanize.IBytes(uint64(max(bytes, 0))) }

// Clock says when something was, by this machine's time zone.
func Clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 MST") }

// Moment says when something was, and how long ago.
func Moment(t, now time.Time) string {
	return Clock(t) + " (" + humanize.RelTime(t, now, "ago", "from now") + ")"
}
