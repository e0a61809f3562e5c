package runner

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// cancelPatience is how long the server has to answer that it stopped waiting.
const cancelPatience = 5 * time.Second

// makeDurable commits something durably, on synchronous standbys too, and with
// it all that was committed before, whether that waited or not: after a failover
// no object comes back whose files are gone. It holds no lock that the site
// wants, and a session of its own: a standby may have gone away, and the commit
// waits for it. why is not empty if nobody confirmed it in time.
func (p *pack) makeDurable(ctx context.Context) (why string, err error) {
	conn, err := p.session(ctx, "commit")
	if err != nil {
		return "", err
	}
	defer closeSession(conn)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.commitDurably(ctx, conn) }()
	var timeout <-chan time.Time
	if limit := p.target.CommitLockTimeout; limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		timeout = timer.C
	}
	interrupted := false
	select {
	case err := <-done:
		return "", err
	case <-p.options.Stop:
		interrupted = true
	case <-timeout:
	}
	// The server stops waiting; the commit itself is done, here.
	asked, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelPatience)
	defer stop()
	_ = conn.PgConn().CancelRequest(asked)
	select {
	case <-done:
	case <-asked.Done():
		cancel()
		<-done
	}
	if interrupted {
		return "", errInterrupted
	}
	var standbys string
	if err := p.conn.QueryRow(ctx, "SELECT current_setting('synchronous_standby_names')").Scan(&standbys); err != nil {
		return "", fmt.Errorf("look at synchronous_standby_names: %w", err)
	}
	return fmt.Sprintf("no standby confirmed their deletion within %v (commit-lock-timeout; synchronous_standby_names is '%s')",
		p.target.CommitLockTimeout, standbys), nil
}

func (p *pack) commitDurably(ctx context.Context, conn *pgx.Conn) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		// No message of a wait that is given up: the report has one.
		if _, err := tx.Exec(ctx, "SET LOCAL client_min_messages = error; SET LOCAL synchronous_commit = on"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "UPDATE relpack.run SET deleted = $2 WHERE id = $1", p.run, p.report.Deleted.Objects)
		return err
	})
	if err != nil {
		return fmt.Errorf("make deletions durable: %w", err)
	}
	return nil
}
