package preserved

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/revision"
	"relpack/runner/internal/zodbtest"
)

// A history is a sequence of steps, carried out in a worker's database.
type history struct {
	w      *worker
	site   zodbtest.History
	base   time.Time // the moment from which ages are counted, in minutes
	clock  int64     // as a tid: how young relpack takes events for
	script []step
	files  *files // nil: blobs are in the database
	begun  int    // steps that only say how the history is played

	open      pgx.Tx            // another client's transaction, and
	seen      *revision.Storage // what it sees
	disturbed bool              // somebody did since what nobody can be protected from

	// What relpack may keep although the rule does not: garbage that an event cut off,
	// until the pack time is past that, what hung on objects that vanished, and all of it
	// while a transaction is open that was so when all was read for the first time.
	snapshots int

	eventful bool            // since a run looked
	noticed  int64           // as a tid: when a run last found that
	known    map[int64]bool  // cut off when a run looked last
	horizon  int64           // the pack time of that
	young    map[int64]int64 // until which tid garbage may stay
	ghosts   map[int64][]int64
	ever     map[int64][]int64 // what objects have referred to
	built    bool              // all was read
	held     bool              // beside the open transaction

	// A pack marks up to where earlier ones have trimmed, be its pack time earlier: so far
	// they may have come, and so far they did, since rows were loaded that are not trimmed.
	reached, trimmed int64
}

// A loss is a check that failed: what a history is shortened for.
type loss struct{ what string }

func (l loss) Error() string { return l.what }

func lossf(format string, args ...any) error { return loss{fmt.Sprintf(format, args...)} }

func beginHistory(ctx context.Context, w *worker, release zodbtest.Version) (*history, error) {
	w.settle(release)
	h := &history{w: w, site: zodbtest.History{Conn: w.site, Version: release}, base: time.Now(),
		known: map[int64]bool{}, young: map[int64]int64{}, ghosts: map[int64][]int64{}, ever: map[int64][]int64{}}
	if err := w.reset(ctx); err != nil {
		return nil, fmt.Errorf("reset: %w", err)
	}
	_, err := h.site.Commit(ctx, h.tidAt(firstAge), map[int64][]byte{0: h.state(write{kind: "plain"})})
	return h, err
}

// firstAge is how long before a history its first commit was, in minutes.
const firstAge = 60 * 24 * 60

func (h *history) end(ctx context.Context) error {
	if h.open != nil {
		err := h.open.Rollback(ctx)
		h.open = nil
		return err
	}
	return nil
}

func (h *history) play(ctx context.Context, s step) error {
	h.script = append(h.script, s)
	h.w.counts[s.name()]++
	err := h.do(ctx, s)
	if err == nil {
		err = h.checkFiles(ctx)
	}
	if err != nil {
		return fmt.Errorf("step %d, %s: %w", len(h.script), s, err)
	}
	return nil
}

// drawn is how many steps were drawn until now.
func (h *history) drawn() int { return len(h.script) - h.begun }

// playSeed draws and plays a history; it returns what was played.
func playSeed(ctx context.Context, w *worker, seed uint64) ([]step, error) {
	var begin []step
	release := zodbtest.V42
	if seed%3 == 0 {
		release = zodbtest.V21
		begin = append(begin, step{verb: "begin", kind: "old"})
	}
	if seed%2 == 0 {
		begin = append(begin, step{verb: "begin", kind: "files"})
	}
	if seed%16 == 5 {
		begin = append(begin, step{verb: "begin", kind: "fresh"})
	}
	if seed%4 > 1 {
		begin = append(begin, step{verb: "begin", kind: "late"})
	}
	h, err := beginHistory(ctx, w, release)
	if err != nil {
		return nil, err
	}
	for _, s := range begin {
		if err := h.play(ctx, s); err != nil {
			return h.script, err
		}
	}
	g := newGenerator(seed, h)
	for range historySteps {
		s, err := g.step(ctx)
		if err == nil {
			err = h.play(ctx, s)
		}
		if err != nil {
			return h.script, errors.Join(err, h.end(ctx))
		}
	}
	for _, s := range lastSteps {
		if err := h.play(ctx, s); err != nil {
			return h.script, errors.Join(err, h.end(ctx))
		}
	}
	return h.script, h.end(ctx)
}

// historySteps is how many steps a history has besides the last ones: something is
// written now, and a pack up to that leaves nothing that the rule does not keep.
const historySteps = 32

var lastSteps = []step{
	{verb: "close", kind: "reader", args: map[string]int64{}},
	{verb: "commit", kind: "last", args: map[string]int64{"now": 1}, writes: []write{{zoid: 1, kind: "plain"}}},
	{verb: "pack", kind: "gc", args: map[string]int64{"grace": -1}},
}

func playScript(ctx context.Context, w *worker, script []step) error {
	release := zodbtest.V42
	if slices.ContainsFunc(script, func(s step) bool { return s.name() == "begin:old" }) {
		release = zodbtest.V21
	}
	h, err := beginHistory(ctx, w, release)
	if err != nil {
		return err
	}
	for _, s := range script {
		if err := h.play(ctx, s); err != nil {
			return errors.Join(err, h.end(ctx))
		}
	}
	return h.end(ctx)
}
