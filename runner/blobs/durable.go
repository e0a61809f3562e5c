package blobs

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/graph"
	"relpack/runner/session"
)

// cancelPatience is how long the server has to answer that it stopped waiting.
const cancelPatience = 5 * time.Second

// makeDurable has what was deleted committed durably.
func (r *Remover) makeDurable(ctx context.Context) (why string, err error) {
	return CommitDurably(ctx, r.Packer, "SELECT relpack.commit_durably($1, $2, $3)", r.PID, r.Run, r.deleted)
}

// CommitDurably commits a statement durably, on synchronous standbys too, and with
// it all that was committed before, whether that waited or not: after a failover
// no object comes back whose files are gone. It holds no lock that the site
// wants, and a session of its own: a standby may have gone away, and the commit
// waits for it. why is not empty if nobody confirmed it in time.
func CommitDurably(ctx context.Context, p *graph.Packer, statement string, args ...any) (why string, err error) {
	conn, err := p.Session(ctx, "commit")
	if err != nil {
		return "", err
	}
	defer session.Close(conn)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- commitDurably(ctx, conn, statement, args) }()
	var timeout <-chan time.Time
	if limit := p.Target.CommitLockTimeout; limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		timeout = timer.C
	}
	interrupted := false
	select {
	case err := <-done:
		return "", err
	case <-p.Stop:
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
	if err := p.Conn.QueryRow(ctx, "SELECT current_setting('synchronous_standby_names')").Scan(&standbys); err != nil {
		return "", fmt.Errorf("look at synchronous_standby_names: %w", err)
	}
	return fmt.Sprintf("no standby confirmed their deletion within %v (commit-lock-timeout; synchronous_standby_names is '%s')",
		p.Target.CommitLockTimeout, standbys), nil
}

// commitDurably needs a row: what writes nothing waits for nobody.
func commitDurably(ctx context.Context, conn *pgx.Conn, statement string, args []any) error {
	tag, err := conn.Exec(ctx, statement, args...)
	if err != nil {
		return fmt.Errorf("make deletions durable: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return fault.Refuse(`Run "relpack pack"`, "relpack.run is empty: nothing tells standbys what was deleted")
	}
	return nil
}
