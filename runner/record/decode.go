package record

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"relpack/runner/pickle"
)

// Fixed numbers of relpack.class.
const (
	ClassUnknown = 0
	classBlob    = 1
)

// Classes knows the numbers of classes. It is shared by the workers and
// enters new classes through a session that is in no transaction, so that no
// two chunks wait for each other's classes.
type Classes struct {
	mu   sync.Mutex
	conn *pgx.Conn
	Open func(context.Context) (*pgx.Conn, error) // if set, the session instead of conn: that one is busy reading
	ids  map[string]int32
}

// A storage has some thousand classes at most; one that has more is asked for
// again and again instead of filling memory.
const classCacheLimit = 50_000

// NoClasses knows none yet; the session is for asking.
func NoClasses(conn *pgx.Conn) *Classes {
	return &Classes{conn: conn, ids: map[string]int32{}}
}

// NewClasses knows the classes met so far.
func NewClasses(ctx context.Context, conn *pgx.Conn) (*Classes, error) {
	c := NoClasses(conn)
	rows, err := conn.Query(ctx, "SELECT id, module, name FROM relpack.class LIMIT $1", classCacheLimit/2)
	if err != nil {
		return nil, fmt.Errorf("read relpack.class: %w", err)
	}
	var id int32
	var module, name string
	_, err = pgx.ForEachRow(rows, []any{&id, &module, &name}, func() error {
		c.ids[module+"\n"+name] = id
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read relpack.class: %w", err)
	}
	return c, nil
}

func (c *Classes) lookup(ctx context.Context, module, name string) (int32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := module + "\n" + name
	if id, known := c.ids[key]; known {
		return id, nil
	}
	conn := c.conn
	if c.Open != nil {
		var err error
		if conn, err = c.Open(ctx); err != nil {
			return 0, err
		}
	}
	var id int32
	if err := conn.QueryRow(ctx, "SELECT relpack.class_id($1, $2)", module, name).Scan(&id); err != nil {
		return 0, fmt.Errorf("number of class %s.%s: %w", module, name, err)
	}
	if len(c.ids) >= classCacheLimit {
		clear(c.ids)
	}
	c.ids[key] = id
	return id, nil
}

// Decoded is what a record says; it is valid until the next record.
type Decoded struct {
	Module  []byte           // of its class
	Name    []byte           // of its class in there; empty: the record does not say
	Class   int32            // its number in relpack.class; ClassUnknown if the reader has no classes
	Refs    []int64          // the zoids that it refers to
	Foreign []pickle.Foreign // what it refers to in other databases
	Problem *pickle.Error    // why it could not be read, or not all of it
	Empty   bool             // no state: it is NULL, or has no byte

	ProblemTid int64   // of the revision that Problem is of
	Odd        []int64 // tids of revisions that are complete and can't be decoded
}

// Kind is what relpack.problem calls what is wrong with it; "" is nothing.
func (d Decoded) Kind() string {
	switch {
	case d.Empty:
		return "empty"
	case d.Problem == nil:
		return ""
	}
	return problemKind(d.Problem)
}

// Detail is what relpack.problem says of what is wrong with it: which revision, if that is an
// old one.
func (d Decoded) Detail(row Row) string {
	text := pickle.Plain([]byte(d.Problem.Error()))
	if d.ProblemTid == row.Tid {
		return text
	}
	return fmt.Sprintf("revision %d: %s", d.ProblemTid, text)
}

// StageForeign collects references to other databases.
func (d *Decoded) StageForeign(b *Buffer, zoid int64) {
	for _, ref := range d.Foreign {
		b.Row(3)
		b.Bigint(zoid)
		b.Bigint(ref.Oid)
		b.Text(pickle.Plain(ref.Database))
	}
}

// NewForeignBuffer is for StageForeign.
func NewForeignBuffer() *Buffer {
	return NewBuffer("examined_foreign", "inref, zoid, database")
}

// problemKind is what relpack.problem calls it.
func problemKind(problem *pickle.Error) string {
	if problem.Kind == pickle.Odd {
		return "salvaged"
	}
	return "opaque"
}

// EmptyState is what relpack.problem says of an object without one.
const EmptyState = "its state is NULL or empty: whoever loads it gets a POSKeyError"
