package preserved

import (
	"context"
	"slices"

	"relpack/runner/internal/revision"
)

// A describer is a packer that knows references from one pack to the next.
type describer interface {
	edges(ctx context.Context) (edges map[int64][]int64, horizon int64, err error)
}

// described: of each object the graph has all that is referred to by what a pack up to
// its pack time keeps. It may have more for a while, where nobody reported a change.
func (r *run) described(ctx context.Context, after *revision.Storage, p packing) error {
	d, ok := r.w.packs.(describer)
	if !ok || r.acted || p.keep {
		return nil
	}
	edges, horizon, err := d.edges(ctx)
	if err != nil {
		return err
	}
	for _, key := range after.Collect(horizon, after.Zoids()...).Stay() {
		state, _ := find(after, key)
		known, is := edges[key.Zoid]
		if !is && state.State != nil && after.Current[key.Zoid] != 0 {
			return lossf("the graph up to %d does not have object %d", horizon, key.Zoid)
		}
		refs, _ := refsOf(state)
		for _, ref := range refs {
			if is && !slices.Contains(known, ref) {
				return lossf("the graph up to %d lacks the reference of revision %d of object %d to %d", horizon, key.Tid, key.Zoid, ref)
			}
		}
	}
	r.w.counts["graph compared"]++
	return nil
}

// counted compares what relpack keeps about the history, so as not to look through all of
// it, with all of it.
func (r *run) counted(ctx context.Context) error {
	if _, ok := r.w.packs.(describer); !ok {
		return nil
	}
	var emptied, count int64
	var oldest, stored *int64
	if err := r.w.site.QueryRow(ctx, `SELECT emptied, (SELECT count(*) FROM relpack.emptied), relpack.oldest_kept(), (SELECT min(tid) FROM object_state WHERE tid > 0)
		FROM relpack.storage`).Scan(&emptied, &count, &oldest, &stored); err != nil {
		return err
	}
	switch {
	case emptied != count:
		return lossf("%d transactions are said to be listed in relpack.emptied, and %d are", emptied, count)
	case (oldest == nil) != (stored == nil) || (oldest != nil && *oldest != *stored):
		return lossf("the oldest revision is said to be %d, and is %d", value(oldest), value(stored))
	}
	return nil
}

func value(tid *int64) int64 {
	if tid == nil {
		return 0
	}
	return *tid
}
