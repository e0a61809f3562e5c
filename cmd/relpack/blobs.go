package main

import (
	"errors"
	"fmt"
	"log/slog"
	"math"

	"relpack/migrations"
	"relpack/runner/orphans"
	"relpack/runner/target"
)

type blobsCommand struct {
	place   `embed:""`
	style   `embed:""`
	BlobDir string  `placeholder:"DIR" help:"The shared blob directory, when there is no CONFIG."`
	Remove  bool    `help:"Remove superseded revisions, or those that no row of a history names, second files of stored ones in the other layout, and old temporary files, as the list has them. Needs --claim."`
	Claim   bool    `help:"With --remove: you say that no other storage, and no copy of this database, uses the blob directory."`
	Gone    bool    `help:"With --remove --claim: remove files of objects that are gone, too. You say that no row that is gone now will be put back without its file: from no backup, from no later timeline, by nobody."`
	GivenUp int64   `placeholder:"N" help:"With --gone: you give up N objects that are not stored though others refer to them, with the files of what hung on them."`
	Days    float64 `short:"d" default:"1" placeholder:"D" help:"Take files for needed that were superseded, or came there, within D days (default 1; fractions are allowed; an hour at least)."`
	Max     int     `default:"10" placeholder:"N" help:"Name so many files of each kind (default 10)."`
}

// Validate is called by kong.
func (c *blobsCommand) Validate() error {
	if math.IsNaN(c.Days) || c.Days < 0 || c.Days > maxDays {
		return fmt.Errorf("--days takes a number of days, from 0 to %d", maxDays)
	}
	if c.Max < 1 {
		return errors.New("--max takes a number from 1 on")
	}
	if c.Claim && !c.Remove {
		return errors.New("--claim goes with --remove: it holds for one run")
	}
	if c.Gone && !(c.Remove && c.Claim) {
		return errors.New("--gone goes with --remove --claim: look at the list first; it holds for one run")
	}
	if c.GivenUp != 0 && !c.Gone {
		return errors.New("--given-up goes with --gone: it holds for one run")
	}
	return nil
}

// Run looks at each storage's blobs in turn.
func (c *blobsCommand) Run() error {
	log, progress := c.outputs(c.Quiet)
	ctx := untilSignal()
	return reports(c.place, c.style, c.BlobDir, log, func(target target.Target, log *slog.Logger) (*orphans.Report, error) {
		return orphans.Storage(ctx, target, orphans.Options{
			Claim: c.Claim, Remove: c.Remove, Gone: c.Gone, GivenUp: c.GivenUp, Days: c.Days, Max: c.Max, Version: relpackVersion(), Migrations: migrations.Files, Progress: progress,
		}, log)
	})
}
