package graph

import (
	"context"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/figures"
	"relpack/runner/job"
	"relpack/runner/patience"
	"relpack/runner/schema"
	"relpack/runner/session"
	"relpack/runner/target"
)

// undoPatience is how long a pack waits for an undo that has the pack lock.
const undoPatience = 3 * time.Second

// A Packer is a job with a session that holds the pack lock. Nothing else writes
// to the graph.
type Packer struct {
	*job.Job
	*Seen
	Conn *pgx.Conn
	PID  uint32 // its process id, at the server

	History bool // whether the storage is a history-preserving one

	// RangeBlocks are read in one transaction by a first build; 0: the server's
	// default.
	RangeBlocks int
}

// Seen is what a run has come upon, in all of its sessions.
type Seen struct {
	Scanned  Counter // states read and decoded
	Doubt    string  // why the graph was compared with the storage or built again; "": it was not
	Compared bool    // it was compared
	Accepted []int64 // missing objects that were given up
}

// A Counter counts objects and the bytes of their states, for several workers.
type Counter struct{ objects, bytes atomic.Int64 }

// Add counts some more.
func (c *Counter) Add(objects, bytes int64) {
	c.objects.Add(objects)
	c.bytes.Add(bytes)
}

// Count is what was counted.
func (c *Counter) Count() figures.Count {
	return figures.Count{Objects: c.objects.Load(), Bytes: c.bytes.Load()}
}

// Open opens a session on a storage that relpack is installed in, and takes the
// pack lock. release lets go of the lock and ends the session. Its end lets go of
// the lock as well, but only some time after this process has gone on: to the next
// pack, maybe.
func Open(ctx context.Context, j *job.Job, seen *Seen, purpose string, migrations fs.FS) (_ *Packer, release func(context.Context), err error) {
	return open(ctx, j, seen, purpose, migrations, schema.CheckInstalled)
}

// OpenHistory is Open for a history-preserving storage whose garbage stays.
func OpenHistory(ctx context.Context, j *job.Job, seen *Seen, purpose string, migrations fs.FS) (_ *Packer, release func(context.Context), err error) {
	return open(ctx, j, seen, purpose, migrations, schema.CheckHistory)
}

func open(ctx context.Context, j *job.Job, seen *Seen, purpose string, migrations fs.FS, check check) (_ *Packer, release func(context.Context), err error) {
	conn, err := j.Session(ctx, purpose)
	if err != nil {
		return nil, nil, err
	}
	p := &Packer{Job: j, Seen: seen, Conn: conn}
	if err := p.prepare(ctx, migrations, check); err != nil {
		session.Close(conn)
		return nil, nil, err
	}
	return p, func(ctx context.Context) {
		if !conn.IsClosed() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			_, _ = conn.Exec(ctx, "SELECT relpack.release_pack_lock()")
		}
		session.Close(conn)
	}, nil
}

// A check refuses storages that relpack is not installed in, or that are not fit for
// what is to be done.
type check func(ctx context.Context, conn *pgx.Conn, t target.Target, files fs.FS) error

func (p *Packer) prepare(ctx context.Context, migrations fs.FS, check check) error {
	if err := check(ctx, p.Conn, p.Target, migrations); err != nil {
		return err
	}
	if err := schema.CheckMayPack(ctx, p.Conn); err != nil {
		return err
	}
	got, err := p.tryLock(ctx)
	switch {
	case err != nil || got:
		return err
	case p.History:
		return p.lockBesideUndo(ctx)
	}
	return session.Locked(ctx, p.Conn)
}

func (p *Packer) tryLock(ctx context.Context) (got bool, err error) {
	if err := p.Conn.QueryRow(ctx, "SELECT relpack.try_pack_lock(), pg_backend_pid(), relpack.keeps_history()").Scan(&got, &p.PID, &p.History); err != nil {
		return false, fmt.Errorf("take the pack lock: %w", err)
	}
	return got, nil
}

// lockBesideUndo takes the pack lock. An undo takes it as well, for a moment, and a pack
// in the night should not have to wait for the next one because of that.
func (p *Packer) lockBesideUndo(ctx context.Context) error {
	return patience.Patience{
		Limit:   undoPatience,
		First:   20 * time.Millisecond,
		Last:    200 * time.Millisecond,
		Retry:   func(error) bool { return false },
		Waiting: func(context.Context, time.Duration) {},
		GiveUp: func(ctx context.Context, _ time.Duration) error {
			return session.LockedBy(ctx, p.Conn, "another pack, or an undo, is running", session.PackLockHolder)
		},
	}.Persist(ctx, p.tryLock)
}

// Apart is a Packer on the same session that counts for itself.
func (p *Packer) Apart() *Packer {
	return &Packer{Job: job.New(p.Target, p.Log, p.Progress, p.Stop), Seen: &Seen{}, Conn: p.Conn, PID: p.PID, History: p.History, RangeBlocks: p.RangeBlocks}
}

// Persist calls try until it succeeds or the target's lock timeout is over. Only
// who works with the main session may call it, or Retry: it asks who is in the way.
func (p *Packer) Persist(ctx context.Context, what string, try func() (bool, error)) error {
	return p.Job.Persist(ctx, p.Conn, what, try)
}

// Retry is Persist for what succeeds unless it ends in an error.
func (p *Packer) Retry(ctx context.Context, what string, try func() error) error {
	return p.Persist(ctx, what, func() (bool, error) {
		err := try()
		return err == nil, err
	})
}
