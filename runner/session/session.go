package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/target"
)

// Close ends a session, whatever it is doing.
func Close(conn *pgx.Conn) {
	// The session may be in the middle of something; it ends either way.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

// Origin asks a storage's server which database it is. relpack has to be installed.
func Origin(ctx context.Context, t target.Target, purpose string, log *slog.Logger) (origin string, err error) {
	conn, err := Open(ctx, t, purpose, log)
	if err != nil {
		return "", err
	}
	defer Close(conn)
	err = conn.QueryRow(ctx, "SELECT relpack.origin()").Scan(&origin)
	return origin, err
}

// A Querier is a session, or a transaction in it.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Rows collects the rows of a query.
func Rows[T any](ctx context.Context, db Querier, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scan)
}

// PackLockHolder is a query for LockedBy: who else holds the pack lock.
const PackLockHolder = "SELECT pid, coalesce(application, '') FROM relpack.pack_lock_holder() WHERE pid <> pg_backend_pid() LIMIT 1"

// Locked is the error for a pack lock that another session holds.
func Locked(ctx context.Context, conn *pgx.Conn) error {
	return LockedBy(ctx, conn, "another pack is running", PackLockHolder)
}

// LockedBy is the error for a lock; the query tells the process id and the
// application of who holds it. Nobody may: the lock was let go, or is that of a
// prepared transaction.
func LockedBy(ctx context.Context, conn *pgx.Conn, what, query string, args ...any) error {
	var pid int
	var application string
	if err := conn.QueryRow(ctx, query, args...).Scan(&pid, &application); err == nil {
		what = fmt.Sprintf("%s: pid %d, application %q", what, pid, application)
	}
	return &fault.Error{Code: fault.ExitLocked, Err: errors.New(what), Hint: "Try again when it has ended"}
}
