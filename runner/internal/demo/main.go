// Command demo packs a real sample database and shows every step: "make demo".
//
// It starts a private PostgreSQL, loads a small site as RelStorage 4.2 stored
// it, builds relpack and runs it as an operator would, each command before its
// output. It checks what is left in the database and on disk after every pack,
// and fails if that isn't what zodbpack would have left. With RELPACK_KEEP=1
// the database stays, to look around in.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"relpack/runner/fault"
	"relpack/runner/internal/pgtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := demo(ctx)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "\ndemo: interrupted, everything is cleaned up")
		os.Exit(fault.ExitInterrupted)
	default:
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(fault.ExitFailure)
	}
}

func demo(ctx context.Context) (err error) {
	keep := os.Getenv("RELPACK_KEEP") == "1"
	server, err := pgtest.Start(ctx, pgtest.Options{Keep: keep})
	if err != nil {
		return err
	}
	defer func() {
		if err == nil && keep {
			return
		}
		err = errors.Join(err, server.Close())
	}()
	site, err := newSite(ctx, server)
	if err != nil {
		return err
	}
	if err := site.tell(ctx); err != nil {
		return err
	}
	if keep {
		site.sayKept()
	}
	return nil
}
