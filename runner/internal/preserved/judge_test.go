package preserved

import (
	"bytes"
	"context"
	"slices"

	"relpack/runner/internal/revision"
)

// judge compares what a pack left with what the rule says.
func (r *run) judge(ctx context.Context, after *revision.Storage, p packing, o outcome, failed error) error {
	latest := min(r.latest, newestOf(r.before))
	if !p.dry {
		if r.reached = max(r.reached, o.until); r.killed {
			r.reached = max(r.reached, latest)
		}
	}
	switch {
	case r.killed:
		if p.keep {
			r.vanished(r.before, after)
		}
		r.horizon, r.known = 0, nil // it may have come anywhere
		return r.atLeast(after, latest, p.keep)
	case failed != nil:
		return lossf("a pack fails: %v", failed)
	case o.refused != "" && o.until == 0 && (r.open == nil || len(r.ghosts) > 0):
		// A first build needs all rows, and so it is refused before anything is done. Beside
		// an open transaction a pack of an old release may have no time to pack to.
		r.w.counts["init refused"]++
		if len(r.ghosts) == 0 || !(r.acted || slices.Equal(after.Keys(), r.before.Keys())) {
			return lossf("a pack is refused: %s", o.refused)
		}
		return nil
	case o.until > latest:
		return lossf("packed up to %d, and was to up to %d", o.until, latest)
	case r.open == nil && !r.acted && o.until < r.earliest():
		return lossf("packed up to %d, and was to up to %d", o.until, r.earliest())
	}
	r.w.counts["packed"]++
	if o.refused == "" {
		if err := r.described(ctx, after, p); err != nil {
			return err
		}
	}
	if p.dry {
		return r.foretold(p, o)
	}
	if err := r.atLeast(after, o.until, p.keep); err != nil || r.acted {
		return err
	}
	if err := r.readable(after, p); err != nil {
		return err
	}
	r.trimmed = max(r.trimmed, o.until)
	if err := r.marked(after, o.until); err != nil {
		return err
	}
	if o.refused != "" {
		return r.refused(after, o)
	}
	return r.atMost(after, o.until, p.keep)
}

// earliest is how far a pack has to go whom nobody holds back.
func (r *run) earliest() int64 {
	newest := newestOf(r.before)
	if r.step.args["grace"] < 0 {
		return newest
	}
	if r.step.args["at"] > 0 {
		return 0
	}
	return min(newest, r.tidAt(r.step.args["grace"]))
}

func newestOf(s *revision.Storage) (tid int64) {
	for t := range s.Packed {
		tid = max(tid, t)
	}
	return tid
}

// atLeast is what makes a pack safe, wherever it was cut short: nothing is missing
// that the rule keeps, and what can be undone gives what it gave.
func (r *run) atLeast(after *revision.Storage, until int64, keep bool) error {
	want := r.before.Trimmed(until)
	if !keep {
		c := r.before.Collect(until)
		if want = c.Stay(); len(c.Unread) > 0 {
			// Who can't tell what is referred to must not collect garbage.
			want = r.before.Collect(until, r.before.Zoids()...).Stay()
		}
	}
	for _, key := range want {
		was, _ := find(r.before, key)
		is, there := find(after, key)
		switch {
		case !there:
			return lossf("revision %d of object %d is gone by a pack up to %d", key.Tid, key.Zoid, until)
		case is.PrevTid != was.PrevTid || !bytes.Equal(is.State, was.State):
			return lossf("revision %d of object %d was changed", key.Tid, key.Zoid)
		case after.Current[key.Zoid] != r.before.Current[key.Zoid]:
			return lossf("the current revision of %d is %d, was %d", key.Zoid, after.Current[key.Zoid], r.before.Current[key.Zoid])
		}
	}
	if len(after.Unlinked) > 0 {
		return lossf("large objects are gone that rows name: %v", after.Unlinked)
	}
	if _, there := after.Packed[newestOf(r.before)]; !there {
		return lossf("the newest transaction is gone")
	}
	return r.undoable(after)
}

// undoable looks for the state that an undo of each transaction would give.
func (r *run) undoable(after *revision.Storage) error {
	for zoid, revisions := range after.Revisions {
		for _, undone := range revisions {
			if after.Packed[undone.Tid] {
				continue
			}
			key := revision.Key{Zoid: zoid, Tid: undone.PrevTid}
			was, had := find(r.before, key)
			is, has := find(after, key)
			if had && (!has || !bytes.Equal(was.State, is.State)) {
				return lossf("transaction %d can be undone, and the revision %d of object %d is gone", undone.Tid, undone.PrevTid, zoid)
			}
		}
	}
	return nil
}

func find(s *revision.Storage, key revision.Key) (revision.Revision, bool) {
	for _, r := range s.Revisions[key.Zoid] {
		if r.Tid == key.Tid {
			return r, true
		}
	}
	return revision.Revision{}, false
}

// readable: what another client sees, and may write about, is there. Nobody can
// promise that who restores or deletes meanwhile, or packs without a grace.
func (r *run) readable(after *revision.Storage, p packing) error {
	if r.open == nil || r.disturbed {
		return nil
	}
	if p.days < 0 {
		r.disturbed = true
		return nil
	}
	for zoid := range current(r.seen) {
		key := revision.Key{Zoid: zoid, Tid: r.seen.Current[zoid]}
		was, had := find(r.before, key)
		if _, there := find(after, key); had && was.State != nil && !there {
			return lossf("revision %d of object %d is gone, which an open transaction sees", key.Tid, zoid)
		}
	}
	r.w.counts["readable"]++
	return nil
}

// marked: nobody can undo what was packed, be it by an earlier pack that went further and
// restored since, and all that is later.
func (r *run) marked(after *revision.Storage, until int64) error {
	surely := until
	if _, ok := r.w.packs.(product); ok {
		surely = max(until, r.trimmed)
	}
	for tid, packed := range after.Packed {
		was := r.before.Packed[tid]
		switch {
		case was && !packed, tid > max(until, r.reached) && packed != was:
			return lossf("transaction %d, later than %d, is marked as packed: %v", tid, until, packed)
		case tid > 0 && tid <= surely && !packed:
			return lossf("transaction %d is not marked as packed", tid)
		}
	}
	return nil
}

// refused: of what refuses the collection something is there, and the history was
// trimmed.
func (r *run) refused(after *revision.Storage, o outcome) error {
	r.w.counts["refused"]++
	r.horizon, r.known = 0, nil
	if len(r.before.Collect(o.until, r.before.Zoids()...).Unread) == 0 && len(r.ghosts) == 0 {
		return lossf("nothing is there that a pack up to %d is refused for: %s", o.until, o.refused)
	}
	return r.exactly(after.Keys(), nil, r.before.Collect(o.until, r.before.Zoids()...).Stay())
}

// atMost: nothing else is left.
func (r *run) atMost(after *revision.Storage, until int64, keep bool) error {
	if keep {
		r.vanished(r.before, after)
		return r.exactly(after.Keys(), nil, r.before.Trimmed(until))
	}
	c := r.before.Collect(until)
	r.look(until)
	return r.exactly(after.Keys(), c.Stay(), r.before.Collect(until, r.mayStay(until)...).Stay())
}

// exactly: there is no more than most. (That there is no less is known.)
func (r *run) exactly(got, least, most []revision.Key) error {
	for _, key := range got {
		if !slices.Contains(most, key) {
			return lossf("revision %d of object %d is left", key.Tid, key.Zoid)
		}
	}
	if least != nil && len(got) > len(least) {
		r.w.counts["young garbage left"]++
	}
	return nil
}

// look notes what a run has found cut off. What it captured it has applied to the graph of
// the pack time before: what hung on something there may be cut off just now, if an event
// came along, or one came that the pack time was not past.
func (r *run) look(until int64) {
	if r.eventful {
		r.noticed = r.clock
	}
	attached := r.before.Reached(r.horizon, r.haunted()...).Alive
	detached := map[int64]bool{}
	for _, zoid := range r.before.Reached(until, r.haunted()...).Garbage() {
		detached[zoid] = true
		if (r.eventful || r.noticed > r.horizon) && (!r.known[zoid] || attached[zoid]) {
			r.young[zoid] = r.noticed
		}
	}
	for zoid := range r.young {
		if !detached[zoid] {
			delete(r.young, zoid)
		}
	}
	r.known, r.horizon, r.eventful = detached, until, false
}

// mayStay is garbage that relpack may keep all the same.
func (r *run) mayStay(until int64) (zoids []int64) {
	if r.held {
		return r.before.Zoids()
	}
	for zoid, tid := range r.young {
		if tid > until {
			zoids = append(zoids, zoid)
		}
	}
	return append(zoids, r.haunted()...)
}

// haunted is what objects referred to that vanished: relpack keeps it for them, as long as
// something live refers to these.
func (r *run) haunted() (zoids []int64) {
	for zoid, refs := range r.ghosts {
		if len(r.before.Revisions[zoid]) == 0 {
			zoids = append(zoids, refs...)
		}
	}
	return zoids
}

// foretold: a dry run says exactly what would go.
func (r *run) foretold(p packing, o outcome) error {
	if r.acted {
		return nil
	}
	if want := superseded(r.before, o.until); o.trimmed != want {
		return lossf("a dry run up to %d tells of %d superseded revisions, and there are %d", o.until, o.trimmed, want)
	}
	if p.keep {
		return nil
	}
	c := r.before.Collect(o.until)
	if o.refused != "" {
		r.w.counts["dry run refused"]++
		return nil
	}
	r.look(o.until)
	least := r.before.Collect(o.until, r.mayStay(o.until)...).Garbage()
	for _, zoid := range o.garbage {
		if !slices.Contains(c.Garbage(), zoid) {
			return lossf("a dry run up to %d would delete object %d", o.until, zoid)
		}
	}
	for _, zoid := range least {
		if !slices.Contains(o.garbage, zoid) {
			return lossf("a dry run up to %d would not delete object %d", o.until, zoid)
		}
	}
	return nil
}

// superseded counts the revisions that a trim takes from objects that stay.
func superseded(s *revision.Storage, until int64) (n int64) {
	return int64(len(s.Keys()) - len(s.Collect(until, s.Zoids()...).Stay()))
}
