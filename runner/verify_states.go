package runner

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"relpack/runner/fault"
	"relpack/runner/record"
	"relpack/runner/session"
)

// A chunk is compared when it has so many objects or references: some megabytes
// at most, but for the references of the last object.
const (
	verifyObjects    = 5_000
	verifyReferences = 50_000
)

// verifyRangeBlocks are read in one transaction, as in a first build.
const verifyRangeBlocks = 2048

// errRewritten: rows that were not read yet may have moved to where they won't be.
var errRewritten = errors.New("object_state was rewritten while it was read: try again when VACUUM FULL, CLUSTER or pg_repack is done")

// states reads and decodes every state and has it compared with what is
// recorded. Rows above listed_tid are the next pack's.
func (v *verification) states(ctx context.Context) error {
	var collected, filenode, blocks int64
	if err := v.conn.QueryRow(ctx, `SELECT listed_tid, pg_relation_filenode('public.object_state')::bigint,
		pg_relation_size('public.object_state') / current_setting('block_size')::bigint FROM relpack.storage`).
		Scan(&collected, &filenode, &blocks); err != nil {
		return fmt.Errorf("read relpack.storage: %w", err)
	}
	v.progress.Phase("verify", "blocks", blocks)
	defer v.progress.End()
	classes, err := record.NewClasses(ctx, v.conn)
	if err != nil {
		return err
	}
	step := v.rangeBlocks
	if step == 0 {
		step = verifyRangeBlocks
	}
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range min(scanWorkers, (blocks+step-1)/step) {
		group.Go(func() error {
			w := &verifyWorker{verification: v, collected: collected, filenode: filenode}
			w.Decoder = record.NewDecoder(classes)
			defer w.close()
			if err := w.open(ctx); err != nil {
				return err
			}
			for {
				first := next.Add(step) - step
				if first >= blocks || v.stopped() {
					return nil
				}
				if err := w.read(ctx, record.Blocks{First: first, Last: first + step - 1}); err != nil {
					return fmt.Errorf("blocks %d to %d of object_state: %w", first, first+step-1, err)
				}
				v.progress.Add(min(step, blocks-first))
			}
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if v.stopped() {
		return fault.Interrupted
	}
	return nil
}

// verifyWorker reads in one session and compares in another. That one may be
// opened when it is needed for the first time.
type verifyWorker struct {
	*verification
	record.Decoder
	reader, comparer    *pgx.Conn
	collected, filenode int64
	chunk               stateChunk
}

// A stateChunk is what relpack.verify_states takes.
type stateChunk struct {
	zoids, tids  []int64
	classes      []int32
	problems     []string
	refs, inrefs []int64
	foreign      foreignChunk
}

func (c *stateChunk) reset() {
	c.zoids, c.tids, c.classes, c.problems = c.zoids[:0], c.tids[:0], c.classes[:0], c.problems[:0]
	if cap(c.refs) > 4*verifyReferences {
		c.refs, c.inrefs = nil, nil
	}
	c.refs, c.inrefs = c.refs[:0], c.inrefs[:0]
	c.foreign = foreignChunk{}
}

func (c *stateChunk) add(rec record.Row, found record.Decoded) {
	c.zoids = append(c.zoids, rec.Zoid)
	c.tids = append(c.tids, rec.Tid)
	c.classes = append(c.classes, found.Class)
	kind := found.Kind()
	c.problems = append(c.problems, kind)
	if kind == "salvaged" {
		found.Refs = nil // and all that its bytes may name: see relpack.verify_states
	}
	c.foreign.add(rec.Zoid, found.Foreign)
	for _, ref := range found.Refs {
		c.refs = append(c.refs, ref)
		c.inrefs = append(c.inrefs, rec.Zoid)
	}
}

func (w *verifyWorker) open(ctx context.Context) (err error) {
	if w.reader, err = w.session(ctx, "scan"); err != nil {
		return err
	}
	_, err = w.beside(ctx)
	return err
}

// beside is a session for what can't wait until the reader is done.
func (w *verifyWorker) beside(ctx context.Context) (_ *pgx.Conn, err error) {
	if w.comparer == nil {
		w.comparer, err = w.session(ctx, "compare")
	}
	return w.comparer, err
}

func (w *verifyWorker) close() {
	for _, conn := range []*pgx.Conn{w.reader, w.comparer} {
		if conn != nil && conn != w.conn { // opened
			session.Close(conn)
		}
	}
}

// read reads one range in a transaction of its own.
func (w *verifyWorker) read(ctx context.Context, r record.Blocks) error {
	return w.transaction(ctx, func() error {
		filenode, err := record.LockBlocks(ctx, w.reader)
		if err != nil {
			return err
		}
		if filenode != w.filenode {
			return errRewritten
		}
		return record.CopyBlocks(ctx, w.reader, r, w.collected, func(rec record.Row) error { return w.stage(ctx, rec) })
	})
}

// transaction reads in a transaction of its own, and compares the rest of it.
func (w *verifyWorker) transaction(ctx context.Context, read func() error) error {
	w.chunk.reset()
	err := pgx.BeginTxFunc(ctx, w.reader, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(pgx.Tx) error { return read() })
	if err != nil {
		return err
	}
	if w.comparer == nil {
		return w.compare(ctx, w.reader)
	}
	return w.compare(ctx, w.comparer)
}

func (w *verifyWorker) stage(ctx context.Context, rec record.Row) error {
	found, err := w.Decode(ctx, rec.State)
	if err != nil {
		return fmt.Errorf("zoid %d: %w", rec.Zoid, err)
	}
	w.counts.scanned.Add(1)
	w.counts.scannedBytes.Add(int64(len(rec.State)))
	c := &w.chunk
	c.add(rec, found)
	if len(c.zoids) >= verifyObjects || len(c.refs)+len(c.foreign.zoids) >= verifyReferences {
		comparer, err := w.beside(ctx)
		if err != nil {
			return err
		}
		return w.compare(ctx, comparer)
	}
	return nil
}

// compare has the server compare the chunk with the graph.
func (w *verifyWorker) compare(ctx context.Context, comparer *pgx.Conn) error {
	err := w.compareChunk(ctx, comparer, &w.chunk)
	w.chunk.reset()
	return err
}

func (v *verification) compareChunk(ctx context.Context, comparer *pgx.Conn, c *stateChunk) error {
	rows, err := comparer.Query(ctx, `
		SELECT kind, zoid FROM relpack.verify_states($1, $2, $3, $4, $5, $6)
		UNION
		SELECT 'other_references', zoid FROM relpack.verify_foreign($1, $7, $8, $9) AS zoid`,
		c.zoids, c.tids, c.classes, c.problems, c.refs, c.inrefs,
		c.foreign.inrefs, c.foreign.zoids, c.foreign.databases)
	if err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	var kind string
	var zoid int64
	other := map[string][]int64{}
	var all []int64
	if _, err := pgx.ForEachRow(rows, []any{&kind, &zoid}, func() error {
		other[kind] = append(other[kind], zoid)
		all = append(all, zoid)
		return nil
	}); err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	for kind, zoids := range other {
		v.findings.add(kind, int64(len(zoids)), zoids)
	}
	return v.findings.pend(ctx, comparer, all)
}
