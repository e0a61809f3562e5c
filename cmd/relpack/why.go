package main

import (
	"errors"
	"fmt"
	"log/slog"

	"relpack/migrations"
	"relpack/runner/target"
	"relpack/runner/why"
	"relpack/runner/zoid"
)

type whyCommand struct {
	Words   []string `arg:"" name:"config-or-zoid" help:"Object ids: 6699, 0x1a2b, or b'\\x00...' as tracebacks print it; and the ZConfig file."`
	DSN     string   `name:"dsn" placeholder:"DSN" help:"Database, as libpq's keywords or URI."`
	Without []string `sep:"none" placeholder:"ZOID" help:"Also tell whether they are alive only because of this object, and how much would be garbage without it."`
	JSON    bool     `name:"json" help:"Print one JSON document: an array with an entry for each storage."`
	Verbose bool     `short:"v" help:"Show every statement."`

	config  string
	zoids   []int64
	without *int64
}

// Validate is called by kong. A file whose name is an object id is "./6699".
func (c *whyCommand) Validate() error {
	for _, word := range c.Words {
		id, err := zoid.Parse(word)
		switch {
		case err == nil:
			c.zoids = append(c.zoids, id)
		case c.config == "":
			c.config = word
		default:
			return err
		}
	}
	if len(c.Without) > 1 {
		return errors.New("--without takes one object: ask for each by itself")
	}
	for _, word := range c.Without {
		id, err := zoid.Parse(word)
		if err != nil {
			return fmt.Errorf("--without: %w", err)
		}
		if id == 0 {
			return errors.New("--without: everything is alive because of the root")
		}
		c.without = &id
	}
	if len(c.zoids) == 0 {
		return errors.New("which object? Give its id: 6699, 0x1a2b, or b'\\x00...' as tracebacks print it")
	}
	return nil
}

// Run asks each storage in turn.
func (c *whyCommand) Run() error {
	p := place{Config: c.config, DSN: c.DSN, Verbose: c.Verbose}
	log, progress := p.outputs(false)
	ctx := untilSignal()
	return reports(p, style{JSON: c.JSON}, "", log, func(target target.Target, log *slog.Logger) (*why.Report, error) {
		return why.Ask(ctx, target, why.Options{
			Zoids: c.zoids, Without: c.without, Version: relpackVersion(), Migrations: migrations.Files, Progress: progress,
		}, log)
	})
}
