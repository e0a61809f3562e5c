package runner

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"relpack/runner/record"
	"relpack/runner/session"
)

// scanWorkers read and write at the same time, each with two sessions.
const scanWorkers = 2

// scan reads all ranges of blocks that are still to be read, for a first build.
func (p *pack) scan(ctx context.Context) error {
	ranges, err := session.Rows(ctx, p.conn, func(row pgx.CollectableRow) (r record.Blocks, err error) {
		return r, row.Scan(&r.First, &r.Last)
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
		blocks += r.Last - r.First + 1
	}
	p.progress.Phase("scan", "blocks", blocks)
	defer p.progress.End()
	classes, err := record.NewClasses(ctx, p.conn)
	if err != nil {
		return err
	}
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range min(scanWorkers, len(ranges)) {
		group.Go(func() error {
			w := &scanWorker{pack: p, watermark: watermark}
			w.Decoder = record.NewDecoder(classes)
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
					return fmt.Errorf("blocks %d to %d of object_state: %w", ranges[i].First, ranges[i].Last, err)
				}
				p.progress.Add(ranges[i].Last - ranges[i].First + 1)
			}
		})
	}
	return group.Wait()
}

type scanWorker struct {
	*pack
	record.Decoder
	reader, writer    *pgx.Conn
	watermark         int64
	filenode          int64 // of object_state, when the range was read
	objects, inrefs   *record.Buffer
	foreign           *record.Buffer
	sender            *record.Sender
	undecoded, empty  []int64
	records, bytes    int64
	refs, foreignRefs int64
}

func (w *scanWorker) open(ctx context.Context) (err error) {
	w.objects = record.NewBuffer("staged_object", "zoid, tid, class, size")
	w.inrefs = record.NewBuffer("object_inref", "zoid, inref")
	w.foreign = record.NewForeignBuffer()
	if w.reader, err = w.session(ctx, "scan"); err != nil {
		return err
	}
	w.writer, err = w.session(ctx, "stage")
	return err
}

func (w *scanWorker) close() {
	for _, conn := range []*pgx.Conn{w.reader, w.writer} {
		if conn != nil { // opened
			session.Close(conn)
		}
	}
}

// read reads one range in a transaction of its own and stages it in another:
// a range is done with all its rows or not at all.
func (w *scanWorker) read(ctx context.Context, r record.Blocks) error {
	w.records, w.bytes, w.refs, w.foreignRefs = 0, 0, 0, 0
	w.undecoded, w.empty = w.undecoded[:0], w.empty[:0]
	err := pgx.BeginFunc(ctx, w.writer, func(pgx.Tx) error {
		w.sender = record.NewSender(ctx, w.writer)
		err := pgx.BeginTxFunc(ctx, w.reader, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(pgx.Tx) error {
			return w.copyOut(w.sender.Ctx, r)
		})
		if err := w.sender.End(err); err != nil {
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

func (w *scanWorker) copyOut(ctx context.Context, r record.Blocks) (err error) {
	if w.filenode, err = record.LockBlocks(ctx, w.reader); err != nil {
		return err
	}
	return record.CopyBlocks(ctx, w.reader, r, w.watermark, func(rec record.Row) error { return w.stage(ctx, rec) })
}

func (w *scanWorker) stage(ctx context.Context, rec record.Row) error {
	found, err := w.Decode(ctx, rec.State)
	if err != nil {
		return fmt.Errorf("zoid %d: %w", rec.Zoid, err)
	}
	w.records++
	w.bytes += int64(len(rec.State))
	if found.Problem != nil {
		// Looked at again when there is a graph to look things up in.
		w.undecoded = append(w.undecoded, rec.Zoid)
		return nil
	}
	if found.Empty {
		w.empty = append(w.empty, rec.Zoid)
	}
	w.refs += int64(len(found.Refs))
	w.objects.Row(4)
	w.objects.Bigint(rec.Zoid)
	w.objects.Bigint(rec.Tid)
	w.objects.Integer(found.Class)
	w.objects.Integer(int32(len(rec.State)))
	for _, ref := range found.Refs {
		w.inrefs.Row(2)
		w.inrefs.Bigint(ref)
		w.inrefs.Bigint(rec.Zoid)
	}
	w.foreignRefs += int64(len(found.Foreign))
	found.StageForeign(w.foreign, rec.Zoid)
	for _, b := range []*record.Buffer{w.objects, w.inrefs, w.foreign} {
		if b.Full() {
			if err := w.sender.Send(b); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *scanWorker) finish(ctx context.Context, r record.Blocks) error {
	for _, b := range []*record.Buffer{w.objects, w.inrefs, w.foreign} {
		if err := b.Flush(ctx, w.writer); err != nil {
			return err
		}
	}
	_, err := w.writer.Exec(ctx, "SELECT relpack.scan_done($1, $2, $3, $4, $5, $6, $7, $8, $9)",
		w.packer, r.First, w.filenode, w.records-int64(len(w.undecoded)), w.refs, w.foreignRefs, w.undecoded, w.empty, record.EmptyState)
	return err
}
