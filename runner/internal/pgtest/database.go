package pgtest

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Database is a test's own database.
type Database struct {
	Name string
	DSN  string // for psql, libpq, pgx and relpack
}

// cleanupTimeout bounds what happens after a test, whose context is over then.
const cleanupTimeout = time.Minute

// NewDatabase copies the package's template. The copy is dropped when the test
// passes. After a failure it stays if its server outlives the tests, which is
// so with RELPACK_TEST_DSN and RELPACK_KEEP=1, and the test's log tells how to
// connect to it.
func NewDatabase(t testing.TB) *Database {
	t.Helper()
	s := current
	if s == nil {
		t.Fatal("pgtest: TestMain of this package has to call pgtest.Main")
	}
	name := fmt.Sprintf("%s_%d_%s", s.run, s.count.Add(1), tame(t.Name()))
	name = strings.TrimRight(name[:min(len(name), 63)], "_")
	statement := "CREATE DATABASE " + identifier(name) + " TEMPLATE " + identifier(s.template) + " STRATEGY " + s.strategy
	if err := s.exec(t.Context(), statement); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	if isHostile() {
		if err := s.beHostile(t.Context(), name); err != nil {
			t.Fatalf("pgtest: %v", err)
		}
	}
	db := &Database{Name: name, DSN: withDatabase(s.dsn, name)}
	t.Cleanup(func() {
		if t.Failed() && (s.server == nil || s.keep) {
			t.Logf("the database of this test is kept: psql \"%s\"", db.DSN)
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		if err := s.exec(ctx, "DROP DATABASE IF EXISTS "+identifier(name)+" WITH (FORCE)"); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return db
}

var untame = regexp.MustCompile(`[^a-z0-9]+`)

// tame makes a test's name one that psql takes without quotes.
func tame(name string) string {
	return strings.Trim(untame.ReplaceAllString(strings.ToLower(name), "_"), "_")
}

// Connect opens a connection that is closed at the end of the test.
func (d *Database) Connect(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := Connect(t.Context(), d.DSN)
	if err != nil {
		t.Fatalf("pgtest: connect to %s: %v", d.DSN, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		// The error is of no interest: a test may have cut the connection.
		_ = conn.Close(ctx)
	})
	return conn
}

// CreateDatabase creates an empty database on the server of a connection
// string, outside any test. drop removes it, clients or not.
func CreateDatabase(ctx context.Context, dsn, name string) (db *Database, drop func(context.Context) error, err error) {
	s := &suite{dsn: dsn}
	if err := s.exec(ctx, "CREATE DATABASE "+identifier(name)); err != nil {
		return nil, nil, err
	}
	drop = func(ctx context.Context) error {
		return s.exec(ctx, "DROP DATABASE IF EXISTS "+identifier(name)+" WITH (FORCE)")
	}
	return &Database{Name: name, DSN: withDatabase(dsn, name)}, drop, nil
}
