package main

import (
	"errors"
	"log/slog"

	"relpack/migrations"
	"relpack/runner/du"
	"relpack/runner/target"
	"relpack/runner/zoid"
)

type duCommand struct {
	Words   []string `arg:"" optional:"" name:"config-or-zoid" help:"The ZConfig file; and the id of the object to begin with, which is the root without one: 6699, 0x1a2b, or b'\\x00...'."`
	DSN     string   `name:"dsn" placeholder:"DSN" help:"Database, as libpq's keywords or URI."`
	BlobDir string   `placeholder:"DIR" help:"The shared blob directory, when there is no CONFIG."`
	Depth   int      `default:"2" placeholder:"N" help:"List so many levels (default 2)."`
	Max     int      `default:"10" placeholder:"N" help:"Of what is in an object, list the N largest (default 10); all are counted."`
	Sort    string   `enum:"size,states,blobs,objects" default:"size" placeholder:"KEY" help:"Which are largest: by size, which is states and blobs, by states, blobs or objects."`
	ByClass bool     `help:"List the classes of all that is in the object."`
	JSON    bool     `name:"json" help:"Print one JSON document: an array with an entry for each storage."`
	Verbose bool     `short:"v" help:"Show every statement."`

	config string
	zoid   int64
}

// Validate is called by kong. A file whose name is an object id is "./6699".
func (c *duCommand) Validate() error {
	named := false
	for _, word := range c.Words {
		id, err := zoid.Parse(word)
		switch {
		case err == nil && named:
			return errors.New("one object at a time")
		case err == nil:
			c.zoid, named = id, true
		case c.config == "":
			c.config = word
		default:
			return err
		}
	}
	if c.Depth < 1 || c.Max < 1 {
		return errors.New("--depth and --max take numbers from 1 on")
	}
	return nil
}

// Run measures each storage in turn.
func (c *duCommand) Run() error {
	p := place{Config: c.config, DSN: c.DSN, Verbose: c.Verbose}
	log, progress := p.outputs(false)
	ctx := untilSignal()
	return reports(p, style{JSON: c.JSON}, c.BlobDir, log, func(target target.Target, log *slog.Logger) (*du.Report, error) {
		return du.Storage(ctx, target, du.Options{
			Zoid: c.zoid, Depth: c.Depth, Max: c.Max, Sort: du.Key(c.Sort), ByClass: c.ByClass,
			Version: relpackVersion(), Migrations: migrations.Files, Progress: progress,
		}, log)
	})
}
