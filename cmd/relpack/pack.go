package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"

	"relpack/migrations"
	"relpack/runner"
	"relpack/runner/fault"
	"relpack/runner/target"
)

type packCommand struct {
	place         `embed:""`
	BlobDir       string  `placeholder:"DIR" help:"The shared blob directory, when there is no CONFIG."`
	Init          bool    `short:"i" help:"Drop the graph and build it again (a first run builds it anyway)."`
	Days          float64 `short:"d" default:"1" placeholder:"D" help:"Keep objects changed or cut off within D days (default 1; fractions are allowed). 0: no grace. Negative: delete also what open transactions may see."`
	AcceptMissing []int64 `placeholder:"ZOID" help:"Give up an object whose row vanished (the report names it). What only it referred to becomes garbage. May be repeated."`
	DryRun        bool    `help:"Do everything except the deletion."`
	Prepack       bool    `help:"The same as --dry-run."`
	Quiet         bool    `short:"q" help:"Print nothing when all goes well."`
	JSON          bool    `name:"json" help:"Print one JSON document at the end: an array with an entry for each storage."`

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
func (c *packCommand) Run(code *int) error {
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

	var reports []*runner.Report
	var family *runner.Family
	var err error
	*code, err = c.each(c.BlobDir, log, func(target target.Target, log *slog.Logger) error {
		if family == nil {
			family = runner.NewFamily(target.File)
		}
		report, err := family.Pack(ctx, target, runner.PackOptions{
			Init: c.Init, AcceptMissing: c.AcceptMissing, Days: c.Days, DryRun: c.DryRun || c.Prepack, Version: relpackVersion(),
			Migrations: migrations.Files, Progress: progress, Stop: stop,
		}, log)
		reports = append(reports, report)
		// What was refused outright has nothing to report.
		if !c.JSON && !c.Quiet && (err == nil || len(report.Phases) > 0) {
			err = errors.Join(err, show(report, len(reports) == 1))
		}
		return err
	})
	if err == nil && c.JSON {
		err = showJSON(reports)
	}
	return err
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
