package runner

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// beside does with more sessions what need not wait for its turn in a first
// build: while one session walks from the root another builds an index, and
// then each fills in half of the objects.
type beside struct {
	*pack
	ctx   context.Context
	stop  context.CancelFunc
	group errgroup.Group
	key   bool
}

func newBeside(ctx context.Context, p *pack) *beside {
	b := &beside{pack: p}
	b.ctx, b.stop = context.WithCancel(ctx)
	return b
}

// after is told of each step that was done, and begins, or waits for, what
// another session does.
func (b *beside) after(step string, added int64) error {
	switch {
	case step == "growing" && !b.key:
		b.key = true
		b.call("SELECT relpack.build_key()")
	case step == "growing" && added == 0:
		b.call("SELECT relpack.fill()")
	case step == "filling":
		return b.group.Wait()
	}
	return nil
}

func (b *beside) call(sql string) {
	b.group.Go(func() error {
		conn, err := b.session(b.ctx, "build")
		if err != nil {
			return err
		}
		defer closeSession(conn)
		return b.persist(b.ctx, "build the graph", func() (bool, error) {
			_, err := conn.Exec(b.ctx, sql)
			return err == nil, err
		})
	})
}

// end stops the other sessions.
func (b *beside) end() {
	b.stop()
	_ = b.group.Wait()
}
