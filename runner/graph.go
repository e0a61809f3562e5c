package runner

import (
	"context"
	"fmt"
	"time"

	"relpack/runner/fault"
)

// build makes the graph if there is none, or goes on with a build that was
// interrupted.
func (p *pack) build(ctx context.Context) error {
	var graph, lost string
	// No row: the database was restored without the data of our tables.
	if err := p.conn.QueryRow(ctx, "SELECT coalesce((SELECT graph FROM relpack.storage), 'none'), coalesce(relpack.graph_lost(), '')").
		Scan(&graph, &lost); err != nil {
		return fmt.Errorf("read relpack.storage: %w", err)
	}
	if p.options.Init || lost != "" {
		if _, err := p.acceptMissing(ctx); err != nil {
			return err
		}
	}
	if p.options.Init {
		graph = "none"
	} else if lost != "" {
		p.log.Warn(lost + ": the graph is built again, as with --init")
		p.report.Doubt = lost
		graph = "none"
	}
	switch graph {
	case "current", "doubtful", "reshaping":
		return nil
	case "none":
		if err := p.beginBuild(ctx); err != nil {
			return err
		}
		graph = "scanning"
	case "scanning":
		p.log.Info("continuing an interrupted first build")
		if _, err := p.conn.Exec(ctx, "SELECT relpack.scan_resume()"); err != nil {
			return fmt.Errorf("resume the first build: %w", err)
		}
	}
	p.report.FirstBuild = true
	if graph == "scanning" {
		if err := p.phase("scan", func() error { return p.scan(ctx) }); err != nil {
			return err
		}
		if p.stopped() {
			return fault.Interrupted
		}
	}
	beside := newBeside(ctx, p)
	defer beside.end()
	for phase := ""; ; {
		start := time.Now()
		step, added, err := p.buildStep(ctx)
		if err != nil {
			return err
		}
		if err := beside.after(step, added); err != nil {
			return err
		}
		if phase != buildPhases[step] {
			if phase != "" {
				p.progress.End()
			}
			if phase = buildPhases[step]; phase == "" {
				return nil
			}
			p.progress.Phase(phase, "objects", 0)
		}
		p.progress.Add(added)
		p.report.took(phase, time.Since(start))
		if p.stopped() {
			p.progress.End()
			return fault.Interrupted
		}
	}
}

// buildStep does the next step of a first build; "" when the graph is built.
func (p *pack) buildStep(ctx context.Context) (string, int64, error) {
	var step *string
	var added *int64
	err := p.persist(ctx, "build the graph", func() (bool, error) {
		err := p.conn.QueryRow(ctx, "SELECT step, added FROM relpack.build_step()").Scan(&step, &added)
		return err == nil, err
	})
	if err != nil || step == nil {
		return "", 0, err
	}
	if added == nil {
		added = new(int64)
	}
	return *step, *added, nil
}

// buildPhases names the phases of the report for the states of a build.
var buildPhases = map[string]string{
	"scanning": "index", "indexing": "index", "marking": "reach", "filling": "fill", "finishing": "fill",
}

func (p *pack) beginBuild(ctx context.Context) error {
	if err := p.announceBuild(ctx); err != nil {
		return err
	}
	return p.phase("prepare", func() error {
		err := p.persist(ctx, "prepare the first build", func() (bool, error) {
			_, err := p.conn.Exec(ctx, "SELECT relpack.build_reset()")
			return err == nil, err
		})
		if err != nil {
			return err
		}
		return p.persist(ctx, "begin the first build", func() (bool, error) {
			var got bool
			call := "SELECT relpack.build_begin()"
			if p.options.rangeBlocks > 0 {
				call = fmt.Sprintf("SELECT relpack.build_begin(%d)", p.options.rangeBlocks)
			}
			err := p.conn.QueryRow(ctx, call).Scan(&got)
			return got, err
		})
	})
}

// reach settles the suspects, a transaction a step.
func (p *pack) reach(ctx context.Context) error {
	for more := true; more; {
		if err := p.conn.QueryRow(ctx, "SELECT relpack.reach_step()").Scan(&more); err != nil {
			return fmt.Errorf("settle what is reachable: %w", err)
		}
		if p.stopped() && more {
			return fault.Interrupted
		}
	}
	return nil
}

// keepShallow shapes the tree again where it has become deep.
func (p *pack) keepShallow(ctx context.Context) error {
	var deep bool
	if err := p.conn.QueryRow(ctx, "SELECT relpack.reshape_if_deep()").Scan(&deep); err != nil {
		return fmt.Errorf("look how deep the tree is: %w", err)
	}
	if !deep {
		return nil
	}
	return p.reach(ctx)
}

// catchUp brings the graph up to the last commit: capture, examine, settle.
func (p *pack) catchUp(ctx context.Context) error {
	if err := p.update(ctx); err != nil {
		return err
	}
	return p.phase("reach", func() error { return p.reach(ctx) })
}

// update is catchUp but for the last step: what is reachable is open.
func (p *pack) update(ctx context.Context) error {
	var pending int64
	var reread bool
	err := p.phase("capture", func() error {
		doubt, err := p.doubt(ctx)
		if err != nil {
			return err
		}
		err = p.persist(ctx, "capture changes", func() (bool, error) {
			var got bool
			err := p.conn.QueryRow(ctx, "SELECT relpack.capture_watermark()").Scan(&got)
			return got, err
		})
		if err != nil {
			return err
		}
		reread, err = p.sayDoubt(ctx, doubt)
		return err
	})
	if err != nil {
		return err
	}
	if reread {
		if err := p.reread(ctx); err != nil {
			return err
		}
	}
	err = p.phase("capture", func() error {
		if err := p.conn.QueryRow(ctx, "SELECT relpack.capture_list()").Scan(&pending); err != nil {
			return fmt.Errorf("capture changes: %w", err)
		}
		return nil
	})
	if err != nil || pending == 0 {
		return err
	}
	return p.phase("apply", func() error { return p.examine(ctx, pending) })
}

// doubt asks why the graph may not match the storage; "" when it does.
func (p *pack) doubt(ctx context.Context) (doubt string, err error) {
	if err := p.conn.QueryRow(ctx, "SELECT coalesce(relpack.doubt(), '')").Scan(&doubt); err != nil {
		return "", fmt.Errorf("ask whether the graph is believed: %w", err)
	}
	return doubt, nil
}

// sayDoubt tells that this run compares, and why. The reason was asked before
// the capture, which takes note of it and forgets it.
func (p *pack) sayDoubt(ctx context.Context, doubt string) (reread bool, err error) {
	var graph string
	if err := p.conn.QueryRow(ctx, "SELECT graph, reread FROM relpack.storage").Scan(&graph, &reread); err != nil {
		return false, fmt.Errorf("read relpack.storage: %w", err)
	}
	if graph != "doubtful" {
		return false, nil
	}
	if doubt == "" {
		// It came up in this moment.
		doubt = "the graph may not describe the storage any more"
	}
	how := ": every object's tid is compared"
	if reread {
		how = ": every state is read again and compared"
	}
	p.log.Warn(doubt + how)
	p.report.Compared, p.report.Doubt = true, doubt
	return reread, nil
}

// reread reads every state again, as verify does, and enters what differs into
// relpack.pending: after an ALTER TABLE a tid says nothing of its state.
func (p *pack) reread(ctx context.Context) error {
	v := &verification{pack: p}
	if err := p.phase("verify", func() error { return v.allStates(ctx, true) }); err != nil {
		return err
	}
	if _, err := p.conn.Exec(ctx, "SELECT relpack.reread_done()"); err != nil {
		return fmt.Errorf("read every state again: %w", err)
	}
	return nil
}

// persist calls try until it succeeds or the lock timeout is over, with
// growing pauses, and says who is in the way.
func (p *pack) persist(ctx context.Context, what string, try func() (bool, error)) error {
	start := time.Now()
	pause := 20 * time.Millisecond
	said := start
	for {
		got, err := try()
		if err != nil && !fault.IsState(err, "55P03", "40P01") {
			return fmt.Errorf("%s: %w", what, err)
		}
		if got && err == nil {
			return nil
		}
		waited := time.Since(start)
		if limit := p.target.CommitLockTimeout; limit > 0 && waited > limit {
			return p.gaveUp(ctx, what, waited)
		}
		if time.Since(said) > 5*time.Second {
			p.log.Warn(fmt.Sprintf("%s: waiting for %v: %s", what, waited.Round(time.Second), p.inTheWay(ctx)))
			said = time.Now()
		}
		if err := p.sleep(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, time.Second)
	}
}

// gaveUp says who was in the way for all that time.
func (p *pack) gaveUp(ctx context.Context, what string, waited time.Duration) error {
	who, hint := p.inTheWay(ctx), "End that transaction and run relpack again"
	if who == nobodyInTheWay {
		hint = "Run relpack again when there are fewer writes"
	}
	return &fault.Error{Code: fault.ExitFailure, Hint: hint,
		Err: fmt.Errorf("%s: %s; relpack gave up after %v (commit-lock-timeout)", what, who, waited.Round(time.Second))}
}

const nobodyInTheWay = "other sessions keep writing to object_state"

// sleep ends early when the run is to stop.
func (p *pack) sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-p.options.Stop:
		return fault.Interrupted
	case <-ctx.Done():
		return ctx.Err()
	}
}

// inTheWay names who holds what we want.
func (p *pack) inTheWay(ctx context.Context) string {
	var who *string
	if err := p.conn.QueryRow(ctx, "SELECT relpack.in_the_way()").Scan(&who); err != nil || who == nil {
		return nobodyInTheWay
	}
	return fault.OneLine(*who)
}
