package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/figures"
	"relpack/runner/page"
	"relpack/runner/target"
)

type reportCommand struct {
	place   `embed:""`
	HTML    string `name:"html" placeholder:"FILE" help:"Write one HTML page that needs no other file and no network; - prints it."`
	Quiet   bool   `short:"q" help:"Print nothing when all goes well."`
	JSON    bool   `name:"json" help:"Print what is on the page as one JSON document."`
	BlobDir string `placeholder:"DIR" help:"The shared blob directory, when there is no CONFIG."`
	Depth   int    `default:"5" placeholder:"N" help:"Go so many levels down (default 5)."`
	Max     int    `default:"20" placeholder:"N" help:"Of what is in an object, show the N largest (default 20); all are counted."`
}

// Validate is called by kong.
func (c *reportCommand) Validate() error {
	switch {
	case c.HTML == "" && !c.JSON:
		return errors.New("name a file: --html FILE")
	case c.HTML == "-" && c.JSON:
		return errors.New("only one of --html - and --json can print")
	case c.Depth < 1 || c.Max < 1:
		return errors.New("--depth and --max take numbers from 1 on")
	}
	if info, err := os.Stat(c.HTML); c.HTML != "-" && err == nil && !info.Mode().IsRegular() {
		what := "no regular file"
		if info.IsDir() {
			what = "a directory"
		}
		return fmt.Errorf("--html takes a file: %s is %s", c.HTML, what)
	}
	return nil
}

// Run looks at each storage in turn, and writes one page of all.
func (c *reportCommand) Run() error {
	log, progress := c.outputs(c.Quiet)
	ctx := untilSignal()
	all, failed := []*page.Report{}, 0
	err := c.each(c.BlobDir, log, func(target target.Target, log *slog.Logger) error {
		r, err := page.Storage(ctx, target, page.Options{
			Depth: c.Depth, Max: c.Max, Version: relpackVersion(), Migrations: migrations.Files, Progress: progress,
		}, log)
		if err != nil && ctx.Err() != nil {
			return &fault.Error{Code: fault.ExitInterrupted, Err: errors.New("interrupted: nothing was written")}
		}
		if all = append(all, r); err != nil {
			failed++
		}
		return err
	})
	var ended exit
	if len(all) == 0 || (err != nil && (ctx.Err() != nil || !errors.As(err, &ended))) {
		return err
	}
	if err := c.write(all); err != nil {
		return err
	}
	if c.HTML != "" && c.HTML != "-" && (failed > 0 || !c.Quiet) {
		fmt.Fprintf(os.Stderr, "relpack: wrote %s: %d of %s\n", c.HTML, len(all)-failed, figures.Plural(int64(len(all)), "storage"))
	}
	return err
}

// write replaces the file as a whole: who looks at it sees the old page or the new one.
func (c *reportCommand) write(all []*page.Report) error {
	if c.JSON {
		out := json.NewEncoder(os.Stdout)
		out.SetIndent("", "  ")
		if err := out.Encode(all); err != nil {
			return err
		}
	}
	if c.HTML == "" {
		return nil
	}
	var text bytes.Buffer
	if err := page.Write(&text, all); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	if c.HTML == "-" {
		_, err := os.Stdout.Write(text.Bytes())
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(c.HTML), ".relpack-*")
	if err != nil {
		if path, ok := errors.AsType[*fs.PathError](err); ok {
			err = path.Err
		}
		return fmt.Errorf("write %s: %w", c.HTML, err)
	}
	defer func() { _ = os.Remove(file.Name()) }()
	_, err = file.Write(text.Bytes())
	if err = errors.Join(err, file.Chmod(0o644), file.Close()); err == nil {
		err = os.Rename(file.Name(), c.HTML)
	}
	if err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}
