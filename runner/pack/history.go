package pack

import (
	"context"
	"errors"
	"fmt"

	"relpack/runner/fault"
)

// A pack of a history-preserving storage with pack-gc true: the graph has the
// references of what a pack to one time keeps, that time is the same for all of the
// run, and what is older goes before the garbage. See README.md.

// beginHistory takes note that the storage is such a one.
func (p *pack) beginHistory(dry bool) {
	if p.History && p.history == nil {
		p.history = &trimming{Trimmed: nothingTrimmed(), dry: dry}
	}
	if p.history != nil {
		p.history.pack = p
	}
}

// trimFirst trims before the graph is built: the fewer revisions there are, the
// fewer are read. Undos that were under way are waited for before anything is captured.
func (p *pack) trimFirst(ctx context.Context) error {
	if !p.History {
		return nil
	}
	p.history.chosen = false
	if p.history.dry {
		_, err := p.chooseFirst(ctx)
		return err
	}
	if err := p.Phase("settle", func() error { return p.history.settle(ctx) }); err != nil {
		return err
	}
	none, err := p.chooseFirst(ctx)
	if err != nil || !none {
		return err
	}
	return p.history.steps(ctx)
}

// chooseFirst fixes the pack time before there is a graph, if there is none.
func (p *pack) chooseFirst(ctx context.Context) (none bool, err error) {
	if err := p.Conn.QueryRow(ctx, "SELECT coalesce((SELECT graph FROM relpack.storage), 'none') = 'none'").Scan(&none); err != nil {
		return false, fmt.Errorf("read relpack.storage: %w", err)
	}
	if none || p.history.dry {
		if err := p.history.require(ctx); err != nil {
			return none, err
		}
	}
	if !none {
		return false, nil
	}
	return true, p.chooseHorizon(ctx)
}

// trimBeforeReading trims between the capture and the reading of what that has listed:
// an object is read once, and of revisions that go no references are decoded. Where other
// storages may refer to this one, all that is stored counts for them first.
func (p *pack) trimBeforeReading(ctx context.Context) error {
	if _, err := p.Capture(ctx); err != nil {
		return err
	}
	if err := p.chooseAfterLook(ctx); err != nil {
		return err
	}
	if !p.history.dry {
		if err := p.trimThrough(ctx); err != nil {
			return err
		}
	}
	return p.ApplyListed(ctx)
}

// chooseHorizon fixes the pack time of the run.
func (p *pack) chooseHorizon(ctx context.Context) error {
	if p.history.chosen {
		return nil
	}
	err := p.Phase("choose", func() error {
		// To an earlier time the horizon moves while nobody writes.
		return p.Retry(ctx, "choose the pack time", func() error { return p.history.fix(ctx, "relpack.horizon_move($1)") })
	})
	p.history.chosen = err == nil
	return err
}

// steps marks and removes what the pack time leaves behind, or counts it. Objects
// without a state are garbage like any other.
func (t *trimming) steps(ctx context.Context) error {
	t.marked = false
	if nothing, err := t.nothing(ctx); nothing || err != nil {
		return err
	}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{{"mark", t.mark}, {"index", t.lookForIndex}, {"trim", t.revisions}} {
		if err := t.Phase(step.name, func() error { return step.do(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// nothing tells whether a trim would find nothing. It goes on from there as if it had
// looked.
func (t *trimming) nothing(ctx context.Context) (nothing bool, err error) {
	t.untouched = false
	if t.dry {
		return false, nil
	}
	if err := t.Conn.QueryRow(ctx, "SELECT relpack.trimmed($1)", t.UntilTid).Scan(&nothing); err != nil {
		return false, fmt.Errorf("ask whether the history is trimmed: %w", err)
	}
	if nothing {
		t.LeftAlone, t.SomeLeftAlone = 0, t.SomeLeftAlone[:0]
	}
	t.untouched = nothing
	return nothing, nil
}

// maxTrims is how often in a row revisions may be restored beside a trim.
const maxTrims = 5

// chooseAfterLook fixes the pack time, which is no later than a look at the other storages.
func (p *pack) chooseAfterLook(ctx context.Context) error {
	if p.history.chosen {
		return nil
	}
	if _, err := p.noteReferrers(ctx); err != nil {
		return err
	}
	return p.chooseHorizon(ctx)
}

// toPackTime brings the history and the graph to the pack time.
func (p *pack) toPackTime(ctx context.Context) error {
	if !p.History {
		return nil
	}
	if err := p.chooseAfterLook(ctx); err != nil {
		return err
	}
	return p.clear(ctx)
}

// clear trims until nothing is left that may refer to garbage.
func (p *pack) clear(ctx context.Context) (err error) {
	p.history.ended = false
	defer func() { p.history.ended = err == nil }()
	for range maxTrims {
		if err := p.trimThrough(ctx); err != nil {
			return err
		}
		if done, err := p.nothingLeft(ctx); err != nil || done {
			return err
		}
		if err := p.CatchUp(ctx); err != nil {
			return err
		}
		if cleared, err := p.cleared(ctx); err != nil || cleared {
			return err
		}
	}
	return fault.Refuse("Wait for the end of zodbconvert, or of a restore", "trim: somebody restores revisions meanwhile")
}

// trimThrough trims, and has the server know that it came to the end.
func (p *pack) trimThrough(ctx context.Context) error {
	if err := p.history.steps(ctx); err != nil || p.history.dry || p.history.untouched {
		return err
	}
	return p.history.tryBatch(ctx, "end the trim", func() error {
		_, err := p.Conn.Exec(ctx, "SELECT relpack.trim_cleared($1, $2)", p.history.UntilTid, p.history.listed)
		return err
	})
}

// nothingLeft tells whether a sweep will find nothing, once what another pack time keeps is
// read. Else a capture more comes before it.
func (p *pack) nothingLeft(ctx context.Context) (nothing bool, err error) {
	if err := p.ApplyListed(ctx); err != nil {
		return false, err
	}
	if err = p.Conn.QueryRow(ctx, "SELECT relpack.all_reachable()").Scan(&nothing); err != nil {
		return false, fmt.Errorf("look for unreachable objects: %w", err)
	}
	if !nothing {
		return false, nil
	}
	return p.cleared(ctx)
}

// cleared tells whether no event has told since the trim of what it may not have seen.
func (p *pack) cleared(ctx context.Context) (cleared bool, err error) {
	if !p.History || p.history.dry {
		return true, nil
	}
	if err = p.Conn.QueryRow(ctx, "SELECT cleared_tid >= horizon_tid FROM relpack.storage").Scan(&cleared); err != nil {
		err = fmt.Errorf("read relpack.storage: %w", err)
	}
	return cleared, err
}

// catchUpSwept is CatchUp between two batches.
func (p *pack) catchUpSwept(ctx context.Context) error {
	if err := p.CatchUp(ctx); err != nil {
		return err
	}
	if cleared, err := p.cleared(ctx); err != nil || cleared {
		return err
	}
	return p.clear(ctx)
}

// trimmedOnly ends a run that trimmed the history, or would, and may not delete garbage.
func (p *pack) trimmedOnly(ctx context.Context, refused error) error {
	if !p.History || fault.ExitCode(refused) != fault.ExitRefused || p.Conn.IsClosed() || p.Stopped() {
		return refused
	}
	return errors.Join(refused, p.endHistory(ctx))
}

// endHistory removes transactions, and files of blobs that are not stored any more.
func (p *pack) endHistory(ctx context.Context) error {
	t := p.history
	if !t.dry {
		if err := p.Phase("mark again", func() error { return t.markAgain(ctx) }); err != nil {
			return err
		}
	}
	if err := p.Phase("transactions", func() error { return t.transactions(ctx) }); err != nil {
		return err
	}
	return p.Phase("blobs", func() error { return t.removeFiles(ctx) })
}
