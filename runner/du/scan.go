package du

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"relpack/runner/fault"
	"relpack/runner/record"
	"relpack/runner/session"
)

// How states are read: by so many sessions, so many blocks in a transaction, as a
// first build reads them. So many answers are handed on at once.
const (
	readers     = 2
	rangeBlocks = 4_096
	someNamed   = 4_096
)

// A named is an object and the one that it names as its holder, -1 where it is told how
// much its revisions are: the newest one in these blocks, and the others.
type named struct{ zoid, holder, newest, older int64 }

// readNamed reads all states for what objects name.
func (m *measure) readNamed(ctx context.Context) error {
	size, filenode, err := m.table(ctx)
	if err != nil {
		return err
	}
	m.Progress.Phase("read who holds what", "blocks", size)
	defer m.Progress.End()
	found := make(chan []named, readers)
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	var reading errgroup.Group
	for range readers {
		reading.Go(func() error {
			return m.readRanges(ctx, &next, size, filenode, found)
		})
	}
	group.Go(func() error {
		defer close(found)
		return reading.Wait()
	})
	r := &m.forest.rows
	for some := range found {
		for _, n := range some {
			if n.holder < 0 {
				r.revisions(n)
				continue
			}
			at, holder := r.find(n.zoid), r.find(n.holder)
			if at != none && holder != none && at != holder {
				r.ref(at).named = holder
			}
		}
	}
	return group.Wait()
}

// table tells how many blocks object_state has, and which file it is.
func (m *measure) table(ctx context.Context) (blocks, filenode int64, err error) {
	conn, err := m.Session(ctx, "scan")
	if err != nil {
		return 0, 0, err
	}
	defer session.Close(conn)
	if err = conn.QueryRow(ctx, `SELECT pg_relation_size('public.object_state') / current_setting('block_size')::bigint,
		pg_relation_filenode('public.object_state')::bigint`).Scan(&blocks, &filenode); err != nil {
		err = fmt.Errorf("look at object_state: %w", err)
	}
	return blocks, filenode, err
}

func (m *measure) readRanges(ctx context.Context, next *atomic.Int64, size, filenode int64, found chan<- []named) error {
	conn, err := m.Session(ctx, "scan")
	if err != nil {
		return err
	}
	defer session.Close(conn)
	w := worker{found: found, ctx: ctx}
	holders := record.NewHolders(w.take)
	holders.History = m.history
	for {
		first := next.Add(rangeBlocks) - rangeBlocks
		if first >= size {
			return w.send()
		}
		r := record.Blocks{First: first, Last: min(first+rangeBlocks, size) - 1}
		err := pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '5s'"); err != nil {
				return err
			}
			now, err := record.LockBlocks(ctx, conn)
			if err != nil {
				return err
			}
			if now != filenode {
				return &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("object_state was rewritten while it was read"), Hint: "Try again"}
			}
			if m.history {
				if err := w.revisions(tx, r); err != nil {
					return err
				}
			}
			return holders.Blocks(ctx, conn, r)
		})
		if err != nil {
			return fmt.Errorf("blocks %d to %d of object_state: %w", r.First, r.Last, err)
		}
		m.Progress.Add(r.Last + 1 - r.First)
	}
}

// A worker hands on who holds the objects that one session reads.
type worker struct {
	ctx   context.Context
	some  []named
	found chan<- []named
}

func (w *worker) take(zoid, holder int64) error {
	if w.some = append(w.some, named{zoid: zoid, holder: holder}); len(w.some) == someNamed {
		return w.send()
	}
	return nil
}

// revisions reads how much the revisions of objects are in a range of blocks. No state
// is read for that.
func (w *worker) revisions(tx pgx.Tx, b record.Blocks) error {
	return record.Revisions(w.ctx, tx, b, func(zoid, newest, older int64) error {
		if w.some = append(w.some, named{zoid: zoid, holder: -1, newest: newest, older: older}); len(w.some) == someNamed {
			return w.send()
		}
		return nil
	})
}

func (w *worker) send() error {
	select {
	case w.found <- w.some:
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
	w.some = make([]named, 0, someNamed)
	return nil
}

// revisions takes note of how much an object's are. The graph counts together what it
// knows of them.
func (r *rows) revisions(n named) {
	at := r.find(n.zoid)
	if at == none {
		return
	}
	x := r.ref(at)
	if n.newest >= 0 {
		x.size, x.bytes = uint32(n.newest), n.newest
	}
	x.own += n.older
	x.older += n.older
}
