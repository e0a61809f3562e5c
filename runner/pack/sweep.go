package pack

import (
	"context"
	"errors"
	"fmt"
	"time"

	"relpack/runner/fault"
	"relpack/runner/figures"
	"relpack/runner/graph"
	"relpack/runner/target"
)

// Deletion is the part of a report about what went.
type Deletion struct {
	Deleted figures.Count `json:"deleted"`
	Blobs   int64         `json:"deleted_blobs"` // of the deleted objects
}

// A batch is as many objects as take about the target's BatchTimeout, within
// these bounds: rows of a batch are locked while it runs, and all of it is
// rolled back when a writer is in the way.
const (
	firstBatch = 5_000
	minBatch   = 50
	maxBatch   = 20_000
)

// Before 3.0 a RelStorage that commits locks object_state against all who
// write, or where history is kept, transaction and current_object: it waits for a
// batch to end, and all other commits wait for it.
const (
	firstBatchOfTable = 500
	longestOfTable    = 200 * time.Millisecond
)

// A pace is how many objects are deleted at once.
type pace struct {
	batch   int
	most    int           // a batch may have
	longest time.Duration // it is to take
}

// speed asks how RelStorage locks, and begins.
func (p *pack) speed(ctx context.Context) (*pace, error) {
	var protocol string
	if err := p.Conn.QueryRow(ctx, "SELECT relpack.lock_protocol()").Scan(&protocol); err != nil {
		return nil, fmt.Errorf("look at RelStorage's locks: %w", err)
	}
	switch {
	case protocol == "table":
		return &pace{firstBatchOfTable, maxBatch, longestOfTable}, nil
	case p.Target.BatchTimeout <= 0:
		return &pace{firstBatch, maxBatch, target.DefaultBatchTimeout}, nil
	}
	return &pace{firstBatch, maxBatch, p.Target.BatchTimeout}, nil
}

// slower is for when somebody was in the way.
func (c *pace) slower() { c.batch = max(c.batch/2, minBatch) }

// took aims at the wanted duration, without jumps: four times as much may take half of it.
func (c *pace) took(d time.Duration) {
	switch {
	case d > c.longest:
		c.slower()
	case d < c.longest/8:
		c.batch = min(4*c.batch, c.most)
	case d < c.longest/2:
		c.batch = min(2*c.batch, c.most)
	}
}

// sweep deletes what was chosen, batch after batch.
func (p *pack) sweep(ctx context.Context, c Choice) (d Deletion, err error) {
	if c.Chosen.Objects == 0 {
		return d, p.unreferred(ctx, c)
	}
	p.Progress.Phase("delete", "objects", c.Chosen.Objects)
	defer p.Progress.End()
	speed, err := p.speed(ctx)
	if err != nil {
		return d, err
	}
	for stale, decode := 0, false; ; {
		if p.Stopped() {
			return d, interrupted(c, d)
		}
		b, err := p.sweepOne(ctx, c.PackTime, speed, decode)
		if err != nil {
			return d, err
		}
		switch b.Outcome {
		case "done":
			return d, nil
		case "swept":
			stale = 0
			d.Deleted.Objects += b.Objects
			d.Deleted.Bytes += b.Bytes
			d.Blobs += b.Blobs
			p.Progress.Add(b.Objects)
			if b.Remaining == 0 {
				return d, nil
			}
		case "stale":
			if stale++; stale > maxStale {
				return d, fmt.Errorf("delete a batch: gave up after %d attempts, in each of which writers may have referred to garbage; the rest is left to the next run", stale)
			}
			if !decode {
				// Something was written: it may be harmless.
				decode = true
				continue
			}
			speed.slower()
			if err := p.catchUpSwept(ctx); err != nil {
				return d, err
			}
		case "unmarked":
			if stale++; stale > maxUnmarked {
				return d, fault.Refuse("Wait for the end of zodbconvert, or of a restore", "delete a batch: somebody restores revisions meanwhile")
			}
			if err := p.history.mark(ctx); err != nil {
				return d, err
			}
		}
	}
}

// interrupted says what becomes of the rest.
func interrupted(c Choice, d Deletion) error {
	left := c.Chosen.Objects - d.Deleted.Objects
	if d.Deleted.Objects == 0 || left <= 0 {
		return fault.Interrupted
	}
	return &fault.Error{Code: fault.ExitInterrupted, Err: errors.New("interrupted"),
		Hint: fmt.Sprintf("Finished work is kept. The next pack deletes the other %s that this one chose, whatever its --days",
			figures.Plural(left, "object"))}
}

// sweepOne deletes one batch once nobody is in the way. It is stale, too, if
// object_state was rewritten.
func (p *pack) sweepOne(ctx context.Context, packTime *time.Time, speed *pace, decode bool) (b graph.Batch, err error) {
	start := time.Now()
	err = p.Persist(ctx, "delete a batch", func() (bool, error) {
		b, err = p.SweepBatch(ctx, packTime, speed.batch, decode)
		if err == nil && b.Outcome == "busy" {
			speed.slower()
			start = time.Now()
			return false, nil
		}
		return true, err
	})
	if err != nil && p.Rewritten(ctx, err) {
		return graph.Batch{Outcome: "stale"}, nil
	}
	if b.Outcome == "swept" {
		speed.took(time.Since(start))
	}
	return b, err
}

// maxStale is how often in a row a batch may find that the site wrote what may
// refer to garbage.
const maxStale = 100

// vacuum cleans relpack's own tables; RelStorage's are its DBA's.
func (p *pack) vacuum(ctx context.Context, deleted int64) error {
	changed := p.Scanned.Count().Objects + deleted
	var tables *string
	err := p.Conn.QueryRow(ctx, "SELECT relpack.to_vacuum($1)", changed).Scan(&tables)
	if err == nil && tables != nil {
		_, err = p.Conn.Exec(ctx, "VACUUM (ANALYZE) "+*tables)
	}
	if err != nil {
		return fmt.Errorf("vacuum relpack's tables: %w", err)
	}
	return nil
}
