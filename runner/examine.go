package runner

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"relpack/runner/pickle"
)

// examineObjects is how many pending objects a chunk reads: one transaction on
// object_state, and one that applies what was read.
const examineObjects = 10_000

// examiner reads and decodes pending objects and applies them to the graph.
type examiner struct {
	*pack
	decoder
	beside   *pgx.Conn // for what can't wait until a chunk is read; nil: not needed yet
	limit    int       // objects in a chunk
	newest   int64     // highest zoid, stored or missing: nothing above it can be referred to
	salvaged []int64   // complete records of the chunk that could not be decoded
	objects  *copyBuffer
	inrefs   *copyBuffer
	problems *copyBuffer
	foreign  *copyBuffer
}

// examine works off relpack.pending.
func (p *pack) examine(ctx context.Context, pending int64) error {
	if pending == 0 {
		return nil
	}
	p.progress.Phase("apply", "objects", pending)
	defer p.progress.End()
	classes, err := newClassCache(ctx, p.conn)
	if err != nil {
		return err
	}
	x := p.newExaminer(classes)
	classes.open = x.aside
	defer x.close()
	for pending > 0 {
		if p.stopped() {
			return errInterrupted
		}
		left, err := x.chunk(ctx)
		if err != nil {
			return fmt.Errorf("apply changed objects: %w", err)
		}
		p.progress.Add(pending - left)
		pending = left
	}
	return nil
}

func (p *pack) newExaminer(classes *classCache) *examiner {
	return &examiner{
		pack: p, limit: examineObjects,
		decoder:  decoder{classes: classes, ids: map[string]int32{}},
		objects:  newCopyBuffer("examined_object", "zoid, tid, class, size"),
		inrefs:   newCopyBuffer("examined_inref", "zoid, inref, guessed"),
		problems: newCopyBuffer("examined_problem", "zoid, kind, detail"),
		foreign:  newForeignBuffer(),
	}
}

// aside opens the second session on first use. Most chunks are so small that they
// need none: to connect would take longer than to read them.
func (x *examiner) aside(ctx context.Context) (conn *pgx.Conn, err error) {
	if x.beside == nil {
		x.beside, err = x.session(ctx, "stage")
	}
	return x.beside, err
}

func (x *examiner) close() {
	if x.beside != nil {
		closeSession(x.beside)
	}
}

// chunk examines the next pending objects; it returns how many are left.
func (x *examiner) chunk(ctx context.Context) (left int64, err error) {
	if _, err := x.conn.Exec(ctx, "SELECT relpack.discard_examined()"); err != nil {
		return 0, err
	}
	if err := x.read(ctx); err != nil {
		return 0, err
	}
	if err := x.send(ctx, true); err != nil {
		return 0, err
	}
	err = x.conn.QueryRow(ctx, "SELECT relpack.apply()").Scan(&left)
	return left, err
}

// read stages the next pending objects. COPY (query) has a snapshot before it
// has the table: without a lock of its own it would read as empty what an ALTER
// TABLE rewrote while it waited, see relpack.lock_storage(). What else has to be
// known of the storage is asked before: while this reads, another session that
// queued up for the table would never get it.
func (x *examiner) read(ctx context.Context) error {
	return pgx.BeginTxFunc(ctx, x.conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockObjectState); err != nil {
			return err
		}
		x.salvaged = x.salvaged[:0]
		if err := tx.QueryRow(ctx, "SELECT relpack.highest_zoid()").Scan(&x.newest); err != nil {
			return err
		}
		// By index, whatever statistics say of a table that was empty a moment ago:
		// a hash join reads all of object_state.
		query := fmt.Sprintf("SELECT pending.zoid, stored.tid, stored.state"+
			" FROM (SELECT zoid FROM relpack.pending ORDER BY zoid LIMIT %d) AS pending"+
			" LEFT JOIN LATERAL (SELECT tid, state FROM relpack.stored() WHERE stored.zoid = pending.zoid OFFSET 0) AS stored ON true", x.limit)
		if err := copyQuery(ctx, x.conn, query, func(rec record) error { return x.stage(ctx, rec) }); err != nil {
			return err
		}
		for _, zoid := range x.salvaged {
			if err := x.salvage(ctx, zoid); err != nil {
				return fmt.Errorf("zoid %d: %w", zoid, err)
			}
		}
		return nil
	})
}

func (x *examiner) stage(ctx context.Context, rec record) error {
	x.objects.row(4)
	x.objects.bigint(rec.zoid)
	if rec.tid == 0 {
		x.objects.null()
		x.objects.integer(classUnknown)
		x.objects.integer(0)
		return x.send(ctx, false)
	}
	found, err := x.decode(ctx, rec.state)
	if err != nil {
		return fmt.Errorf("zoid %d: %w", rec.zoid, err)
	}
	x.counts.scanned.Add(1)
	x.counts.scannedBytes.Add(int64(len(rec.state)))
	x.objects.bigint(rec.tid)
	x.objects.integer(found.class)
	x.objects.integer(int32(len(rec.state)))
	for _, ref := range found.refs {
		x.inref(ref, rec.zoid, false)
	}
	found.stageForeign(x.foreign, rec.zoid)
	switch {
	case found.problem != nil:
		kind := found.kind()
		if kind == "salvaged" {
			x.salvaged = append(x.salvaged, rec.zoid)
		}
		x.problem(rec.zoid, kind, plain([]byte(found.problem.Error())))
	case found.empty:
		x.problem(rec.zoid, found.kind(), emptyState)
	}
	return x.send(ctx, false)
}

func (x *examiner) inref(zoid, inref int64, guessed bool) {
	x.inrefs.row(3)
	x.inrefs.bigint(zoid)
	x.inrefs.bigint(inref)
	x.inrefs.boolean(guessed)
}

func (x *examiner) problem(zoid int64, kind, detail string) {
	x.problems.row(3)
	x.problems.bigint(zoid)
	x.problems.text(kind)
	x.problems.text(detail)
}

// emptyState is what relpack.problem says of an object without one.
const emptyState = "its state is NULL or empty: whoever loads it gets a POSKeyError"

// problemKind is what relpack.problem calls it.
func problemKind(problem *pickle.Error) string {
	if problem.Kind == pickle.Odd {
		return "salvaged"
	}
	return "opaque"
}

// send sends what was collected: while a chunk is read only what fills a
// buffer, by a session of its own.
func (x *examiner) send(ctx context.Context, all bool) error {
	for _, b := range []*copyBuffer{x.objects, x.inrefs, x.problems, x.foreign} {
		var err error
		switch {
		case all:
			err = b.flush(ctx, x.conn)
		case b.full():
			err = x.sendAside(ctx, b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sendAside sends a buffer while the session that holds the pack lock reads. If
// that one is lost, another pack must not take the rows for its own.
func (x *examiner) sendAside(ctx context.Context, b *copyBuffer) error {
	conn, err := x.aside(ctx)
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT relpack.join_packer($1)", x.packer); err != nil {
			return err
		}
		return b.flush(ctx, conn)
	})
}
