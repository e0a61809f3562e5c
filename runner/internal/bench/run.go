package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbgen"
)

// bench is a run: one database, measured phase by phase.
type bench struct {
	options
	*results
	maintenance string // connection string of the server
	database    string
	dsn         string // of the database
	conn        *pgx.Conn
	plan        *zodbgen.Plan
	changes     *zodbgen.Changes
	garbage     int64 // in the database, found or not
	floors      []float64
	changeBoth  func(context.Context) (written int64, err error) // changes relpack's database and zodbpack's alike
}

// A phase measures something. Later ones need what earlier ones have done, and
// needs says which.
type phase struct {
	name  string
	needs []string
	do    func(*bench, context.Context) error
}

var phases = []phase{
	{"generate", nil, (*bench).generate},
	{"floor", nil, (*bench).floor},
	{"decode", nil, (*bench).decode},
	{"first", nil, (*bench).firstPack},
	{"delete", []string{"first"}, (*bench).deletion},
	{"idle", []string{"first", "delete"}, (*bench).idle},
	{"changed", []string{"first", "delete"}, (*bench).changed},
	{"commits", []string{"first"}, (*bench).commits},
	{"upsert", []string{"first"}, (*bench).upsert},
}

func phaseNames() []string {
	var names []string
	for _, p := range phases {
		names = append(names, p.name)
	}
	return names
}

func knownPhases(names []string) error {
	for _, name := range names {
		if !slices.Contains(phaseNames(), name) {
			return fmt.Errorf("there is no phase %q; the phases are %s", name, strings.Join(phaseNames(), ", "))
		}
	}
	return nil
}

// wanted are the phases to run: what is asked for and what that needs.
func (o *options) wanted() map[string]bool {
	wanted := map[string]bool{"generate": true}
	for _, p := range phases {
		if len(o.only) == 0 || slices.Contains(o.only, p.name) {
			wanted[p.name] = true
			for _, name := range p.needs {
				wanted[name] = true
			}
		}
	}
	return wanted
}

func run(ctx context.Context, o options) (err error) {
	if _, err := os.Stat(o.relpack); err != nil {
		return fmt.Errorf("the program to measure: %w (make build)", err)
	}
	b := &bench{options: o, results: newResults(o)}
	stop, err := b.server(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if o.peer != "" {
		err = b.comparePeer(ctx)
	} else {
		err = b.measure(ctx)
	}
	if len(b.Figures) > 0 {
		fmt.Println()
		err = errors.Join(err, b.write(os.Stdout))
	}
	if o.json != "" && err == nil {
		err = b.save(o.json)
	}
	return err
}

// server starts the private server, or looks at the one that is given.
func (b *bench) server(ctx context.Context) (stop func() error, err error) {
	stop = func() error { return nil }
	b.maintenance = b.options.dsn
	if b.maintenance == "" {
		server, err := pgtest.Start(ctx, pgtest.Options{Durable: true, Keep: b.keep,
			Settings: map[string]string{"shared_buffers": "1GB", "max_wal_size": "8GB"}})
		if err != nil {
			return nil, err
		}
		b.maintenance = server.DSN("postgres")
		stop = server.Close
		if b.keep {
			stop = func() error {
				fmt.Printf("\nThe server in %s is kept; kill -INT $(head -n 1 %s/data/postmaster.pid) stops it.\n", server.Dir(), server.Dir())
				return nil
			}
		}
	}
	b.Relpack = b.programVersion(ctx)
	err = connected(ctx, b.maintenance, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT current_setting('server_version'),
			(SELECT string_agg(name || '=' || current_setting(name), ', ' ORDER BY name)
			 FROM pg_settings WHERE name IN ('shared_buffers', 'max_wal_size', 'fsync', 'full_page_writes', 'synchronous_commit', 'work_mem'))`).
			Scan(&b.Server, &b.Settings)
	})
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

// newDatabase creates one for this run.
func (b *bench) newDatabase(ctx context.Context, name string) (dsn string, drop func() error, err error) {
	db, remove, err := pgtest.CreateDatabase(ctx, b.maintenance, name)
	if err != nil {
		return "", nil, err
	}
	return db.DSN, func() error {
		if b.keep {
			fmt.Printf("\nThe database is kept: psql \"%s\"\n", db.DSN)
			return nil
		}
		return remove(context.WithoutCancel(ctx))
	}, nil
}

func (b *bench) measure(ctx context.Context) (err error) {
	b.database = fmt.Sprintf("relpack_bench_%d", os.Getpid())
	dsn, drop, err := b.newDatabase(ctx, b.database)
	if err != nil {
		return err
	}
	b.dsn = dsn
	defer func() { err = errors.Join(err, drop()) }()
	return connected(ctx, b.dsn, func(conn *pgx.Conn) error {
		b.conn = conn
		wanted := b.wanted()
		for _, p := range phases {
			if !wanted[p.name] {
				continue
			}
			start := time.Now()
			fmt.Fprintf(os.Stderr, "%-9s", p.name)
			if err := p.do(b, ctx); err != nil {
				fmt.Fprintln(os.Stderr)
				return fmt.Errorf("%s: %w", p.name, err)
			}
			fmt.Fprintf(os.Stderr, "%8.1f s\n", time.Since(start).Seconds())
		}
		return nil
	})
}
