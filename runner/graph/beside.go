package graph

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"relpack/runner/session"
)

// beside is a second session of a first build. While the first one creates the
// index that the walk from the root needs, and walks, it creates the indexes that
// are needed to enter objects. Then both enter objects.
type beside struct {
	*Packer
	ctx   context.Context
	stop  context.CancelFunc
	group errgroup.Group
}

func newBeside(ctx context.Context, p *Packer) *beside {
	b := &beside{Packer: p}
	b.ctx, b.stop = context.WithCancel(ctx)
	return b
}

// after is told of each step that was done, and begins, or waits for, what
// another session does.
func (b *beside) after(step string, added int64) error {
	switch {
	case step == "scanning":
		b.call("SELECT relpack.build_index_keys(), NULL")
		return b.vacuum()
	case step == "marking":
		if err := b.group.Wait(); err != nil {
			return err
		}
		b.call("SELECT filled IS NOT NULL, filled FROM relpack.build_enter() AS filled")
	case step == "filling" && added == 0:
		return b.group.Wait()
	}
	return nil
}

// vacuum lets indexes of the references be read alone. Who may not, and who
// finds somebody else at it, does without.
func (b *beside) vacuum() error {
	for _, sql := range []string{
		"SET client_min_messages = error",
		"VACUUM (SKIP_LOCKED, TRUNCATE false) relpack.object_inref",
		"SET client_min_messages = notice",
	} {
		if _, err := b.Conn.Exec(b.ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// call lets another session execute SQL that tells whether there is more to do,
// and how many objects were entered, while there is.
func (b *beside) call(sql string) {
	b.group.Go(func() error {
		conn, err := b.Session(b.ctx, "build")
		if err != nil {
			return err
		}
		defer session.Close(conn)
		for more := true; more && !b.Stopped(); {
			var added *int64
			// Who is in the way is asked here: the main session is at work.
			err := b.Job.Persist(b.ctx, conn, "build the graph", func() (bool, error) {
				err := conn.QueryRow(b.ctx, sql).Scan(&more, &added)
				return err == nil, err
			})
			if err != nil {
				return err
			}
			if added != nil {
				b.Progress.Add(*added)
			}
		}
		return nil
	})
}

// end stops the other sessions.
func (b *beside) end() {
	b.stop()
	_ = b.group.Wait()
}
