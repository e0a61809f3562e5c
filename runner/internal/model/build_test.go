package model

import (
	"context"

	"github.com/jackc/pgx/v5"

	"relpack/runner/graph"
	"relpack/runner/record"
	"relpack/runner/session"
)

// buildGraph is pack.build, with a range of one block a step.
func (r *modelRun) buildGraph(ctx context.Context) error {
	graph, err := modelDo[string](ctx, r, "SELECT graph FROM relpack.storage")
	if err != nil {
		return err
	}
	lost, err := r.isLost(ctx, r.w.packer)
	if err != nil {
		return err
	}
	if r.step.is("init") || lost {
		graph = "none"
	}
	switch graph {
	case "current", "doubtful", "reshaping":
		return nil
	case "none":
		refused, err := r.checkRefusedInit(ctx)
		if err != nil {
			return err
		}
		if _, err := modelDo[string](ctx, r, "SELECT relpack.build_reset()::text"); err != nil {
			return err
		}
		if refused {
			return lossf("live objects refer to what is missing, and the graph was forgotten")
		}
		r.building = true
		r.forgetGraph()
		if err := r.tryLock(ctx, "SELECT relpack.build_begin(1)"); err != nil {
			return err
		}
		r.captured = r.moment
		if !r.alteredBeside {
			r.altered = noReports
		}
	case "scanning":
		r.dirty = true
		r.reported(maybeReports)
		if _, err := r.w.packer.Exec(ctx, "SELECT relpack.scan_resume()"); err != nil {
			return err
		}
		r.w.counts["scan resumed"]++
	default:
		r.dirty = true
		r.w.counts["build resumed"]++
	}
	if graph == "none" || graph == "scanning" {
		if err := r.scanRanges(ctx); err != nil {
			return err
		}
	}
	for step := new(string); step != nil; {
		if step, err = modelDo[*string](ctx, r, "SELECT step FROM relpack.build_step()"); err != nil {
			return err
		}
	}
	if r.captured != r.moment {
		r.dirty = true
	}
	return nil
}

func (r *modelRun) scanRanges(ctx context.Context) error {
	ranges, err := session.Rows(ctx, r.w.packer, func(row pgx.CollectableRow) (b record.Blocks, err error) {
		return b, row.Scan(&b.First, &b.Last)
	}, "SELECT first_block, last_block FROM relpack.scan_range ORDER BY first_block")
	if err != nil {
		return err
	}
	var watermark int64
	if err := r.w.packer.QueryRow(ctx, "SELECT watermark FROM relpack.storage").Scan(&watermark); err != nil {
		return err
	}
	w := graph.NewStager(r.Packer, watermark, record.NoClasses(r.w.class))
	w.Reader, w.Writer = r.w.reader, r.w.writer
	for _, blocks := range ranges {
		if err := r.next(ctx, "scan"); err != nil {
			return err
		}
		if err := w.Read(ctx, blocks); err != nil {
			return err
		}
	}
	return nil
}
