package main

import (
	"log/slog"

	"relpack/migrations"
	"relpack/runner"
	"relpack/runner/target"
)

type statusCommand struct {
	place `embed:""`
	JSON  bool `name:"json" help:"Print one JSON document: an array with an entry for each storage."`
}

// Run shows each storage in turn.
func (c *statusCommand) Run(code *int) error {
	log, _ := c.outputs(false)
	ctx := untilSignal()
	var reports []*runner.StatusReport
	var err error
	*code, err = c.each("", log, func(target target.Target, log *slog.Logger) error {
		report, err := runner.Status(ctx, target, migrations.Files, log)
		reports = append(reports, report)
		if err != nil || c.JSON {
			return err
		}
		return show(report, len(reports) == 1)
	})
	if err == nil && c.JSON {
		err = showJSON(reports)
	}
	return err
}
