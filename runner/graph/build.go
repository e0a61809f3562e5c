package graph

import (
	"context"
	"fmt"
	"time"

	"relpack/runner/fault"
)

// Build makes the graph if there is none, or goes on with a build that was
// interrupted; it tells whether there was something to do. With init it forgets
// the graph first. Objects that are missing, and would be garbage of a new graph,
// are given up if accept names them.
func (p *Packer) Build(ctx context.Context, init bool, accept []int64) (built bool, err error) {
	var graph, lost string
	// No row: the database was restored without the data of our tables.
	if err := p.Conn.QueryRow(ctx, "SELECT coalesce((SELECT graph FROM relpack.storage), 'none'), coalesce(relpack.graph_lost(), '')").
		Scan(&graph, &lost); err != nil {
		return false, fmt.Errorf("read relpack.storage: %w", err)
	}
	if init || lost != "" {
		if _, err := p.AcceptMissing(ctx, accept); err != nil {
			return false, err
		}
	}
	if init {
		graph = "none"
	} else if lost != "" {
		p.Log.Warn(lost + ": the graph is built again, as with --init")
		p.Doubt = lost
		graph = "none"
	}
	switch graph {
	case "current", "doubtful", "reshaping":
		return false, nil
	case "none":
		if err := p.beginBuild(ctx); err != nil {
			return false, err
		}
		graph = "scanning"
	case "scanning":
		p.Log.Info("continuing an interrupted first build")
		if _, err := p.Conn.Exec(ctx, "SELECT relpack.scan_resume()"); err != nil {
			return false, fmt.Errorf("resume the first build: %w", err)
		}
	}
	return true, p.finishBuild(ctx, graph)
}

// finishBuild goes on from a state of the graph.
func (p *Packer) finishBuild(ctx context.Context, graph string) error {
	if graph == "scanning" {
		if err := p.Phase("scan", func() error { return p.scan(ctx) }); err != nil {
			return err
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
				p.Progress.End()
			}
			if phase = buildPhases[step]; phase == "" {
				return nil
			}
			p.Progress.Phase(phase, "objects", 0)
		}
		p.Progress.Add(added)
		p.Took(phase, time.Since(start))
		if p.Stopped() {
			p.Progress.End()
			return fault.Interrupted
		}
	}
}

// buildStep does the next step of a first build; "" when the graph is built.
func (p *Packer) buildStep(ctx context.Context) (string, int64, error) {
	var step *string
	var added *int64
	err := p.Retry(ctx, "build the graph", func() error {
		return p.Conn.QueryRow(ctx, "SELECT step, added FROM relpack.build_step()").Scan(&step, &added)
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

func (p *Packer) beginBuild(ctx context.Context) error {
	if _, err := p.Conn.Exec(ctx, "SELECT relpack.require_storage()"); err != nil {
		return err
	}
	if err := p.announceBuild(ctx); err != nil {
		return err
	}
	return p.Phase("prepare", func() error {
		err := p.Retry(ctx, "prepare the first build", func() error {
			_, err := p.Conn.Exec(ctx, "SELECT relpack.build_reset()")
			return err
		})
		if err != nil {
			return err
		}
		return p.Persist(ctx, "begin the first build", func() (bool, error) {
			var got bool
			call := "SELECT relpack.build_begin()"
			if p.RangeBlocks > 0 {
				call = fmt.Sprintf("SELECT relpack.build_begin(%d)", p.RangeBlocks)
			}
			err := p.Conn.QueryRow(ctx, call).Scan(&got)
			return got, err
		})
	})
}
