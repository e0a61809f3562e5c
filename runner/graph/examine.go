package graph

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/job"
	"relpack/runner/record"
)

// examineObjects is how many pending objects a chunk reads: one transaction on
// object_state, and one that applies what was read.
const examineObjects = 10_000

// An Examiner reads and decodes pending objects and applies them to the graph.
type Examiner struct {
	*Packer
	states   *record.Reader
	Second   *job.Second // for what can't wait until a chunk is read
	Limit    int         // objects in a chunk
	newest   int64       // highest zoid, stored or missing: nothing above it can be referred to
	salvaged []revision  // complete records of the chunk that could not be decoded
	objects  *record.Buffer
	inrefs   *record.Buffer
	problems *record.Buffer
	foreign  *record.Buffer
}

// examine works off relpack.pending.
func (p *Packer) examine(ctx context.Context, pending int64) error {
	if pending == 0 {
		return nil
	}
	p.Progress.Phase("apply", "objects", pending)
	defer p.Progress.End()
	classes, err := record.NewClasses(ctx, p.Conn)
	if err != nil {
		return err
	}
	x := NewExaminer(p, classes)
	classes.Open = x.Second.Get
	defer x.Second.Close()
	for pending > 0 {
		if p.Stopped() {
			return fault.Interrupted
		}
		left, err := x.Chunk(ctx)
		if err != nil {
			return fmt.Errorf("apply changed objects: %w", err)
		}
		p.Progress.Add(pending - left)
		pending = left
	}
	return nil
}

// NewExaminer reads in the session that holds the pack lock.
func NewExaminer(p *Packer, classes *record.Classes) *Examiner {
	x := &Examiner{
		Packer: p, Limit: examineObjects, Second: p.Second("stage"),
		objects:  record.NewBuffer("examined_object", "zoid, tid, class, size"),
		inrefs:   record.NewBuffer("examined_inref", "zoid, inref, guessed"),
		problems: record.NewBuffer("examined_problem", "zoid, kind, detail"),
		foreign:  record.NewForeignBuffer(),
	}
	x.states = record.NewReader(classes, x.stage)
	x.states.History = record.History(p.History)
	return x
}

// Chunk examines the next pending objects; it returns how many are left.
func (x *Examiner) Chunk(ctx context.Context) (left int64, err error) {
	if _, err := x.Conn.Exec(ctx, "SELECT relpack.apply_discard()"); err != nil {
		return 0, err
	}
	if err := x.read(ctx); err != nil {
		return 0, err
	}
	if err := x.send(ctx, true); err != nil {
		return 0, err
	}
	err = x.Conn.QueryRow(ctx, "SELECT relpack.apply()").Scan(&left)
	return left, err
}

// read stages the next pending objects. COPY (query) has a snapshot before it
// has the table: without a lock of its own it would read as empty what an ALTER
// TABLE rewrote while it waited, see relpack.lock_storage(). What else has to be
// known of the storage is asked before: while this reads, another session that
// queued up for the table would never get it.
func (x *Examiner) read(ctx context.Context) error {
	return pgx.BeginTxFunc(ctx, x.Conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, record.LockStorage); err != nil {
			return err
		}
		x.salvaged = x.salvaged[:0]
		if err := tx.QueryRow(ctx, "SELECT relpack.highest_zoid()").Scan(&x.newest); err != nil {
			return err
		}
		if err := x.states.Pending(ctx, x.Conn, x.Limit); err != nil {
			return err
		}
		for _, odd := range x.salvaged {
			if err := x.salvage(ctx, odd); err != nil {
				return fmt.Errorf("zoid %d: %w", odd.zoid, err)
			}
		}
		return nil
	})
}

func (x *Examiner) stage(ctx context.Context, rec record.Row, found record.Decoded) error {
	x.objects.Row(4)
	x.objects.Bigint(rec.Zoid)
	if rec.Tid == 0 {
		x.objects.Null()
		x.objects.Integer(record.ClassUnknown)
		x.objects.Integer(0)
		return x.send(ctx, false)
	}
	x.Scanned.Add(1, rec.Size)
	x.objects.Bigint(rec.Tid)
	x.objects.Integer(found.Class)
	x.objects.Integer(int32(rec.Size))
	for _, ref := range found.Refs {
		x.inref(ref, rec.Zoid, false)
	}
	found.StageForeign(x.foreign, rec.Zoid)
	switch {
	case found.Problem != nil:
		kind := found.Kind()
		if kind == "salvaged" {
			for _, tid := range found.Odd {
				x.salvaged = append(x.salvaged, revision{rec.Zoid, tid})
			}
		}
		x.problem(rec.Zoid, kind, found.Detail(rec))
	case found.Empty:
		x.problem(rec.Zoid, found.Kind(), record.EmptyState)
	}
	return x.send(ctx, false)
}

func (x *Examiner) inref(zoid, inref int64, guessed bool) {
	x.inrefs.Row(3)
	x.inrefs.Bigint(zoid)
	x.inrefs.Bigint(inref)
	x.inrefs.Boolean(guessed)
}

func (x *Examiner) problem(zoid int64, kind, detail string) {
	x.problems.Row(3)
	x.problems.Bigint(zoid)
	x.problems.Text(kind)
	x.problems.Text(detail)
}

// send sends what was collected: while a chunk is read only what fills a
// buffer, by a session of its own.
func (x *Examiner) send(ctx context.Context, all bool) error {
	for _, b := range []*record.Buffer{x.objects, x.inrefs, x.problems, x.foreign} {
		var err error
		switch {
		case all:
			err = b.Flush(ctx, x.Conn)
		case b.Full():
			err = x.SendAside(ctx, b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// SendAside sends a buffer while the session that holds the pack lock reads. If
// that one is lost, another pack must not take the rows for its own.
func (x *Examiner) SendAside(ctx context.Context, b *record.Buffer) error {
	conn, err := x.Second.Get(ctx)
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT relpack.apply_join($1)", x.PID); err != nil {
			return err
		}
		return b.Flush(ctx, conn)
	})
}
