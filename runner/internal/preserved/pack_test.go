package preserved

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"time"

	"relpack/runner/internal/revision"
	"relpack/runner/internal/zodbtest"
)

// A packing is what a packer is asked for.
type packing struct {
	days    float64
	keep    bool                         // pack-gc false
	init    bool                         // read everything anew
	dry     bool                         // only look
	between func(statement string) error // is called after each; an error kills it
}

// An outcome is what a packer says.
type outcome struct {
	until   int64   // up to which tid it packed
	refused string  // why it left garbage
	trimmed int64   // revisions of objects that stay
	garbage []int64 // after a dry run: what would go
}

// A packer packs the worker's storage.
type packer interface {
	pack(ctx context.Context, p packing) (outcome, error)
	// beside tells whether the site may go on meanwhile.
	beside() bool
}

var errKilled = errors.New("killed")

// pack packs, and judges what is left. With crash=n the packer is killed after its
// n-th statement; with between=n, what the step writes is done then. With call=n only
// those count that call one of a few functions.
func (h *history) pack(ctx context.Context, s step) error {
	r := &run{history: h, step: s}
	var err error
	if r.before, err = revision.Load(ctx, h.site.Conn); err != nil {
		return err
	}
	h.remember(r.before)
	p := packing{keep: s.kind == "trim", init: s.is("init"), dry: s.is("dry"), between: func(statement string) error { return r.after(ctx, statement) }}
	if p.days, r.latest, err = h.days(ctx, s); err != nil {
		return err
	}
	if p.keep && !p.dry {
		// For the graph it is somebody else who deletes rows.
		h.eventful = true
		if err := h.tick(ctx); err != nil {
			return err
		}
	}
	most := s.args["most"]
	if most == 0 {
		most = 1000
	}
	if _, err := h.site.Conn.Exec(ctx, "UPDATE public.model SET most = $1", most); err != nil {
		return err
	}
	print, err := h.fingerprint(ctx)
	if err != nil {
		return err
	}
	h.held = h.open != nil && (h.held || !h.built || p.init)
	o, failed := h.w.packs.pack(ctx, p)
	h.built = h.built || !p.keep && !r.killed
	if p.days >= 0 {
		r.latest = zodbtest.TimeTid(time.Now().Add(-time.Duration(p.days * 24 * float64(time.Hour))))
	}
	if r.failed != nil {
		return r.failed
	}
	after, err := revision.Load(ctx, h.site.Conn)
	if err != nil {
		return err
	}
	if p.dry && !r.acted {
		now, err := h.fingerprint(ctx)
		if err != nil {
			return err
		}
		if now != print {
			return lossf("a dry run changed rows of the application")
		}
	}
	if err := r.judge(ctx, after, p, o, failed); err != nil {
		return err
	}
	if err := r.counted(ctx); err != nil || o.refused != "" {
		return err
	}
	return r.tidied(after, p)
}

// days are what a pack is asked for, and the latest tid that it may pack up to.
func (h *history) days(ctx context.Context, s step) (days float64, latest int64, err error) {
	if s.args["grace"] < 0 {
		return -1, math.MaxInt64, nil
	}
	moment := h.base.Add(-time.Duration(s.args["grace"])*time.Minute + 30*time.Second)
	if n := s.args["at"]; n > 0 {
		// The very moment of a commit.
		tid, err := h.back(ctx, n-1)
		if err != nil {
			return 0, 0, err
		}
		moment = zodbtest.TidTime(tid)
	}
	return max(0, float64(time.Since(moment))/float64(24*time.Hour)), 0, nil
}

// fingerprint tells whether any row was touched.
func (h *history) fingerprint(ctx context.Context) (print string, err error) {
	err = h.site.Conn.QueryRow(ctx, `SELECT md5(coalesce(string_agg(line, '|' ORDER BY line), '')) FROM (
		SELECT format('%s %s %s %s', tableoid, ctid, xmin, o) FROM object_state AS o
		UNION ALL SELECT format('%s %s %s %s', tableoid, ctid, xmin, o) FROM current_object AS o
		UNION ALL SELECT format('%s %s %s %s', tableoid, ctid, xmin, o) FROM transaction AS o
		UNION ALL SELECT format('%s %s %s %s', tableoid, ctid, xmin, o) FROM blob_chunk AS o) AS rows (line)`).Scan(&print)
	return print, err
}

// A run is a pack at work. Several of its sessions may end statements at once.
type run struct {
	*history
	step   step
	before *revision.Storage // what was there when it began, or somebody wrote meanwhile
	latest int64             // the latest tid that it may pack up to
	acted  bool
	failed error

	mutex  sync.Mutex
	steps  int64
	killed bool
}

// calls are where something is done beside a pack, or it is killed, more often than by
// chance.
var calls = []string{"relpack.capture_list(", "relpack.horizon_move(", "relpack.trim_find(", "relpack.trim_batch(",
	"relpack.trim_cleared(", "relpack.doom(", "relpack.sweep("}

// after is called after each statement of a pack.
func (r *run) after(ctx context.Context, statement string) error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if n := r.step.args["call"]; n == 0 || strings.Contains(statement, calls[(n-1)%int64(len(calls))]) {
		r.steps++
	}
	switch {
	case r.killed || r.failed != nil:
		return errKilled
	case r.step.is("crash") && r.step.args["crash"] == r.steps:
		r.killed = true
		r.w.counts["killed"]++
		return errKilled
	case r.step.is("between") && r.steps >= r.step.args["between"] && !r.acted && r.w.packs.beside():
		if r.failed = r.meanwhile(ctx); r.failed != nil {
			return errKilled
		}
	}
	return nil
}

// meanwhile does what the site does beside a pack. What the pack did before is judged
// by what there was before, and what it does from now on by what there is now.
func (r *run) meanwhile(ctx context.Context) error {
	then, err := revision.Load(ctx, r.site.Conn)
	if err != nil {
		return err
	}
	latest := r.latest
	if latest == 0 {
		latest = zodbtest.TimeTid(time.Now())
	}
	if err := r.atLeast(then, latest, r.step.kind == "trim"); err != nil {
		return err
	}
	s := r.step
	s.verb, s.kind = "commit", "beside"
	switch {
	case s.is("undone"):
		s.verb, s.kind = "undo", "back"
	case s.is("old"):
		s.verb, s.kind = "restore", "row"
	}
	err = r.do(ctx, s)
	if err == nil {
		err = r.checkFiles(ctx)
	}
	if err != nil {
		if _, ended := r.site.Conn.Exec(ctx, "ROLLBACK"); !isBusy(err) || ended != nil {
			return errors.Join(err, ended)
		}
		r.w.counts["beside a pack, in vain"]++
		return nil
	}
	r.acted = true
	r.w.counts["beside a pack"]++
	r.before, err = revision.Load(ctx, r.site.Conn)
	return err
}
