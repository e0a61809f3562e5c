package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/pack"
	"relpack/runner/target"
)

type packCommand struct {
	place         `embed:""`
	style         `embed:""`
	BlobDir       string  `placeholder:"DIR" help:"The shared blob directory, when there is no CONFIG."`
	Init          bool    `short:"i" help:"Drop the graph and build it again (a first run builds it anyway)."`
	Days          float64 `short:"d" default:"1" placeholder:"D" help:"Keep objects changed or cut off within D days, and revisions that were current then (default 1; fractions are allowed). 0: no grace. Negative: delete also what open transactions may see."`
	AcceptMissing []int64 `placeholder:"ZOID" help:"Give up an object whose row vanished (the report names it). What only it referred to becomes garbage. May be repeated."`
	DryRun        bool    `help:"Do everything except the deletion."`
	Prepack       bool    `help:"The same as --dry-run."`

	UsePrepackState bool `hidden:""`
	CheckRefsOnly   bool `hidden:""`
}

const maxDays = 36500

// Validate is called by kong.
func (c *packCommand) Validate() error {
	switch {
	case math.IsNaN(c.Days) || math.Abs(c.Days) > maxDays:
		return fmt.Errorf("--days takes a number of days, %d at most", maxDays)
	case c.UsePrepackState:
		return errors.New("--use-prepack-state: leave it out, relpack keeps the graph from run to run anyway")
	case c.CheckRefsOnly:
		return errors.New(`--check-refs-only: use "relpack pack --dry-run", then in psql: ` +
			"SELECT zoid, inref FROM relpack.object_inref WHERE NOT EXISTS (SELECT FROM object_state WHERE object_state.zoid = object_inref.zoid)")
	}
	return nil
}

// Run packs each storage in turn.
func (c *packCommand) Run() error {
	if err := c.oneStorage(); err != nil {
		return err
	}
	log, progress := c.outputs(c.Quiet)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := make(chan struct{})
	onSignals(func() {
		log.Warn("stopping between two batches; a second signal stops at once")
		close(stop)
	}, cancel)

	var family *pack.Family
	return reports(c.place, c.style, c.BlobDir, log, func(target target.Target, log *slog.Logger) (*pack.Report, error) {
		if family == nil {
			family = pack.NewFamily(target.File)
		}
		return family.Pack(ctx, target, pack.Options{
			Init: c.Init, AcceptMissing: c.AcceptMissing, Days: c.Days, DryRun: c.DryRun || c.Prepack, Version: relpackVersion(),
			Migrations: migrations.Files, Progress: progress, Stop: stop, Printed: !c.Quiet && !c.JSON,
		}, log)
	})
}

// oneStorage refuses to give up the same zoid in several storages.
func (c *packCommand) oneStorage() error {
	if len(c.AcceptMissing) == 0 {
		return nil
	}
	targets, err := target.Targets(c.Config, c.DSN, c.BlobDir)
	if err == nil && len(targets) > 1 {
		err = &fault.Error{Code: fault.ExitUsage, Err: fmt.Errorf("--accept-missing: %s names %d storages", c.Config, len(targets)),
			Hint: "Give the one that is meant with --dsn"}
	}
	return err
}
