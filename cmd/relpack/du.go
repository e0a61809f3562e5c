package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"

	"golang.org/x/term"

	"relpack/migrations"
	"relpack/runner/browse"
	"relpack/runner/du"
	"relpack/runner/fault"
	"relpack/runner/target"
	"relpack/runner/why"
	"relpack/runner/zoid"
)

type duCommand struct {
	Words   []string `arg:"" optional:"" name:"config-or-zoid" help:"The ZConfig file; and the id of the object to begin with, which is the root without one: 6699, 0x1a2b, or b'\\x00...'."`
	DSN     string   `name:"dsn" placeholder:"DSN" help:"Database, as libpq's keywords or URI."`
	BlobDir string   `placeholder:"DIR" help:"The shared blob directory, when there is no CONFIG."`
	Depth   int      `default:"2" placeholder:"N" help:"List so many levels (default 2)."`
	Max     int      `default:"10" placeholder:"N" help:"Of what is in an object, list the N largest (default 10); all are counted."`
	Sort    string   `enum:"size,states,history,blobs,objects" default:"size" placeholder:"KEY" help:"Which are largest: by size, which is all of it, by states, history (older revisions), blobs or objects."`
	ByClass bool     `help:"List the classes of all that is in the object."`
	Browser bool     `negatable:"" default:"true" help:"On a terminal, show a browser to go in and out of folders. --no-browser prints a table."`
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
	number, ended := 0, false
	return reports(p, style{JSON: c.JSON}, c.BlobDir, log, func(target target.Target, log *slog.Logger) (*du.Report, error) {
		if number++; ended {
			return &du.Report{}, nil
		}
		o := du.Options{
			Zoid: c.zoid, Depth: c.Depth, Max: c.Max, Sort: du.Key(c.Sort), ByClass: c.ByClass,
			Version: relpackVersion(), Migrations: migrations.Files, Progress: progress,
		}
		if c.browses() {
			o.Browse = func(ctx context.Context, b *du.Browser) error {
				err := browse.Run(ctx, b, browse.Options{Zoid: c.zoid, Sort: du.Key(c.Sort), Number: number, Count: c.storages(),
					Why: func(ctx context.Context, id int64) (string, error) { return askWhy(ctx, target, id) }})
				if ended = errors.Is(err, browse.ErrEnded); ended {
					return nil
				}
				return err
			}
		}
		return du.Storage(ctx, target, o, log)
	})
}

// browses tells whether there is a screen for the browser, and nobody wants a list.
func (c *duCommand) browses() bool {
	return c.Browser && !c.JSON && !c.ByClass && !c.Verbose && os.Getenv("TERM") != "dumb" && isTerminal(os.Stdin) && isTerminal(os.Stdout)
}

// storages is how many there are.
func (c *duCommand) storages() int {
	all, _ := target.Targets(c.config, c.DSN, c.BlobDir) // they were read before
	return len(all)
}

func isTerminal(file *os.File) bool { return term.IsTerminal(int(file.Fd())) }

// askWhy is what "relpack why" prints of an object.
func askWhy(ctx context.Context, target target.Target, id int64) (string, error) {
	r, err := why.Ask(ctx, target, why.Options{Zoids: []int64{id}, Version: relpackVersion(), Migrations: migrations.Files}, slog.New(slog.DiscardHandler))
	if err != nil {
		return "", errors.New(fault.Message(err))
	}
	var text strings.Builder
	err = r.Write(&text)
	return text.String(), err
}
