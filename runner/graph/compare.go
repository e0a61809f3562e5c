package graph

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"relpack/runner/job"
	"relpack/runner/record"
	"relpack/runner/session"
)

// A chunk is compared when it has so many objects or references: some megabytes
// at most, but for the references of the last object.
const (
	chunkObjects    = 5_000
	chunkReferences = 50_000
)

// compareBlocks are read in one transaction, as in a first build.
const compareBlocks = 2048

// errRewritten: rows that were not read yet may have moved to where they won't be.
var errRewritten = errors.New("object_state was rewritten while it was read: try again when VACUUM FULL, CLUSTER or pg_repack is done")

// A Comparison reads states again and has them compared with what the graph says.
type Comparison struct {
	*Packer
	Findings    *Findings
	Mark        bool   // what differs goes to relpack.pending, as if it had been written
	LockTimeout string // for object_state; "": none
	Step        int64  // blocks read in one transaction; 0: as many as a first build
}

// AllStates reads every state, from the start again where rows were moved in the
// meantime, and begins the list of findings.
func (c *Comparison) AllStates(ctx context.Context) error {
	for rewrites := 0; ; rewrites++ {
		c.Findings = NewFindings()
		err := c.states(ctx)
		if !errors.Is(err, errRewritten) || rewrites >= MaxRewrites {
			return err
		}
		c.Log.Warn("object_state was rewritten while it was read (VACUUM FULL, CLUSTER): it is read again")
	}
}

// MaxRewrites is how often something begins again because object_state was
// rewritten (VACUUM FULL, CLUSTER) beside it.
const MaxRewrites = 3

// states reads and decodes every state and has it compared with what is
// recorded. Rows above listed_tid are the next pack's.
func (c *Comparison) states(ctx context.Context) error {
	var listed, filenode, blocks int64
	if err := c.Conn.QueryRow(ctx, `SELECT listed_tid, pg_relation_filenode('public.object_state')::bigint,
		pg_relation_size('public.object_state') / current_setting('block_size')::bigint FROM relpack.storage`).
		Scan(&listed, &filenode, &blocks); err != nil {
		return fmt.Errorf("read relpack.storage: %w", err)
	}
	c.Progress.Phase("verify", "blocks", blocks)
	defer c.Progress.End()
	classes, err := record.NewClasses(ctx, c.Conn)
	if err != nil {
		return err
	}
	step := c.Step
	if step == 0 {
		step = compareBlocks
	}
	var ranges []record.Blocks
	for first := int64(0); first < blocks; first += step {
		ranges = append(ranges, record.Blocks{First: first, Last: first + step - 1})
	}
	return c.readRanges(ctx, blocks, ranges, func(ctx context.Context) (rangeReader, error) {
		w := newComparer(c, classes)
		w.listed, w.filenode = listed, filenode
		return w, w.open(ctx)
	})
}

// comparer reads in one session and compares in another.
type comparer struct {
	*Comparison
	states           *record.Reader
	reader           *pgx.Conn
	second           *job.Second // for what can't wait until the reader is done
	listed, filenode int64
	chunk            stateChunk
}

func newComparer(c *Comparison, classes *record.Classes) *comparer {
	w := &comparer{Comparison: c, second: c.Second("compare")}
	w.states = record.NewReader(classes, w.stage)
	w.states.History = record.History(c.History)
	return w
}

func (w *comparer) open(ctx context.Context) (err error) {
	if w.reader, err = w.Session(ctx, "scan"); err != nil {
		return err
	}
	_, err = w.second.Get(ctx)
	return err
}

func (w *comparer) close() {
	if w.reader != nil && w.reader != w.Conn { // opened
		session.Close(w.reader)
	}
	w.second.Close()
}

// Read reads one range in a transaction of its own.
func (w *comparer) Read(ctx context.Context, r record.Blocks) error {
	return w.transaction(ctx, func() error {
		filenode, err := record.LockBlocks(ctx, w.reader)
		if err != nil {
			return err
		}
		if filenode != w.filenode {
			return errRewritten
		}
		return w.states.Blocks(ctx, w.reader, r, w.listed)
	})
}

// transaction reads in a transaction of its own, and compares the rest of it.
func (w *comparer) transaction(ctx context.Context, read func() error) error {
	w.chunk.reset()
	err := pgx.BeginTxFunc(ctx, w.reader, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(pgx.Tx) error { return read() })
	if err != nil {
		return err
	}
	if !w.second.Opened() {
		return w.compare(ctx, w.reader)
	}
	return w.compareSecond(ctx)
}

func (w *comparer) stage(ctx context.Context, rec record.Row, found record.Decoded) error {
	w.Scanned.Add(1, rec.Size)
	c := &w.chunk
	c.add(rec, found)
	if len(c.zoids) >= chunkObjects || len(c.refs)+len(c.foreign.zoids) >= chunkReferences {
		return w.compareSecond(ctx)
	}
	return nil
}

// compareSecond compares while the reader is busy.
func (w *comparer) compareSecond(ctx context.Context) error {
	conn, err := w.second.Get(ctx)
	if err != nil {
		return err
	}
	return w.compare(ctx, conn)
}

// compare has the server compare the chunk with the graph.
func (w *comparer) compare(ctx context.Context, comparer *pgx.Conn) error {
	err := w.compareChunk(ctx, comparer, &w.chunk)
	w.chunk.reset()
	return err
}

func (c *Comparison) compareChunk(ctx context.Context, conn *pgx.Conn, chunk *stateChunk) error {
	rows, err := conn.Query(ctx, `
		SELECT kind, zoid FROM relpack.verify_states($1, $2, $3, $4, $5, $6)
		UNION
		SELECT 'other_references', zoid FROM relpack.verify_foreign($1, $7, $8, $9) AS zoid`,
		chunk.zoids, chunk.tids, chunk.classes, chunk.problems, chunk.refs, chunk.inrefs,
		chunk.foreign.inrefs, chunk.foreign.zoids, chunk.foreign.databases)
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
		c.Findings.Add(kind, int64(len(zoids)), zoids)
	}
	return c.Pend(ctx, conn, all)
}

// Looking looks at object_state in a transaction that has waited for it before:
// the snapshot of a statement that waits for a TRUNCATE is older than that, and
// shows the table empty, without the event that tells why.
func (c *Comparison) Looking(ctx context.Context, look func() error) error {
	return pgx.BeginFunc(ctx, c.Conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, c.lockStorage()); err != nil {
			return err
		}
		return look()
	})
}

// lockStorage waits for object_state, for a while.
func (c *Comparison) lockStorage() string {
	if c.LockTimeout == "" {
		return record.LockStorage
	}
	return "SET LOCAL lock_timeout = '" + c.LockTimeout + "'; " + record.LockStorage
}

// Pend has objects examined by the next update, or by the next pack should this
// run not come so far, if what differs is to be marked.
func (c *Comparison) Pend(ctx context.Context, conn *pgx.Conn, zoids []int64) error {
	if !c.Mark || len(zoids) == 0 {
		return nil
	}
	if _, err := conn.Exec(ctx, "SELECT relpack.pend($1, $2)", c.PID, zoids); err != nil {
		return fmt.Errorf("note what differs in relpack.pending: %w", err)
	}
	return nil
}
