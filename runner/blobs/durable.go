package blobs

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/session"
)

// cancelPatience is how long the server has to answer that it stopped waiting.
const cancelPatience = 5 * time.Second

// makeDurable commits something durably, on synchronous standbys too, and with
// it all that was committed before, whether that waited or not: after a failover
// no object comes back whose files are gone. It holds no lock that the site
// wants, and a session of its own: a standby may have gone away, and the commit
// waits for it. why is not empty if nobody confirmed it in time.
func (r *Remover) makeDurable(ctx context.Context) (why string, err error) {
	conn, err := r.Session(ctx, "commit")
	if err != nil {
		return "", err
	}
	defer session.Close(conn)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.commitDurably(ctx, conn) }()
	var timeout <-chan time.Time
	if limit := r.Target.CommitLockTimeout; limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		timeout = timer.C
	}
	interrupted := false
	select {
	case err := <-done:
		return "", err
	case <-r.Stop:
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
		return "", fault.Interrupted
	}
	var standbys string
	if err := r.Conn.QueryRow(ctx, "SELECT current_setting('synchronous_standby_names')").Scan(&standbys); err != nil {
		return "", fmt.Errorf("look at synchronous_standby_names: %w", err)
	}
	return fmt.Sprintf("no standby confirmed their deletion within %v (commit-lock-timeout; synchronous_standby_names is '%s')",
		r.Target.CommitLockTimeout, standbys), nil
}

func (r *Remover) commitDurably(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "SELECT relpack.commit_durably($1, $2, $3)", r.PID, r.Run, r.deleted); err != nil {
		return fmt.Errorf("make deletions durable: %w", err)
	}
	return nil
}
