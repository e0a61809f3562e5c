package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"relpack/runner/fault"
	"relpack/runner/figures"
	"relpack/runner/target"
)

// place says where the storages are, and how much to say about them.
type place struct {
	Config  string `arg:"" optional:"" help:"ZConfig file with one or more <relstorage> sections."`
	DSN     string `name:"dsn" placeholder:"DSN" help:"Database, as libpq's keywords or URI."`
	Verbose bool   `short:"v" help:"Show every statement."`
}

// An exit is the exit code of a command that has said why.
type exit int

// Error is for whoever does not know.
func (e exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// each does something to each storage in turn. An error is one line; it doesn't
// keep the next storage from its turn, an interruption does. The worst one makes
// the exit that is returned.
func (p place) each(blobDir string, log *slog.Logger, do func(target.Target, *slog.Logger) error) error {
	targets, err := target.Targets(p.Config, p.DSN, blobDir)
	if err != nil {
		return err
	}
	start, code := time.Now(), fault.ExitDone
	for _, target := range targets {
		named, prefix := log, "relpack: "
		if target.Name != "" {
			named, prefix = log.With(storageKey, target.Name), prefix+target.Name+": "
		}
		err := do(target, named)
		if err != nil {
			// What a message tells of a place in the file, its name may have told.
			message := strings.TrimPrefix(fault.Message(err), target.Name+": ")
			fmt.Fprintf(os.Stderr, "%s%s\n", prefix, message)
		}
		code = fault.WorseExit(code, fault.ExitCode(err))
		if code == fault.ExitInterrupted {
			break
		}
	}
	log.Debug(fmt.Sprintf("took %s, peak memory %s",
		time.Since(start).Round(time.Millisecond), humanize.IBytes(uint64(figures.PeakMemory()))))
	if code != fault.ExitDone {
		return exit(code)
	}
	return nil
}

// A report can be read by people, and by programs as JSON.
type report interface {
	Write(w io.Writer) error
	Empty() bool // there is nothing to tell
}

// A style says how reports are printed.
type style struct {
	Quiet bool `short:"q" help:"Print nothing when all goes well."`
	JSON  bool `name:"json" help:"Print one JSON document at the end: an array with an entry for each storage."`
}

// reports is each with a report: printed as it comes, an empty line between two, or
// all of them as one document at the end.
func reports[R report](p place, s style, blobDir string, log *slog.Logger, do func(target.Target, *slog.Logger) (R, error)) error {
	all := []R{}
	err := p.each(blobDir, log, func(target target.Target, log *slog.Logger) error {
		r, err := do(target, log)
		all = append(all, r)
		if s.JSON || s.Quiet || r.Empty() {
			return err
		}
		if len(all) > 1 {
			fmt.Println()
		}
		return errors.Join(err, r.Write(os.Stdout))
	})
	var ended exit
	if !s.JSON || (err != nil && !errors.As(err, &ended)) {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	if failed := out.Encode(all); failed != nil {
		return failed
	}
	return err
}

// untilSignal is a context that the first signal cancels.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	onSignals(cancel, func() {})
	return ctx
}
