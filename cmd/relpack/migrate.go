package main

import (
	"context"
	"io/fs"
	"log/slog"
	"os"

	"relpack/migrations"
	"relpack/runner/schema"
	"relpack/runner/target"
)

type migrateCommand struct {
	Up      upCommand      `cmd:"" help:"Install relpack, or update its schema to this version. Also installs missing or disabled triggers again."`
	Down    downCommand    `cmd:"" help:"Remove relpack from the database without a trace."`
	Status  listCommand    `cmd:"" help:"List the migrations and when they were applied."`
	Version versionCommand `cmd:"" help:"Show the version of the schema, and the one that this relpack needs."`
}

type upCommand struct {
	place       `embed:""`
	Quiet       bool `short:"q" help:"Print nothing when all goes well."`
	NoBlobIndex bool `help:"Do not create an index on blob_chunk (chunk), which blobs in the database need."`
}

// Run installs.
func (c *upCommand) Run() error {
	return c.migrate(c.Quiet, func(ctx context.Context, target target.Target, files fs.FS, log *slog.Logger) error {
		target.NoBlobIndex = c.NoBlobIndex
		return schema.Up(ctx, target, files, log)
	})
}

type downCommand struct {
	place `embed:""`
	Quiet bool `short:"q" help:"Print nothing when all goes well."`
}

// Run removes.
func (c *downCommand) Run() error {
	return c.migrate(c.Quiet, schema.Down)
}

func (p place) migrate(quiet bool, how func(context.Context, target.Target, fs.FS, *slog.Logger) error) error {
	log, _ := p.outputs(quiet)
	ctx := untilSignal()
	return p.each("", log, func(target target.Target, log *slog.Logger) error {
		return how(ctx, target, migrations.Files, log)
	})
}

type listCommand struct {
	place `embed:""`
	JSON  bool `name:"json" help:"Print one JSON document: an array with an entry for each storage."`
}

// Run lists the migrations.
func (c *listCommand) Run() error {
	log, _ := c.outputs(false)
	ctx := untilSignal()
	return reports(c.place, style{JSON: c.JSON}, "", log, func(target target.Target, log *slog.Logger) (*schema.Status, error) {
		return schema.ReadStatus(ctx, target, migrations.Files, log)
	})
}

type versionCommand struct {
	place `embed:""`
}

// Run prints the version.
func (c *versionCommand) Run() error {
	log, _ := c.outputs(false)
	ctx := untilSignal()
	return c.each("", log, func(target target.Target, log *slog.Logger) error {
		status, err := schema.ReadStatus(ctx, target, migrations.Files, log)
		if err != nil {
			return err
		}
		return status.WriteVersion(os.Stdout)
	})
}
