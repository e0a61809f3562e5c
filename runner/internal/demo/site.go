package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
)

// role owns the database, as the role of a site does: no superuser is needed.
const role = "zodb"

// site is the sample site on its server, and a directory with its files.
type site struct {
	server *pgtest.Server
	dir    string // configuration, blobs, relpack itself; the commands run here
	port   string
	psql   string // "" where there is none
	screen screen
}

func newSite(ctx context.Context, server *pgtest.Server) (*site, error) {
	// In the server's directory, which is removed at the end.
	s := &site{server: server, dir: filepath.Join(server.Dir(), "site"), screen: newScreen()}
	s.screen.say("A private PostgreSQL %d, started for this demo; building relpack and loading the sample site ...", server.Version())
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make a directory for the site: %w", err)
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(s.dir, "relpack"), "relpack/cmd/relpack")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build relpack: %w\n%s", err, out)
	}
	if psql, err := pgtest.Psql(pgtest.Programs{Dir: server.BinDir()}); err == nil {
		s.psql = psql
	}
	if err := s.load(ctx); err != nil {
		return nil, fmt.Errorf("load the sample site: %w", err)
	}
	return s, s.configure()
}

// load creates the role, its database and the storage.
func (s *site) load(ctx context.Context) error {
	super, err := pgx.Connect(ctx, s.server.TCPDSN("postgres"))
	if err != nil {
		return err
	}
	s.port = fmt.Sprint(super.Config().Port)
	for _, statement := range []string{
		"CREATE ROLE " + role + " LOGIN",
		"CREATE DATABASE site OWNER " + role,
	} {
		if _, err := super.Exec(ctx, statement); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", statement, err), super.Close(ctx))
		}
	}
	if err := super.Close(ctx); err != nil {
		return err
	}
	return s.connected(ctx, func(conn *pgx.Conn) error {
		if err := zodbtest.CreateStorage(ctx, conn, zodbtest.V42); err != nil {
			return err
		}
		return zodbtest.LoadSmall(ctx, conn, s.blobs())
	})
}

// connected does something over a connection of its own: one that stayed would
// be a client that relpack warns of.
func (s *site) connected(ctx context.Context, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%s user=%s dbname=site", s.port, role))
	if err != nil {
		return err
	}
	if err := errors.Join(do(conn), conn.Close(ctx)); err != nil {
		return err
	}
	return s.othersGone(ctx)
}

// othersGone waits until the server has seen the last of closed connections.
func (s *site) othersGone(ctx context.Context) error {
	super, err := pgx.Connect(ctx, s.server.TCPDSN("postgres"))
	if err != nil {
		return err
	}
	for others := 1; others > 0 && err == nil; {
		err = super.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE datname = 'site' AND backend_type = 'client backend'").Scan(&others)
		if others > 0 {
			time.Sleep(10 * time.Millisecond)
		}
	}
	return errors.Join(err, super.Close(ctx))
}

func (s *site) blobs() string { return filepath.Join(s.dir, "blobs") }

// configure writes what an operator has already: the file that zodbpack takes.
func (s *site) configure() error {
	text := fmt.Sprintf(`<relstorage site>
  keep-history false
  shared-blob-dir true
  blob-dir blobs
  <postgresql>
    dsn dbname='site' user='%s' host='127.0.0.1' port='%s'
  </postgresql>
</relstorage>
`, role, s.port)
	if err := os.WriteFile(filepath.Join(s.dir, "site.conf"), []byte(text), 0o644); err != nil {
		return fmt.Errorf("write a configuration: %w", err)
	}
	return nil
}

// environment leads relpack's commands and psql to the site, whatever the
// caller's PG variables say.
func (s *site) environment() []string {
	var env []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "PG") && !strings.HasPrefix(entry, "PATH=") && !strings.HasPrefix(entry, "LC_") {
			env = append(env, entry)
		}
	}
	return append(env, "PATH="+s.dir+string(os.PathListSeparator)+os.Getenv("PATH"), "LC_ALL=C",
		"PGHOST=127.0.0.1", "PGPORT="+s.port, "PGUSER="+role, "PGDATABASE=site", "PGCLIENTENCODING=UTF8")
}

// sayKept tells how to look around, and how to end it.
func (s *site) sayKept() {
	s.screen.title("The database stays")
	s.screen.say("psql 'host=127.0.0.1 port=%s user=%s dbname=site'", s.port, role)
	s.screen.say("cd %s; ./relpack pack --days -1 site.conf", s.dir)
	s.screen.say("\nTo end it:\nkill -INT $(head -n 1 %[1]s/data/postmaster.pid); sleep 1; rm -r %[1]s", s.server.Dir())
}
