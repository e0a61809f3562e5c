package main

import (
	"context"
	"encoding/json"
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

// each does something to each storage in turn. An error is one line; it doesn't
// keep the next storage from its turn, an interruption does.
func (p place) each(blobDir string, log *slog.Logger, do func(target.Target, *slog.Logger) error) (int, error) {
	targets, err := target.Targets(p.Config, p.DSN, blobDir)
	if err != nil {
		return 0, err
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
	return code, nil
}

// A report can be read by people and by programs.
type report interface{ Write(w io.Writer) error }

// show prints one report for people, an empty line between two.
func show(r report, first bool) error {
	if !first {
		fmt.Println()
	}
	return r.Write(os.Stdout)
}

// showJSON prints all reports as one document.
func showJSON[R any](reports []R) error {
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	return out.Encode(append([]R{}, reports...))
}

// untilSignal is a context that the first signal cancels.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	onSignals(cancel, func() {})
	return ctx
}
