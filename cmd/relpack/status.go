package main

import (
	"log/slog"

	"relpack/migrations"
	"relpack/runner/status"
	"relpack/runner/target"
)

type statusCommand struct {
	place `embed:""`
	JSON  bool `name:"json" help:"Print one JSON document: an array with an entry for each storage."`
}

// Run shows each storage in turn.
func (c *statusCommand) Run() error {
	log, _ := c.outputs(false)
	ctx := untilSignal()
	return reports(c.place, style{JSON: c.JSON}, "", log, func(target target.Target, log *slog.Logger) (*status.Report, error) {
		return status.Look(ctx, target, migrations.Files, log)
	})
}
