package graph

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"

	"relpack/runner/record"
	"relpack/runner/session"
)

// scan reads all ranges of blocks that are still to be read, for a first build.
func (p *Packer) scan(ctx context.Context) error {
	ranges, err := session.Rows(ctx, p.Conn, func(row pgx.CollectableRow) (r record.Blocks, err error) {
		return r, row.Scan(&r.First, &r.Last)
	}, "SELECT first_block, last_block FROM relpack.scan_range ORDER BY first_block")
	if err != nil {
		return fmt.Errorf("list the blocks to read: %w", err)
	}
	var watermark int64
	if err := p.Conn.QueryRow(ctx, "SELECT watermark FROM relpack.storage").Scan(&watermark); err != nil {
		return fmt.Errorf("read relpack.storage: %w", err)
	}
	var blocks int64
	for _, r := range ranges {
		blocks += r.Last - r.First + 1
	}
	p.Progress.Phase("scan", "blocks", blocks)
	defer p.Progress.End()
	classes, err := record.NewClasses(ctx, p.Conn)
	if err != nil {
		return err
	}
	return p.readRanges(ctx, math.MaxInt64, ranges, func(ctx context.Context) (rangeReader, error) {
		w := NewStager(p, watermark, classes)
		return w, w.open(ctx)
	})
}

// A Stager reads in one session and stages in another.
type Stager struct {
	*Packer
	states            *record.Reader
	Reader, Writer    *pgx.Conn
	watermark         int64
	filenode          int64 // of object_state, when the range was read
	objects, inrefs   *record.Buffer
	foreign           *record.Buffer
	sender            *record.Sender
	undecoded, empty  []int64
	several           []int64 // objects of which several revisions are kept
	records, bytes    int64
	refs, foreignRefs int64
}

// NewStager reads what is no later than the watermark. Its sessions are missing yet.
func NewStager(p *Packer, watermark int64, classes *record.Classes) *Stager {
	w := &Stager{
		Packer: p, watermark: watermark,
		objects: record.NewBuffer("staged_object", "zoid, tid, class, size"),
		inrefs:  record.NewBuffer("object_inref", "zoid, inref"),
		foreign: record.NewForeignBuffer(),
	}
	w.states = record.NewReader(classes, w.stage)
	w.states.History = record.History(p.History)
	return w
}

func (w *Stager) open(ctx context.Context) (err error) {
	if w.Reader, err = w.Session(ctx, "scan"); err != nil {
		return err
	}
	w.Writer, err = w.Session(ctx, "stage")
	return err
}

func (w *Stager) close() {
	for _, conn := range []*pgx.Conn{w.Reader, w.Writer} {
		if conn != nil { // opened
			session.Close(conn)
		}
	}
}

// Read reads one range in a transaction of its own and stages it in another:
// a range is done with all its rows or not at all.
func (w *Stager) Read(ctx context.Context, r record.Blocks) error {
	w.records, w.bytes, w.refs, w.foreignRefs = 0, 0, 0, 0
	w.undecoded, w.empty, w.several = w.undecoded[:0], w.empty[:0], w.several[:0]
	err := pgx.BeginFunc(ctx, w.Writer, func(pgx.Tx) error {
		w.sender = record.NewSender(ctx, w.Writer)
		err := pgx.BeginTxFunc(ctx, w.Reader, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(pgx.Tx) error {
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
	w.Scanned.Add(w.records, w.bytes)
	return nil
}

func (w *Stager) copyOut(ctx context.Context, r record.Blocks) (err error) {
	if w.filenode, err = record.LockBlocks(ctx, w.Reader); err != nil {
		return err
	}
	if err := w.states.Single(ctx, w.Reader, r, w.watermark); err != nil {
		return err
	}
	return w.wholeRoot(ctx)
}

// wholeRoot reads the root if several of its revisions are kept: a graph without it is
// believed to be lost. One that is written meanwhile is left to the first capture.
func (w *Stager) wholeRoot(ctx context.Context) error {
	root := slices.Index(w.several, 0)
	if root < 0 {
		return nil
	}
	records := w.records
	if err := w.states.Stored(ctx, w.Reader, "zoid = 0", w.watermark); err != nil {
		return err
	}
	if w.records > records {
		w.several = slices.Delete(w.several, root, root+1)
	}
	return nil
}

func (w *Stager) stage(_ context.Context, rec record.Row, found record.Decoded) error {
	if bool(w.states.History) && rec.Tid == 0 {
		w.several = append(w.several, rec.Zoid)
		return nil
	}
	w.records++
	w.bytes += rec.Size
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
	w.objects.Integer(int32(rec.Size))
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

func (w *Stager) finish(ctx context.Context, r record.Blocks) error {
	for _, b := range []*record.Buffer{w.objects, w.inrefs, w.foreign} {
		if err := b.Flush(ctx, w.Writer); err != nil {
			return err
		}
	}
	_, err := w.Writer.Exec(ctx, "SELECT relpack.scan_done($1, $2, $3, $4, $5, $6, $7, $8, $9)",
		w.PID, r.First, w.filenode, w.records-int64(len(w.undecoded)), w.refs, w.foreignRefs, append(w.undecoded, w.several...), w.empty, record.EmptyState)
	return err
}
