package record

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"relpack/runner/pickle"
)

// A Sink takes an object that was read and decoded. Both are valid until it returns.
type Sink func(context.Context, Row, Decoded) error

// A Reader reads rows of object_state, decodes them and hands each to its sink. One
// worker has it.
type Reader struct {
	Scanner pickle.Scanner // of the state that was decoded last
	History History
	sink    Sink
	classes *Classes
	ids     map[string]int32 // what this worker has asked classes for
	key     []byte
}

// NewReader shares its classes with others; nil: each object's class is unknown.
func NewReader(classes *Classes, sink Sink) *Reader {
	return &Reader{sink: sink, classes: classes, ids: map[string]int32{}}
}

// Blocks reads the rows of a range up to a tid. Blocks are the table's:
// relpack.stored() has none. Of a history-preserving storage these are objects whose
// newest revision is there.
func (r *Reader) Blocks(ctx context.Context, conn *pgx.Conn, b Blocks, last int64) error {
	if r.History {
		return r.fold(ctx, conn, r.History.kept(b.newest(last)))
	}
	return r.Query(ctx, conn, b.query(last))
}

func (b Blocks) query(last int64) string {
	return fmt.Sprintf("SELECT zoid, tid, state FROM public.object_state"+
		" WHERE ctid >= '(%d,0)' AND ctid < '(%d,0)' AND tid <= %d", b.First, b.Last+1, last)
}

// Stored reads objects up to a tid.
func (r *Reader) Stored(ctx context.Context, conn *pgx.Conn, where string, last int64) error {
	if r.History {
		return r.fold(ctx, conn, r.History.kept(
			fmt.Sprintf("SELECT zoid FROM relpack.stored() WHERE %s GROUP BY zoid HAVING max(tid) <= %d", where, last)))
	}
	return r.Query(ctx, conn, fmt.Sprintf("SELECT zoid, tid, state FROM relpack.stored() WHERE %s AND tid <= %d", where, last))
}

// Pending reads the next objects of relpack.pending.
func (r *Reader) Pending(ctx context.Context, conn *pgx.Conn, limit int) error {
	if r.History {
		return r.fold(ctx, conn, r.History.Pending(limit))
	}
	return r.Query(ctx, conn, r.History.Pending(limit))
}

// Query reads what a query finds, in the columns of a row. An object whose tid is
// NULL is not stored: there is nothing to decode.
func (r *Reader) Query(ctx context.Context, conn *pgx.Conn, query string) error {
	return Rows(ctx, conn, query, func(row Row) (err error) {
		var found Decoded
		row.Size = int64(len(row.State))
		// A stored row counts whatever its tid is: nobody may overlook what it refers to.
		if row.Tid != 0 || row.State != nil {
			if found, err = r.decode(ctx, row.State); err != nil {
				return fmt.Errorf("zoid %d: %w", row.Zoid, err)
			}
			found.ProblemTid = row.Tid
			if found.Kind() == "salvaged" {
				found.Odd = []int64{row.Tid}
			}
		}
		return r.sink(ctx, row, found)
	})
}

// Rows reads what a query finds, in the columns of a row, and decodes nothing.
func Rows(ctx context.Context, conn *pgx.Conn, query string, row func(Row) error) error {
	_, err := conn.PgConn().CopyTo(ctx, &copyReader{row: row}, "COPY ("+query+") TO STDOUT (FORMAT binary)")
	return err
}

// decode reads one state.
func (r *Reader) decode(ctx context.Context, state []byte) (Decoded, error) {
	if len(state) == 0 {
		// It refers to nothing.
		return Decoded{Class: ClassUnknown, Empty: true}, nil
	}
	var found Decoded
	if err := r.Scanner.Scan(state); err != nil {
		var problem *pickle.Error
		if !errors.As(err, &problem) {
			return found, err
		}
		found.Problem = problem
	}
	found.Refs = r.Scanner.Refs()
	found.Foreign = r.Scanner.Foreign()
	found.Module, found.Name = r.Scanner.Class()
	var err error
	found.Class, err = r.class(ctx, found.Module, found.Name)
	return found, err
}

func (r *Reader) class(ctx context.Context, module, name []byte) (int32, error) {
	if len(name) == 0 || r.classes == nil {
		return ClassUnknown, nil
	}
	r.key = append(append(append(r.key[:0], module...), '\n'), name...)
	if id, known := r.ids[string(r.key)]; known {
		return id, nil
	}
	id, err := r.classes.lookup(ctx, pickle.Plain(module), pickle.Plain(name))
	if err != nil {
		return 0, err
	}
	if len(r.ids) >= classCacheLimit {
		clear(r.ids)
	}
	r.ids[string(r.key)] = id
	return id, nil
}
