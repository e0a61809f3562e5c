package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// suite is what the tests of one package share.
type suite struct {
	server   *Server // nil: somebody else's, by RELPACK_TEST_DSN
	dsn      string  // of the maintenance database
	run      string  // names everything that this process creates
	template string
	strategy string // how the template is copied
	count    atomic.Int64
	keep     bool // RELPACK_KEEP=1
}

// current is set by Main before the first test runs.
var current *suite

// Main runs the tests of a package against the server of RELPACK_TEST_DSN, or
// a private one, and returns the exit code: a TestMain calls os.Exit with it.
// prepare fills the template that NewDatabase copies; nil leaves it empty.
func Main(m *testing.M, prepare func(ctx context.Context, conn *pgx.Conn) error) int {
	ctx := context.Background()
	s, err := openSuite(ctx)
	if err != nil {
		fmt.Fprintf(os.Stderr, "pgtest: %v\n", err)
		return 1
	}
	if err := s.makeTemplate(ctx, prepare); err != nil {
		fmt.Fprintf(os.Stderr, "pgtest: prepare the template database: %v\n", errors.Join(err, s.close(ctx, 0)))
		return 1
	}
	current = s
	code := m.Run()
	if err := s.close(ctx, code); err != nil {
		fmt.Fprintf(os.Stderr, "pgtest: %v\n", err)
		if code == 0 {
			code = 1
		}
	}
	return code
}

func openSuite(ctx context.Context) (*suite, error) {
	s := &suite{
		dsn:  os.Getenv("RELPACK_TEST_DSN"),
		run:  fmt.Sprintf("rt_%d_%s", os.Getpid(), time.Now().Format("150405")),
		keep: os.Getenv("RELPACK_KEEP") == "1",
	}
	if s.dsn != "" {
		return s, nil
	}
	server, err := Start(ctx, Options{Keep: s.keep})
	if err != nil {
		return nil, err
	}
	s.server, s.dsn = server, server.DSN("postgres")
	return s, nil
}

// makeTemplate creates the database that every test copies. Nobody may connect
// to it afterwards, so that copying never meets "being accessed by other
// users"; several copies may be made at once.
func (s *suite) makeTemplate(ctx context.Context, prepare func(ctx context.Context, conn *pgx.Conn) error) error {
	// To copy its files takes half as long as to log its pages, where a checkpoint flushes
	// nothing.
	if err := s.scan(ctx, "SELECT CASE current_setting('fsync') WHEN 'off' THEN 'file_copy' ELSE 'wal_log' END", &s.strategy); err != nil {
		return err
	}
	name := s.run + "_template"
	if err := s.exec(ctx, "CREATE DATABASE "+identifier(name)); err != nil {
		return err
	}
	s.template = name
	if prepare != nil {
		conn, err := pgx.Connect(ctx, withDatabase(s.dsn, name))
		if err != nil {
			return err
		}
		if err := errors.Join(prepare(ctx, conn), conn.Close(ctx)); err != nil {
			return err
		}
	}
	return s.exec(ctx, "ALTER DATABASE "+identifier(name)+" ALLOW_CONNECTIONS false")
}

func (s *suite) close(ctx context.Context, code int) error {
	if s.server != nil && s.keep && code != 0 {
		fmt.Fprintf(os.Stderr, "pgtest: the private server is kept: psql \"%s\"\n", s.dsn)
		fmt.Fprintf(os.Stderr, "pgtest: its log is %s; kill -INT $(head -n 1 %s/postmaster.pid) stops it\n",
			s.server.LogFile(), s.server.dataDir())
		return nil
	}
	if s.server != nil {
		return s.server.Close()
	}
	if s.template == "" {
		return nil
	}
	return s.exec(ctx, "DROP DATABASE IF EXISTS "+identifier(s.template)+" WITH (FORCE)")
}

// exec runs one statement in the maintenance database, over a connection of
// its own: CREATE and DROP DATABASE of parallel tests don't wait for each other.
func (s *suite) exec(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, s.dsn)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	if err != nil {
		err = fmt.Errorf("%s: %w", statement, err)
	}
	return errors.Join(err, conn.Close(ctx))
}

// scan reads a value in the maintenance database.
func (s *suite) scan(ctx context.Context, query string, into any) error {
	conn, err := pgx.Connect(ctx, s.dsn)
	if err != nil {
		return err
	}
	return errors.Join(conn.QueryRow(ctx, query).Scan(into), conn.Close(ctx))
}

// trailingDatabase is how DSN ends.
var trailingDatabase = regexp.MustCompile(`\s+dbname=[^'\s]+$`)

// withDatabase is dsn with another database: of a keyword given twice the last
// counts, and so it does in the query of a URI.
func withDatabase(dsn, database string) string {
	if strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://") {
		base, query, found := strings.Cut(dsn, "?")
		if found {
			query = "&" + query
		}
		scheme, rest, _ := strings.Cut(base, "://")
		host, _, _ := strings.Cut(rest, "/")
		return scheme + "://" + host + "/" + database + strings.Replace(query, "&", "?", 1)
	}
	return trailingDatabase.ReplaceAllString(dsn, "") + " dbname=" + quote(database)
}

func identifier(name string) string { return pgx.Identifier{name}.Sanitize() }
