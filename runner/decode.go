package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"relpack/runner/pickle"
)

// Fixed numbers of relpack.class.
const (
	classUnknown = 0
	classBlob    = 1
)

// classCache knows the numbers of classes. It is shared by the workers and
// enters new classes through a session that is in no transaction, so that no
// two chunks wait for each other's classes.
type classCache struct {
	mu   sync.Mutex
	conn *pgx.Conn
	open func(context.Context) (*pgx.Conn, error) // if set, the session instead of conn: that one is busy reading
	ids  map[string]int32
}

// A storage has some thousand classes at most; one that has more is asked for
// again and again instead of filling memory.
const classCacheLimit = 50_000

// newClassCache knows the classes met so far.
func newClassCache(ctx context.Context, conn *pgx.Conn) (*classCache, error) {
	c := &classCache{conn: conn, ids: map[string]int32{}}
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

func (c *classCache) lookup(ctx context.Context, module, name string) (int32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := module + "\n" + name
	if id, known := c.ids[key]; known {
		return id, nil
	}
	conn := c.conn
	if c.open != nil {
		var err error
		if conn, err = c.open(ctx); err != nil {
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

// decoder turns records into graph rows, one worker's.
type decoder struct {
	scanner pickle.Scanner
	classes *classCache
	ids     map[string]int32 // what this worker has asked classes for
	key     []byte
}

// decoded is what a record says; refs and foreign are valid until the next record.
type decoded struct {
	class   int32
	refs    []int64
	foreign []pickle.Foreign
	problem *pickle.Error
	empty   bool // no state: the creation of the object was undone
}

// kind is what relpack.problem calls what is wrong with it; "" is nothing.
func (d decoded) kind() string {
	switch {
	case d.empty:
		return "empty"
	case d.problem == nil:
		return ""
	}
	return problemKind(d.problem)
}

func (d *decoder) decode(ctx context.Context, state []byte) (decoded, error) {
	if len(state) == 0 {
		// It refers to nothing.
		return decoded{class: classUnknown, empty: true}, nil
	}
	var found decoded
	if err := d.scanner.Scan(state); err != nil {
		var problem *pickle.Error
		if !errors.As(err, &problem) {
			return found, err
		}
		found.problem = problem
	}
	found.refs = d.scanner.Refs()
	found.foreign = d.scanner.Foreign()
	var err error
	found.class, err = d.class(ctx)
	return found, err
}

func (d *decoder) class(ctx context.Context) (int32, error) {
	module, name := d.scanner.Class()
	if len(name) == 0 {
		return classUnknown, nil
	}
	d.key = append(append(append(d.key[:0], module...), '\n'), name...)
	if id, known := d.ids[string(d.key)]; known {
		return id, nil
	}
	id, err := d.classes.lookup(ctx, plain(module), plain(name))
	if err != nil {
		return 0, err
	}
	if len(d.ids) >= classCacheLimit {
		clear(d.ids)
	}
	d.ids[string(d.key)] = id
	return id, nil
}

// stageForeign collects references to other databases.
func (d *decoded) stageForeign(b *copyBuffer, zoid int64) {
	for _, ref := range d.foreign {
		b.row(3)
		b.bigint(zoid)
		b.bigint(ref.Oid)
		b.text(plain(ref.Database))
	}
}

// newForeignBuffer is for stageForeign.
func newForeignBuffer() *copyBuffer {
	return newCopyBuffer("examined_foreign", "inref, zoid, database")
}

// plain makes any bytes storable in any server encoding.
func plain(name []byte) string {
	var b strings.Builder
	for _, c := range name[:min(len(name), 500)] {
		if c < ' ' || c > '~' {
			fmt.Fprintf(&b, `\x%02x`, c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
