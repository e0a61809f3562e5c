package record

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// A Row is one row of object_state as it is read, or several of one object as one.
type Row struct {
	Zoid  int64
	Tid   int64  // 0 when the object is not stored
	State []byte // the record; nil of several
	Size  int64  // of the states in bytes
}

// A copyReader takes what COPY (SELECT zoid, tid, state ...) TO STDOUT (FORMAT
// binary) sends (PostgreSQL manual, "COPY", "Binary Format") and hands on row by
// row. It is the io.Writer that pgconn.CopyTo writes to: a row is decoded out
// of pgx's read buffer, and copied only if it came in pieces.
type copyReader struct {
	row     func(Row) error // is called for each
	started bool
	ended   bool
	rest    []byte
}

var copySignature = []byte("PGCOPY\n\xff\r\n\x00")

const copyHeader = 11 + 4 + 4 // signature, flags, length of the extension

var errShort = errors.New("cut off")

// Write is part of io.Writer.
func (r *copyReader) Write(p []byte) (int, error) {
	data := p
	if len(r.rest) > 0 {
		r.rest = append(r.rest, p...)
		data = r.rest
	}
	used, err := r.consume(data)
	if err != nil {
		return 0, err
	}
	r.rest = append(r.rest[:0], data[used:]...)
	if len(r.rest) == 0 && cap(r.rest) > 1<<20 {
		r.rest = nil
	}
	return len(p), nil
}

// consume decodes all complete rows and returns how many bytes they took.
func (r *copyReader) consume(data []byte) (int, error) {
	used := 0
	if !r.started {
		if len(data) < copyHeader {
			return 0, nil
		}
		if !bytes.HasPrefix(data, copySignature) {
			return 0, errors.New("COPY does not begin with its signature")
		}
		used = copyHeader + int(binary.BigEndian.Uint32(data[15:]))
		if len(data) < used {
			return 0, nil
		}
		r.started = true
	}
	for used < len(data) && !r.ended {
		n, err := r.one(data[used:])
		if err == errShort {
			break
		}
		if err != nil {
			return 0, err
		}
		used += n
	}
	return used, nil
}

func (r *copyReader) one(data []byte) (int, error) {
	if len(data) < 2 {
		return 0, errShort
	}
	fields := int16(binary.BigEndian.Uint16(data))
	if fields == -1 {
		r.ended = true
		return 2, nil
	}
	if fields != 3 {
		return 0, fmt.Errorf("COPY sent a row of %d fields, not 3", fields)
	}
	at := 2
	var values [3][]byte
	for i := range values {
		if len(data) < at+4 {
			return 0, errShort
		}
		size := int32(binary.BigEndian.Uint32(data[at:]))
		at += 4
		if size < 0 {
			continue
		}
		if len(data) < at+int(size) {
			return 0, errShort
		}
		values[i] = data[at : at+int(size) : at+int(size)]
		at += int(size)
	}
	if len(values[0]) != 8 || (values[1] != nil && len(values[1]) != 8) {
		return 0, errors.New("COPY sent a zoid or tid that is no bigint")
	}
	rec := Row{Zoid: int64(binary.BigEndian.Uint64(values[0])), State: values[2]}
	if values[1] != nil {
		rec.Tid = int64(binary.BigEndian.Uint64(values[1]))
	}
	return at, r.row(rec)
}

// Blocks is a row of relpack.scan_range.
type Blocks struct{ First, Last int64 }

// LockStorage keeps the table as it is until the transaction ends. All that reads
// object_state takes this lock before, in a statement of its own.
const LockStorage = "LOCK TABLE public.object_state IN ACCESS SHARE MODE"

// LockBlocks begins the transaction that reads a range. It tells which file the
// table is: VACUUM FULL, CLUSTER and pg_repack make another one, in which rows
// have moved into ranges already read. The lock keeps them out until the
// transaction ends.
func LockBlocks(ctx context.Context, reader *pgx.Conn) (filenode int64, err error) {
	if _, err := reader.Exec(ctx, LockStorage); err != nil {
		return 0, err
	}
	err = reader.QueryRow(ctx, "SELECT pg_relation_filenode('public.object_state')::bigint").Scan(&filenode)
	return filenode, err
}
