// Command withpg runs a command with a private PostgreSQL beside it:
//
//	go run ./runner/internal/pgtest/withpg [-set name=value]... [-durable] [-version N] [-extension name]... -- go test ./...
//
// The command finds the server in RELPACK_TEST_DSN and its programs in
// RELPACK_PGBIN. If RELPACK_TEST_DSN is set already, no server is started,
// unless a version is wanted: that one is, with programs that are fetched below
// .cache where they are not installed. withpg ends with the command's exit code.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"relpack/runner/internal/pgtest"
)

const variable = "RELPACK_TEST_DSN"

func main() {
	code, err := run()
	if err != nil {
		fmt.Fprintf(os.Stderr, "withpg: %v\n", err)
	}
	os.Exit(code)
}

// settings collects the -set flags.
type settings map[string]string

func (s settings) String() string { return "" }

func (s settings) Set(text string) error {
	name, value, found := strings.Cut(text, "=")
	if !found {
		return fmt.Errorf("%q is not name=value", text)
	}
	s[name] = value
	return nil
}

func run() (int, error) {
	extra := settings{}
	var extensions []string
	flag.Var(extra, "set", "a parameter of the server, `name=value`; may be repeated")
	durable := flag.Bool("durable", false, "flush to disk as in production (for benchmarks)")
	version := flag.Int("version", 0, "the major version of PostgreSQL to run; 0: what is there")
	flag.Func("extension", "install an extension first, if it is missing and this user may: the `name` in Debian's postgresql-15-name; may be repeated", func(name string) error {
		extensions = append(extensions, name)
		return nil
	})
	flag.Parse()
	if flag.NArg() == 0 {
		return 2, errors.New("no command given")
	}
	// The command gets a terminal's Ctrl-C by itself; the server has to outlive it.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)

	if os.Getenv(variable) != "" && *version == 0 {
		return command(flag.Args(), signals)
	}
	keep := os.Getenv("RELPACK_KEEP") == "1"
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	started := make(chan struct{})
	go func() { // Ctrl-C while the server is still on its way
		select {
		case <-signals:
			cancel()
		case <-started:
		}
	}()
	server, err := start(ctx, *version, pgtest.Options{Settings: extra, Extensions: extensions, Durable: *durable, Keep: keep})
	close(started)
	if err != nil {
		return 1, err
	}
	for name, value := range map[string]string{variable: server.DSN("postgres"), "RELPACK_PGBIN": server.BinDir()} {
		if err := os.Setenv(name, value); err != nil {
			return 1, errors.Join(err, server.Close())
		}
	}
	code, err := command(flag.Args(), signals)
	if keep && code != 0 {
		fmt.Fprintf(os.Stderr, "withpg: the private server in %s is kept: psql \"%s\"\n", server.Dir(), server.DSN("postgres"))
		return code, err
	}
	return code, errors.Join(err, server.Close())
}

const cache = ".cache/postgresql"

func start(ctx context.Context, version int, options pgtest.Options) (*pgtest.Server, error) {
	if version != 0 {
		var err error
		if options.Programs, err = pgtest.FindVersion(ctx, version, cache, os.Stderr); err != nil {
			return nil, err
		}
	}
	return pgtest.Start(ctx, options)
}

// command runs the command to its end, passing on what asks it to stop.
func command(args []string, signals <-chan os.Signal) (int, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case received := <-signals:
			if received != syscall.SIGINT { // that one went to the whole group
				_ = cmd.Process.Signal(received) // it may have ended meanwhile
			}
		case err := <-ended:
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				if exit.ExitCode() < 0 {
					return 1, fmt.Errorf("%s: %w", args[0], err)
				}
				return exit.ExitCode(), nil
			}
			if err != nil {
				return 1, err
			}
			return 0, nil
		}
	}
}
