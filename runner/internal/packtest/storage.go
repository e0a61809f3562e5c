package packtest

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
)

// NewStorage is a database with an empty storage of RelStorage 4.2 and relpack
// installed.
func NewStorage(t testing.TB) (target.Target, *pgx.Conn) {
	t.Helper()
	db := pgtest.NewDatabase(t)
	return target.Target{
		Name: "main", DSN: db.DSN,
		CommitLockTimeout: target.DefaultLockTimeout, BatchTimeout: target.DefaultBatchTimeout,
	}, db.Connect(t)
}

// NewBareStorage is one that relpack has never seen.
func NewBareStorage(t testing.TB) (target.Target, *pgx.Conn) {
	t.Helper()
	target, conn := NewStorage(t)
	Run(t, conn, "SET client_min_messages = warning; DROP SCHEMA relpack CASCADE")
	return target, conn
}

// NewEmptyDatabase holds nothing at all.
func NewEmptyDatabase(t testing.TB) (target.Target, *pgx.Conn) {
	t.Helper()
	target, conn := NewBareStorage(t)
	Run(t, conn, "DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC")
	return target, conn
}

// NewVersion is a storage of an older RelStorage with relpack installed.
func NewVersion(t *testing.T, version zodbtest.Version) (target.Target, *pgx.Conn) {
	t.Helper()
	db := pgtest.NewDatabase(t)
	conn := db.Connect(t)
	Run(t, conn, "SET client_min_messages = warning; DROP SCHEMA relpack CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public")
	if err := zodbtest.CreateStorage(t.Context(), conn, version); err != nil {
		t.Fatal(err)
	}
	if err := zodbtest.Install(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	Run(t, conn, Impatient)
	return target.Target{Name: "main", DSN: db.DSN, CommitLockTimeout: target.DefaultLockTimeout, BatchTimeout: target.DefaultBatchTimeout}, conn
}

// LoadSmall fills a storage with the sample data, and blobDir with its blobs
// unless it is empty.
func LoadSmall(t testing.TB, conn *pgx.Conn, blobDir string) {
	t.Helper()
	if err := zodbtest.LoadSmall(t.Context(), conn, blobDir); err != nil {
		t.Fatal(err)
	}
}

// NewServer is a PostgreSQL of a test's own, which may be stopped and spoilt.
func NewServer(t testing.TB) *pgtest.Server {
	t.Helper()
	server, err := pgtest.Start(t.Context(), pgtest.Options{Settings: map[string]string{"shared_buffers": "32MB", "max_connections": "100"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// Session is one more client of the storage.
func Session(t testing.TB, target target.Target) *pgx.Conn {
	t.Helper()
	conn, err := pgtest.Connect(t.Context(), target.DSN)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	})
	return conn
}

// Set gives a keyword of the connection string another value.
func Set(t target.Target, keyword, value string) target.Target {
	switch {
	case !strings.Contains(t.DSN, "://"):
		t.DSN += " " + keyword + "='" + value + "'"
	case strings.Contains(t.DSN, "?"):
		t.DSN += "&" + keyword + "=" + url.PathEscape(value)
	default:
		t.DSN += "?" + keyword + "=" + url.PathEscape(value)
	}
	return t
}

// MakeStandby lets a stopped server start as a standby without a primary.
func MakeStandby(t *testing.T, dir string) {
	t.Helper()
	file := filepath.Join(dir, "standby.signal")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if err := os.Chown(file, int(owner.Uid), int(owner.Gid)); err != nil {
		t.Fatal(err)
	}
}
