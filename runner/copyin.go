package runner

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// copyLimit is how many bytes of rows are kept before they are sent.
const copyLimit = 512 << 10

// A copyBuffer collects rows for COPY ... FROM STDIN (FORMAT binary).
type copyBuffer struct {
	sql  string
	data []byte
}

func newCopyBuffer(table, columns string) *copyBuffer {
	return &copyBuffer{sql: fmt.Sprintf("COPY relpack.%s (%s) FROM STDIN (FORMAT binary)", table, columns)}
}

// row begins a row of n fields.
func (b *copyBuffer) row(n int16) {
	if len(b.data) == 0 {
		b.data = append(b.data, copySignature...)
		b.data = append(b.data, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	b.data = binary.BigEndian.AppendUint16(b.data, uint16(n))
}

func (b *copyBuffer) bigint(v int64) {
	b.data = append(b.data, 0, 0, 0, 8)
	b.data = binary.BigEndian.AppendUint64(b.data, uint64(v))
}

func (b *copyBuffer) integer(v int32) {
	b.data = append(b.data, 0, 0, 0, 4)
	b.data = binary.BigEndian.AppendUint32(b.data, uint32(v))
}

func (b *copyBuffer) boolean(v bool) {
	b.data = append(b.data, 0, 0, 0, 1, 0)
	if v {
		b.data[len(b.data)-1] = 1
	}
}

func (b *copyBuffer) text(v string) {
	b.data = binary.BigEndian.AppendUint32(b.data, uint32(len(v)))
	b.data = append(b.data, v...)
}

func (b *copyBuffer) null() {
	b.data = append(b.data, 0xff, 0xff, 0xff, 0xff)
}

func (b *copyBuffer) full() bool { return len(b.data) >= copyLimit }

// flush sends what was collected.
func (b *copyBuffer) flush(ctx context.Context, conn *pgx.Conn) error {
	if len(b.data) == 0 {
		return nil
	}
	b.data = append(b.data, 0xff, 0xff)
	if _, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(b.data), b.sql); err != nil {
		return err
	}
	b.data = b.data[:0]
	return nil
}

// A copySender sends full buffers while the next ones are being filled. The
// session is its own until end.
type copySender struct {
	ctx    context.Context // done when sending has failed
	cancel context.CancelCauseFunc
	full   chan *copyBuffer
	free   chan []byte
	done   chan struct{}
}

func newCopySender(ctx context.Context, conn *pgx.Conn) *copySender {
	s := &copySender{full: make(chan *copyBuffer), free: make(chan []byte, 2), done: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	go func() {
		defer close(s.done)
		for b := range s.full {
			if err := b.flush(ctx, conn); err != nil {
				s.cancel(err)
				return
			}
			select {
			case s.free <- b.data:
			default:
			}
		}
	}()
	return s
}

// send takes the buffer's rows over and leaves it empty.
func (s *copySender) send(b *copyBuffer) error {
	select {
	case s.full <- &copyBuffer{sql: b.sql, data: b.data}:
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
	select {
	case b.data = <-s.free:
	default:
		b.data = make([]byte, 0, cap(b.data))
	}
	return nil
}

// end waits until all is sent. It returns why sending failed, if it did, and
// else the error of the side that filled the buffers.
func (s *copySender) end(err error) error {
	close(s.full)
	<-s.done
	if cause := context.Cause(s.ctx); cause != nil {
		err = cause
	}
	s.cancel(nil)
	return err
}
