package inventory

import (
	"context"
	"fmt"
	"time"

	"relpack/runner/figures"
	"relpack/runner/session"
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

// VerifiedSince is since when every object has been compared with the graph; nil:
// not all of them have.
func VerifiedSince(ctx context.Context, db session.Querier) (since *time.Time, err error) {
	if err = db.QueryRow(ctx, "SELECT nullif(min(since), '-infinity') FROM relpack.audited").Scan(&since); err != nil {
		err = fmt.Errorf("read relpack.audited: %w", err)
	}
	return since, err
}
