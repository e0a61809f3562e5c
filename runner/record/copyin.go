package record

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// copyLimit is how many bytes of rows are kept before they are sent.
const copyLimit = 512 << 10

// A Buffer collects rows for COPY ... FROM STDIN (FORMAT binary).
type Buffer struct {
	sql  string
	data []byte
}

// NewBuffer collects rows of a table of relpack's.
func NewBuffer(table, columns string) *Buffer {
	return &Buffer{sql: fmt.Sprintf("COPY relpack.%s (%s) FROM STDIN (FORMAT binary)", table, columns)}
}

// Row begins a row of n fields.
func (b *Buffer) Row(n int16) {
	if len(b.data) == 0 {
		b.data = append(b.data, copySignature...)
		b.data = append(b.data, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	b.data = binary.BigEndian.AppendUint16(b.data, uint16(n))
}

// Bigint adds a field to the row.
func (b *Buffer) Bigint(v int64) {
	b.data = append(b.data, 0, 0, 0, 8)
	b.data = binary.BigEndian.AppendUint64(b.data, uint64(v))
}

// Integer adds a field to the row.
func (b *Buffer) Integer(v int32) {
	b.data = append(b.data, 0, 0, 0, 4)
	b.data = binary.BigEndian.AppendUint32(b.data, uint32(v))
}

// Boolean adds a field to the row.
func (b *Buffer) Boolean(v bool) {
	b.data = append(b.data, 0, 0, 0, 1, 0)
	if v {
		b.data[len(b.data)-1] = 1
	}
}

// Text adds a field to the row.
func (b *Buffer) Text(v string) {
	b.data = binary.BigEndian.AppendUint32(b.data, uint32(len(v)))
	b.data = append(b.data, v...)
}

// Null adds a field to the row.
func (b *Buffer) Null() {
	b.data = append(b.data, 0xff, 0xff, 0xff, 0xff)
}

// Full tells that it is time to send the rows.
func (b *Buffer) Full() bool { return len(b.data) >= copyLimit }

// Flush sends what was collected.
func (b *Buffer) Flush(ctx context.Context, conn *pgx.Conn) error {
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

// A Sender sends full buffers while the next ones are being filled. The
// session is its own until End.
type Sender struct {
	Ctx    context.Context // done when sending has failed
	cancel context.CancelCauseFunc
	full   chan *Buffer
	free   chan []byte
	done   chan struct{}
}

// NewSender sends by this session.
func NewSender(ctx context.Context, conn *pgx.Conn) *Sender {
	s := &Sender{full: make(chan *Buffer), free: make(chan []byte, 2), done: make(chan struct{})}
	s.Ctx, s.cancel = context.WithCancelCause(ctx)
	go func() {
		defer close(s.done)
		for b := range s.full {
			if err := b.Flush(ctx, conn); err != nil {
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

// Send takes the buffer's rows over and leaves it empty.
func (s *Sender) Send(b *Buffer) error {
	select {
	case s.full <- &Buffer{sql: b.sql, data: b.data}:
	case <-s.Ctx.Done():
		return context.Cause(s.Ctx)
	}
	select {
	case b.data = <-s.free:
	default:
		b.data = make([]byte, 0, cap(b.data))
	}
	return nil
}

// End waits until all is sent. It returns why sending failed, if it did, and
// else the error of the side that filled the buffers.
func (s *Sender) End(err error) error {
	close(s.full)
	<-s.done
	if cause := context.Cause(s.Ctx); cause != nil {
		err = cause
	}
	s.cancel(nil)
	return err
}
