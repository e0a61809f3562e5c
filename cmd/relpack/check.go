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
	BlobDir string `placeholder:"DIR" help:"The shared blob directory, when there is no CONFIG."`
	Max     int    `default:"10" placeholder:"N" help:"List so many of each kind (default 10); all are counted."`
	Quiet   bool   `short:"q" help:"Print nothing when nothing is broken."`
	JSON    bool   `name:"json" help:"Print one JSON document: an array with an entry for each storage."`
}

// Validate is called by kong.
func (c *checkCommand) Validate() error {
	if c.Max < 1 {
		return errors.New("--max takes a number from 1 on")
	}
	return nil
}

// Run checks each storage in turn.
func (c *checkCommand) Run(code *int) error {
	log, progress := c.outputs(c.Quiet)
	ctx := untilSignal()
	var reports []*check.Report
	var err error
	*code, err = c.each(c.BlobDir, log, func(target target.Target, log *slog.Logger) error {
		report, err := check.Storage(ctx, target, check.Options{
			Max: c.Max, Version: relpackVersion(), Migrations: migrations.Files, Progress: progress,
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
