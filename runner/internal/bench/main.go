// Command bench measures relpack on a generated database (see zodbgen):
//
//	go run ./runner/internal/bench [-objects N] [-seed S] [-only phases] [-json file] [-dsn dsn] [-keep]
//	go run ./runner/internal/bench extremes [-objects N] [-only shapes] [-json file]
//	go run ./runner/internal/bench real [-objects N] [-seed S] [-rounds N] [-cache dir] [-json file]
//	go run ./runner/internal/bench history [-objects N] [-seed S] [-rounds N] [-cache dir] [-json file]
//	go run ./runner/internal/bench past [-objects N] [-seed S] [-revisions N] [-days D] [-bare=false] [-json file] [-dsn dsn]
//	go run ./runner/internal/bench compare base.json new.json
//	go run ./runner/internal/bench generate -dsn dsn [-objects N] [-seed S]
//	go run ./runner/internal/bench change -dsn dsn -fraction F [-after F,F] [-objects N] [-seed S]
//
// Without -dsn it starts a private PostgreSQL with the default configuration
// save shared_buffers=1GB and max_wal_size=8GB, on the same machine, that
// flushes to disk as in production. The program measured is the one that
// -relpack names (default bin/relpack), in a process of its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "generate":
			return generate(ctx, args[1:])
		case "change":
			return change(ctx, args[1:])
		case "real":
			return onReal(ctx, args[1:])
		case "history":
			return onHistory(ctx, args[1:])
		case "past":
			return onPast(ctx, args[1:])
		case "extremes":
			return extremes(ctx, args[1:])
		case "compare":
			return compare(args[1:])
		}
	}
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	return run(ctx, o)
}

// options are the command line of a run.
type options struct {
	objects int64
	seed    uint64
	only    []string // phases; empty: all
	json    string   // file to write the figures to
	dsn     string   // superuser's, of a running server
	keep    bool     // leave server and database
	days    float64  // that packs keep; 0: nothing that they need not keep
	relpack string   // the program
	peer    string   // directory for RelStorage; "": no comparison with zodbpack
}

func parseOptions(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	objects, seed := sizeFlags(f)
	only := f.String("only", "", "measure these `phases` only, separated by commas: "+strings.Join(phaseNames(), ", "))
	f.StringVar(&o.json, "json", "", "write the figures to this `file`")
	f.StringVar(&o.dsn, "dsn", "", "use a running server, by a superuser's connection `string`, not a private one")
	f.BoolVar(&o.keep, "keep", false, "leave the database, and a private server running")
	f.StringVar(&o.relpack, "relpack", "bin/relpack", "the `program` to measure")
	f.StringVar(&o.peer, "peer", "", "run zodbpack beside relpack; RelStorage is installed into this `directory` if it isn't there")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	o.objects, o.seed = *objects, *seed
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	return o, knownPhases(o.only)
}

func sizeFlags(f *flag.FlagSet) (objects *int64, seed *uint64) {
	return f.Int64("objects", 1_000_000, "`number` of objects to generate"),
		f.Uint64("seed", 1, "another `number` makes another database")
}

// onServer measures on a server, prints the figures, and writes them where they are to be.
func onServer(ctx context.Context, name string, args []string, flags func(*flag.FlagSet, *options), measure func(*bench) error) (err error) {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	o := options{}
	objects, seed := sizeFlags(f)
	flags(f, &o)
	f.StringVar(&o.relpack, "relpack", "bin/relpack", "the `program` to measure")
	f.StringVar(&o.json, "json", "", "write the figures to this `file`")
	f.StringVar(&o.dsn, "dsn", "", "use a running server, by a superuser's connection `string`, not a private one")
	if err := f.Parse(args); err != nil {
		return err
	}
	o.objects, o.seed = *objects, *seed
	b := &bench{options: o, results: newResults(o)}
	stop, err := b.server(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	err = measure(b)
	// What was measured before something failed is worth seeing.
	fmt.Println()
	err = errors.Join(err, b.write(os.Stdout))
	if o.json != "" && err == nil {
		err = b.save(o.json)
	}
	return err
}
