package inventory

import (
	"time"

	"relpack/runner/figures"
)

// VerifiedWithin is how long ago packs that run every night have read each
// object at most.
const VerifiedWithin = 28 * 24 * time.Hour

// VerifiedText tells since when every object has been compared with the graph.
func VerifiedText(since *time.Time, now time.Time) string {
	if since == nil {
		return `not all of it yet: "relpack verify" does at once what packs do bit by bit`
	}
	text := "each object since " + figures.Moment(*since, now)
	if now.Sub(*since) > VerifiedWithin {
		text += `: packs are behind, "relpack verify" does it at once`
	}
	return text
}
