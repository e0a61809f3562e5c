package graph

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"relpack/runner/fault"
	"relpack/runner/record"
)

// Readers work at the same time, each with two sessions.
const Readers = 2

// A rangeReader reads ranges of blocks of object_state, one worker's.
type rangeReader interface {
	// Read reads one range in a transaction of its own.
	Read(ctx context.Context, r record.Blocks) error
	close()
}

// readRanges has workers read all ranges of a table of so many blocks; open makes
// one that can begin.
func (p *Packer) readRanges(ctx context.Context, blocks int64, ranges []record.Blocks, open func(context.Context) (rangeReader, error)) error {
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range min(Readers, len(ranges)) {
		group.Go(func() error {
			reader, err := open(ctx)
			defer reader.close()
			if err != nil {
				return err
			}
			for {
				i := int(next.Add(1)) - 1
				if i >= len(ranges) || p.Stopped() {
					return nil
				}
				r := ranges[i]
				if err := reader.Read(ctx, r); err != nil {
					return fmt.Errorf("blocks %d to %d of object_state: %w", r.First, r.Last, err)
				}
				p.Progress.Add(min(r.Last+1, blocks) - r.First)
			}
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if p.Stopped() {
		return fault.Interrupted
	}
	return nil
}
