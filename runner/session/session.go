package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
)

// Close ends a session, whatever it is doing.
func Close(conn *pgx.Conn) {
	// The session may be in the middle of something; it ends either way.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = conn.Close(ctx)
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

// Locked says who holds the pack lock.
func Locked(ctx context.Context, conn *pgx.Conn) error {
	var pid int
	var application string
	err := conn.QueryRow(ctx, "SELECT pid, coalesce(application, '') FROM relpack.pack_lock_holder() WHERE pid <> pg_backend_pid() LIMIT 1").Scan(&pid, &application)
	if err != nil {
		return &fault.Error{Code: fault.ExitLocked, Err: errors.New("another pack is running"), Hint: "Try again when it has ended"}
	}
	return &fault.Error{Code: fault.ExitLocked, Err: fmt.Errorf("another pack is running: pid %d, application %q", pid, application),
		Hint: "Try again when it has ended"}
}
