package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
)

// poolerPatience bounds the look at a pooler, which makes a client wait that it
// has no session for.
const poolerPatience = 5 * time.Second

// checkPooler refuses a pooler that lends its sessions for a transaction or a
// statement at a time (pgbouncer: pool_mode = transaction). The pack lock would
// stay behind in a session that somebody else goes on with. One that lends them
// for as long as a client stays is as good as the server itself.
//
// A pooler gives its clients process ids of its own making. Whether it lends
// sessions is tried out: with a transaction open beside us, ours must not change.
func checkPooler(ctx context.Context, conn *pgx.Conn) error {
	own, err := Backend(ctx, conn)
	if err != nil || own == conn.PgConn().PID() {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, poolerPatience)
	defer cancel()
	lent, err := lendsSessions(ctx, conn, own)
	switch {
	case lent || fault.IsState(err, "08P01"): // it forbids transactions
		return fault.Refuse("Name the server itself, or a pool with pool_mode = session",
			"the connection pooler lends its sessions for a transaction or a statement at a time: relpack's locks need one that stays its own")
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("the connection pooler gave no second session within %v", poolerPatience),
			Hint: "relpack needs six at a time: make the pool larger, or name the server itself"}
	case err != nil:
		return fmt.Errorf("try out the connection pooler: %w", err)
	}
	return nil
}

func lendsSessions(ctx context.Context, conn *pgx.Conn, own uint32) (bool, error) {
	other, err := pgx.ConnectConfig(ctx, conn.Config())
	if err != nil {
		return false, err
	}
	defer Close(other)
	if _, err := other.Exec(ctx, "BEGIN"); err != nil {
		return false, err
	}
	// Asked first: a pool of a single session would let ours wait.
	now, err := Backend(ctx, other)
	lent := now == own
	for looks := 0; err == nil && !lent && looks < 10; looks++ {
		now, err = Backend(ctx, conn)
		lent = now != own
	}
	return lent && err == nil, err
}

// Backend is the process id of the session at the server. Prepared statements
// don't work through every pooler, and pgx's simple protocol not before a session
// is set up (standard_conforming_strings). Before that, the search path may lead
// to a function of this name that somebody else has made.
func Backend(ctx context.Context, conn *pgx.Conn) (uint32, error) {
	var pid uint32
	err := conn.QueryRow(ctx, "SELECT pg_catalog.pg_backend_pid()", pgx.QueryExecModeExec).Scan(&pid)
	return pid, err
}
