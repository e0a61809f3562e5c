package main

import (
	"context"
	"io"
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
func (c *upCommand) Run(code *int) error {
	return c.migrate(code, c.Quiet, func(ctx context.Context, target target.Target, files fs.FS, log *slog.Logger) error {
		target.NoBlobIndex = c.NoBlobIndex
		return schema.Up(ctx, target, files, log)
	})
}

type downCommand struct {
	place `embed:""`
	Quiet bool `short:"q" help:"Print nothing when all goes well."`
}

// Run removes.
func (c *downCommand) Run(code *int) error {
	return c.migrate(code, c.Quiet, schema.Down)
}

func (p place) migrate(code *int, quiet bool, how func(context.Context, target.Target, fs.FS, *slog.Logger) error) (err error) {
	log, _ := p.outputs(quiet)
	ctx := untilSignal()
	*code, err = p.each("", log, func(target target.Target, log *slog.Logger) error {
		return how(ctx, target, migrations.Files, log)
	})
	return err
}

type listCommand struct {
	place `embed:""`
}

// Run lists the migrations.
func (c *listCommand) Run(code *int) error {
	return c.schema(code, (*schema.Status).Write)
}

type versionCommand struct {
	place `embed:""`
}

// Run prints the version.
func (c *versionCommand) Run(code *int) error {
	return c.schema(code, (*schema.Status).WriteVersion)
}

func (p place) schema(code *int, write func(*schema.Status, io.Writer) error) (err error) {
	log, _ := p.outputs(false)
	ctx := untilSignal()
	*code, err = p.each("", log, func(target target.Target, _ *slog.Logger) error {
		status, err := schema.ReadStatus(ctx, target, migrations.Files, log)
		if err != nil {
			return err
		}
		return write(status, os.Stdout)
	})
	return err
}
