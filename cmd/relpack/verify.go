package main

import (
	"errors"
	"log/slog"

	"relpack/migrations"
	"relpack/runner"
	"relpack/runner/target"
)

type verifyCommand struct {
	place   `embed:""`
	BlobDir string `placeholder:"DIR" help:"The shared blob directory, when there is no CONFIG."`
	Repair  bool   `help:"Repair the graph where it is wrong, and verify again."`
	Quiet   bool   `short:"q" help:"Print nothing when nothing is wrong."`
	JSON    bool   `name:"json" help:"Print one JSON document at the end: an array with an entry for each storage."`
}

// Run verifies each storage in turn.
func (c *verifyCommand) Run(code *int) error {
	log, progress := c.outputs(c.Quiet)
	ctx := untilSignal()
	var reports []*runner.VerifyReport
	var err error
	*code, err = c.each(c.BlobDir, log, func(target target.Target, log *slog.Logger) error {
		report, err := runner.Verify(ctx, target, runner.VerifyOptions{
			Repair: c.Repair, Version: relpackVersion(), Migrations: migrations.Files, Progress: progress,
		}, log)
		reports = append(reports, report)
		// What was refused outright has nothing to report.
		if !c.JSON && !c.Quiet && len(report.Phases) > 0 {
			err = errors.Join(err, show(report, len(reports) == 1))
		}
		return err
	})
	if err == nil && c.JSON {
		err = showJSON(reports)
	}
	return err
}
