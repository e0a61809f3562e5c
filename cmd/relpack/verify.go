package main

import (
	"log/slog"

	"relpack/migrations"
	"relpack/runner/target"
	"relpack/runner/verify"
)

type verifyCommand struct {
	place   `embed:""`
	style   `embed:""`
	BlobDir string `placeholder:"DIR" help:"The shared blob directory, when there is no CONFIG."`
	Repair  bool   `help:"Repair the graph where it is wrong, and verify again."`
}

// Run verifies each storage in turn.
func (c *verifyCommand) Run() error {
	log, progress := c.outputs(c.Quiet)
	ctx := untilSignal()
	return reports(c.place, c.style, c.BlobDir, log, func(target target.Target, log *slog.Logger) (*verify.Report, error) {
		return verify.Run(ctx, target, verify.Options{
			Repair: c.Repair, Version: relpackVersion(), Migrations: migrations.Files, Progress: progress,
		}, log)
	})
}
