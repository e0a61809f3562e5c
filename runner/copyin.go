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
