package runner

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// scanWorkers read and write at the same time, each with two sessions.
const scanWorkers = 2

// blockRange is a row of relpack.scan_range.
type blockRange struct{ first, last int64 }

// scan reads all ranges of blocks that are still to be read, for a first build.
func (p *pack) scan(ctx context.Context) error {
	ranges, err := pgxRows(ctx, p.conn, func(row pgx.CollectableRow) (r blockRange, err error) {
		return r, row.Scan(&r.first, &r.last)
	}, "SELECT first_block, last_block FROM relpack.scan_range ORDER BY first_block")
	if err != nil {
		return fmt.Errorf("list the blocks to read: %w", err)
	}
	var watermark, filenode int64
	if err := p.conn.QueryRow(ctx, "SELECT watermark, filenode::bigint FROM relpack.storage").Scan(&watermark, &filenode); err != nil {
		return fmt.Errorf("read relpack.storage: %w", err)
	}
	packer, err := backend(ctx, p.conn)
	if err != nil {
		return fmt.Errorf("look for the session that holds the pack lock: %w", err)
	}
	var blocks int64
	for _, r := range ranges {
		blocks += r.last - r.first + 1
	}
	p.progress.Phase("scan", "blocks", blocks)
	defer p.progress.End()
	classes, err := newClassCache(ctx, p.conn)
	if err != nil {
		return err
	}
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range min(scanWorkers, len(ranges)) {
		group.Go(func() error {
			w := &scanWorker{pack: p, packer: packer, watermark: watermark, filenode: filenode}
			w.decoder = decoder{classes: classes, ids: map[string]int32{}}
			defer w.close()
			if err := w.open(ctx); err != nil {
				return err
			}
			for {
				i := int(next.Add(1)) - 1
				if i >= len(ranges) || p.stopped() {
					return nil
				}
				if err := w.read(ctx, ranges[i]); err != nil {
					return fmt.Errorf("blocks %d to %d of object_state: %w", ranges[i].first, ranges[i].last, err)
				}
				p.progress.Add(ranges[i].last - ranges[i].first + 1)
			}
		})
	}
	return group.Wait()
}

var errLockLost = errors.New("the session that holds the pack lock has ended")

type scanWorker struct {
	*pack
	decoder
	reader, writer      *pgx.Conn
	packer              uint32 // process id of the session that holds the pack lock
	watermark, filenode int64
	objects, inrefs     *copyBuffer
	foreign             *copyBuffer
	sender              *copySender
	undecoded, empty    []int64
	records, bytes      int64
	refs, foreignRefs   int64
}

func (w *scanWorker) open(ctx context.Context) (err error) {
	w.objects = newCopyBuffer("staged_object", "zoid, tid, class, size")
	w.inrefs = newCopyBuffer("object_inref", "zoid, inref")
	w.foreign = newForeignBuffer()
	if w.reader, err = w.session(ctx, "scan"); err != nil {
		return err
	}
	w.writer, err = w.session(ctx, "stage")
	return err
}

func (w *scanWorker) close() {
	for _, conn := range []*pgx.Conn{w.reader, w.writer} {
		if conn != nil { // opened
			closeSession(conn)
		}
	}
}

// read reads one range in a transaction of its own and stages it in another:
// a range is done with all its rows or not at all.
func (w *scanWorker) read(ctx context.Context, r blockRange) error {
	w.records, w.bytes, w.refs, w.foreignRefs = 0, 0, 0, 0
	w.undecoded, w.empty = w.undecoded[:0], w.empty[:0]
	err := pgx.BeginFunc(ctx, w.writer, func(pgx.Tx) error {
		w.sender = newCopySender(ctx, w.writer)
		err := pgx.BeginTxFunc(ctx, w.reader, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(pgx.Tx) error {
			return w.copyOut(w.sender.ctx, r)
		})
		if err := w.sender.end(err); err != nil {
			return err
		}
		return w.finish(ctx, r)
	})
	if err != nil {
		return err
	}
	w.counts.scanned.Add(w.records)
	w.counts.scannedBytes.Add(w.bytes)
	return nil
}

func (w *scanWorker) copyOut(ctx context.Context, r blockRange) error {
	same, err := lockRange(ctx, w.reader, w.filenode)
	if err != nil {
		return err
	}
	if !same {
		if _, err := w.writer.Exec(ctx, "UPDATE relpack.storage SET scan_disturbed = true WHERE NOT scan_disturbed"); err != nil {
			return err
		}
	}
	return copyRange(ctx, w.reader, r, w.watermark, func(rec record) error { return w.stage(ctx, rec) })
}

// lockRange begins the transaction that reads a range. It tells whether the
// table is still the same on disk: VACUUM FULL, CLUSTER and pg_repack move rows
// into ranges already read. The lock keeps them out until the transaction ends.
func lockRange(ctx context.Context, reader *pgx.Conn, filenode int64) (same bool, err error) {
	if _, err := reader.Exec(ctx, lockObjectState); err != nil {
		return false, err
	}
	err = reader.QueryRow(ctx, "SELECT pg_relation_filenode('public.object_state')::bigint = $1", filenode).Scan(&same)
	return same, err
}

// copyRange reads the rows of a range up to a tid.
func copyRange(ctx context.Context, reader *pgx.Conn, r blockRange, last int64, row func(record) error) error {
	return copyRows(ctx, reader, fmt.Sprintf("ctid >= '(%d,0)' AND ctid < '(%d,0)'", r.first, r.last+1), last, row)
}

// copyRows reads rows up to a tid.
func copyRows(ctx context.Context, reader *pgx.Conn, where string, last int64, row func(record) error) error {
	sql := fmt.Sprintf("COPY (SELECT zoid, tid, state FROM public.object_state"+
		" WHERE %s AND tid <= %d) TO STDOUT (FORMAT binary)", where, last)
	_, err := reader.PgConn().CopyTo(ctx, &recordReader{row: row}, sql)
	return err
}

func (w *scanWorker) stage(ctx context.Context, rec record) error {
	found, err := w.decode(ctx, rec.state)
	if err != nil {
		return fmt.Errorf("zoid %d: %w", rec.zoid, err)
	}
	w.records++
	w.bytes += int64(len(rec.state))
	if found.problem != nil {
		// Looked at again when there is a graph to look things up in.
		w.undecoded = append(w.undecoded, rec.zoid)
		return nil
	}
	if found.empty {
		w.empty = append(w.empty, rec.zoid)
	}
	w.refs += int64(len(found.refs))
	w.objects.row(4)
	w.objects.bigint(rec.zoid)
	w.objects.bigint(rec.tid)
	w.objects.integer(found.class)
	w.objects.integer(int32(len(rec.state)))
	for _, ref := range found.refs {
		w.inrefs.row(2)
		w.inrefs.bigint(ref)
		w.inrefs.bigint(rec.zoid)
	}
	w.foreignRefs += int64(len(found.foreign))
	found.stageForeign(w.foreign, rec.zoid)
	for _, b := range []*copyBuffer{w.objects, w.inrefs, w.foreign} {
		if b.full() {
			if err := w.sender.send(b); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *scanWorker) finish(ctx context.Context, r blockRange) error {
	for _, b := range []*copyBuffer{w.objects, w.inrefs, w.foreign} {
		if err := b.flush(ctx, w.writer); err != nil {
			return err
		}
	}
	if w.foreignRefs > 0 {
		// Another worker's rows are not visible, and those that a lost session left
		// behind are not ours. In this order no worker waits for the other where a
		// row that moved is read by both.
		if _, err := w.writer.Exec(ctx, `
			WITH moved AS (
			    DELETE FROM relpack.examined_foreign
			    WHERE xmin = pg_current_xact_id()::xid
			    RETURNING inref, database, zoid
			)
			INSERT INTO relpack.foreign_reference (inref, database, zoid)
			SELECT DISTINCT inref, database, zoid FROM moved ORDER BY inref, database, zoid
			ON CONFLICT DO NOTHING`); err != nil {
			return err
		}
	}
	if len(w.undecoded) > 0 {
		if _, err := w.writer.Exec(ctx, "INSERT INTO relpack.pending (zoid) SELECT unnest($1::bigint[]) ON CONFLICT DO NOTHING", w.undecoded); err != nil {
			return err
		}
	}
	if len(w.empty) > 0 {
		if _, err := w.writer.Exec(ctx, `INSERT INTO relpack.problem (zoid, blocks, kind, detail)
			SELECT unnest($1::bigint[]), false, 'empty', $2 ON CONFLICT DO NOTHING`, w.empty, emptyState); err != nil {
			return err
		}
	}
	tag, err := w.writer.Exec(ctx, "DELETE FROM relpack.scan_range WHERE first_block = $1", r.first)
	if err == nil && tag.RowsAffected() != 1 {
		err = errors.New("another session has read them: is another pack running?")
	}
	if err != nil {
		return err
	}
	// Last of all: the other worker waits for this row.
	if _, err := w.writer.Exec(ctx, "UPDATE relpack.storage SET objects = objects + $1, inrefs = inrefs + $2",
		w.records-int64(len(w.undecoded)), w.refs); err != nil {
		return err
	}
	// The session that holds the pack lock may have been lost. Another pack may
	// then begin a build of its own, in which this range counted as read; but it
	// has to wait for the locks that this transaction has by now.
	var held bool
	if err := w.writer.QueryRow(ctx, "SELECT EXISTS (SELECT FROM relpack.pack_lock_holder() WHERE pid = $1)", w.packer).Scan(&held); err != nil {
		return err
	}
	if !held {
		return errLockLost
	}
	return nil
}
