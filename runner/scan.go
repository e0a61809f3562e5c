package runner

import (
	"context"
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
	var watermark int64
	if err := p.conn.QueryRow(ctx, "SELECT watermark FROM relpack.storage").Scan(&watermark); err != nil {
		return fmt.Errorf("read relpack.storage: %w", err)
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
			w := &scanWorker{pack: p, watermark: watermark}
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

type scanWorker struct {
	*pack
	decoder
	reader, writer    *pgx.Conn
	watermark         int64
	filenode          int64 // of object_state, when the range was read
	objects, inrefs   *copyBuffer
	foreign           *copyBuffer
	sender            *copySender
	undecoded, empty  []int64
	records, bytes    int64
	refs, foreignRefs int64
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

func (w *scanWorker) copyOut(ctx context.Context, r blockRange) (err error) {
	if w.filenode, err = lockRange(ctx, w.reader); err != nil {
		return err
	}
	return copyRange(ctx, w.reader, r, w.watermark, func(rec record) error { return w.stage(ctx, rec) })
}

// lockRange begins the transaction that reads a range. It tells which file the
// table is: VACUUM FULL, CLUSTER and pg_repack make another one, in which rows
// have moved into ranges already read. The lock keeps them out until the
// transaction ends.
func lockRange(ctx context.Context, reader *pgx.Conn) (filenode int64, err error) {
	if _, err := reader.Exec(ctx, lockObjectState); err != nil {
		return 0, err
	}
	err = reader.QueryRow(ctx, "SELECT pg_relation_filenode('public.object_state')::bigint").Scan(&filenode)
	return filenode, err
}

// copyRange reads the rows of a range up to a tid. Blocks are the table's:
// relpack.stored() has none.
func copyRange(ctx context.Context, reader *pgx.Conn, r blockRange, last int64, row func(record) error) error {
	return copyQuery(ctx, reader, fmt.Sprintf("SELECT zoid, tid, state FROM public.object_state"+
		" WHERE ctid >= '(%d,0)' AND ctid < '(%d,0)' AND tid <= %d", r.first, r.last+1, last), row)
}

// copyStored reads objects up to a tid.
func copyStored(ctx context.Context, reader *pgx.Conn, where string, last int64, row func(record) error) error {
	return copyQuery(ctx, reader, fmt.Sprintf("SELECT zoid, tid, state FROM relpack.stored() WHERE %s AND tid <= %d", where, last), row)
}

// copyQuery reads what a query finds, in the columns of a record.
func copyQuery(ctx context.Context, reader *pgx.Conn, query string, row func(record) error) error {
	_, err := reader.PgConn().CopyTo(ctx, &recordReader{row: row}, "COPY ("+query+") TO STDOUT (FORMAT binary)")
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
	_, err := w.writer.Exec(ctx, "SELECT relpack.scan_done($1, $2, $3, $4, $5, $6, $7, $8, $9)",
		w.packer, r.first, w.filenode, w.records-int64(len(w.undecoded)), w.refs, w.foreignRefs, w.undecoded, w.empty, emptyState)
	return err
}
