package main

import (
	"errors"
	"log/slog"

	"relpack/migrations"
	"relpack/runner/check"
	"relpack/runner/target"
)

type checkCommand struct {
	place   `embed:""`
	style   `embed:""`
	BlobDir string `placeholder:"DIR" help:"The shared blob directory, when there is no CONFIG."`
	Max     int    `default:"10" placeholder:"N" help:"List so many of each kind (default 10); all are counted."`
}

// Validate is called by kong.
func (c *checkCommand) Validate() error {
	if c.Max < 1 {
		return errors.New("--max takes a number from 1 on")
	}
	return nil
}

// Run checks each storage in turn.
func (c *checkCommand) Run() error {
	log, progress := c.outputs(c.Quiet)
	ctx := untilSignal()
	return reports(c.place, c.style, c.BlobDir, log, func(target target.Target, log *slog.Logger) (*check.Report, error) {
		return check.Storage(ctx, target, check.Options{
			Quiet: c.Quiet && !c.JSON,
			Max:   c.Max, Version: relpackVersion(), Migrations: migrations.Files, Progress: progress,
		}, log)
	})
}
