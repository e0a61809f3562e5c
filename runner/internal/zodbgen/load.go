package zodbgen

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/zodbtest"
)

// Load creates a storage of RelStorage 4.2 in the connection's database and
// fills it.
func (p *Plan) Load(ctx context.Context, conn *pgx.Conn) error {
	if err := zodbtest.CreateStorage(ctx, conn, zodbtest.V42); err != nil {
		return err
	}
	return p.Fill(ctx, conn)
}

// bulk is what loads fastest: COPY into a table without indexes that this
// transaction has emptied, as if its rows had been there for long (FREEZE).
const (
	beforeCopy = `
TRUNCATE object_state CASCADE;
ALTER TABLE blob_chunk DROP CONSTRAINT blob_chunk_fk;
ALTER TABLE object_state DROP CONSTRAINT object_state_pkey;
DROP INDEX object_state_tid`
	afterCopy = `
SET LOCAL maintenance_work_mem = '256MB';
ALTER TABLE object_state ADD CONSTRAINT object_state_pkey PRIMARY KEY (zoid);
CREATE INDEX object_state_tid ON object_state (tid);
ALTER TABLE blob_chunk ADD CONSTRAINT blob_chunk_fk
	FOREIGN KEY (zoid) REFERENCES object_state (zoid) ON DELETE CASCADE`
)

// Fill fills an empty storage by one COPY, then vacuums and analyzes it as
// autovacuum would have done long ago.
func (p *Plan) Fill(ctx context.Context, conn *pgx.Conn) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, beforeCopy); err != nil {
			return err
		}
		if err := p.copyIn(ctx, conn); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, afterCopy)
		return err
	})
	if err != nil {
		return fmt.Errorf("fill object_state: %w", err)
	}
	if _, err := conn.Exec(ctx, "VACUUM (ANALYZE) object_state"); err != nil {
		return fmt.Errorf("vacuum object_state: %w", err)
	}
	return nil
}

func (p *Plan) copyIn(ctx context.Context, conn *pgx.Conn) error {
	source, sink := io.Pipe()
	done := make(chan error, 1)
	go func() {
		rows := newCopyWriter(sink)
		err := errors.Join(p.Write(rows.row), rows.close())
		sink.CloseWithError(err) // nil is EOF
		done <- err
	}()
	_, err := conn.PgConn().CopyFrom(ctx, source,
		"COPY object_state (zoid, tid, state_size, state) FROM STDIN (FORMAT binary, FREEZE)")
	_ = source.CloseWithError(errors.New("COPY ended"))
	return errors.Join(err, <-done)
}

// copyWriter writes rows in COPY's binary format.
type copyWriter struct {
	out  *bufio.Writer
	head []byte
}

func newCopyWriter(w io.Writer) *copyWriter {
	c := &copyWriter{out: bufio.NewWriterSize(w, 1<<18)}
	c.head = append(c.head, "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	return c
}

func (c *copyWriter) row(zoid, tid int64, state []byte) error {
	b := binary.BigEndian.AppendUint16(c.head, 4)
	for _, n := range [...]int64{zoid, tid, int64(len(state))} {
		b = binary.BigEndian.AppendUint32(b, 8)
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(state)))
	b = append(b, state...)
	_, err := c.out.Write(b)
	c.head = b[:0]
	return err
}

func (c *copyWriter) close() error {
	_, err := c.out.Write([]byte{0xff, 0xff})
	return errors.Join(err, c.out.Flush())
}
