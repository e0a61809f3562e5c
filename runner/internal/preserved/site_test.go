package preserved

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/revision"
	"relpack/runner/internal/zodbtest"
)

// do carries out a step of the site, or of somebody else who writes to its tables.
func (h *history) do(ctx context.Context, s step) error {
	switch s.name() {
	case "begin:old":
		h.begun++ // the storage is that of RelStorage 2.1
		return nil
	case "begin:files":
		h.begun++
		return h.beginFiles()
	case "begin:fresh":
		h.begun++
		h.w.pool.Fresh(true) // relpack's sessions are new ones
		return nil
	case "begin:late":
		// What is written now is later than the pack time of a pack with grace=0.
		h.begun++
		h.base = h.base.Add(-45 * time.Second)
		return nil
	case "open:reader":
		return h.openReader(ctx)
	case "close:reader", "close:commit":
		return h.closeReader(ctx, s)
	case "zodbpack:trim":
		h.eventful, h.disturbed = true, true
		if err := h.tick(ctx); err != nil {
			return err
		}
		return h.otherPack(ctx, h.tidAt(s.args["grace"]))
	case "undo:back":
		return h.undo(ctx, s)
	case "snapshot:taken":
		return h.snapshot(ctx)
	}
	switch s.verb {
	case "commit":
		return h.commit(ctx, s)
	case "sweep":
		return h.sweep(ctx, s)
	case "restore", "delete", "alter", "reload":
		h.eventful, h.disturbed = true, true
		if err := h.tick(ctx); err != nil {
			return err
		}
		return h.foreign(ctx, s)
	case "pack":
		return h.pack(ctx, s)
	}
	return fmt.Errorf("unknown step %s", s)
}

// tidAt is a tid of so many minutes before the history.
func (h *history) tidAt(age int64) int64 {
	return zodbtest.TimeTid(h.base.Add(-time.Duration(age) * time.Minute))
}

func (h *history) newest(ctx context.Context) (tid int64, err error) {
	err = h.site.Conn.QueryRow(ctx, "SELECT max(tid) FROM transaction").Scan(&tid)
	return tid, err
}

// nextTid is that of a commit. While somebody reads, it tells the time: what a pack
// leaves for readers goes by that. Clients of an old release have clocks of their own.
func (h *history) nextTid(ctx context.Context, s step) (int64, error) {
	newest, err := h.newest(ctx)
	if h.open != nil && h.site.Version >= zodbtest.V30 || s.is("now") {
		return max(zodbtest.TimeTid(time.Now()), newest+1), err
	}
	return max(h.tidAt(s.args["age"]), newest+1), err
}

// state is a write's record. Those of several revisions differ, or are the same.
func (h *history) state(w write) []byte {
	switch w.kind {
	case "plain":
		return zodbtest.PaddedRecord(zodbtest.Document, h.drawn()%3, w.refs...)
	case "zip":
		return zodbtest.Compressed(zodbtest.Record(zodbtest.Document, w.refs...))
	case "blob":
		return zodbtest.PaddedRecord(zodbtest.Blob, h.drawn()%3)
	case "opaque":
		return zodbtest.Encrypted(zodbtest.Record(zodbtest.Document, w.refs...))
	}
	return nil
}

// records leaves out what a shortened script can't do: root stays, and nobody refers
// to what is not stored.
func (h *history) records(ctx context.Context, writes []write) (objects map[int64][]byte, chunks map[int64][][]byte, err error) {
	now, err := revision.Load(ctx, h.site.Conn)
	if err != nil {
		return nil, nil, err
	}
	known := map[int64]bool{}
	for zoid := range now.Revisions {
		known[zoid] = true
	}
	for _, w := range writes {
		known[w.zoid] = true
	}
	objects, chunks = map[int64][]byte{}, map[int64][][]byte{}
	for _, w := range writes {
		if w.zoid == 0 && w.kind != "plain" {
			continue
		}
		w.refs = slices.DeleteFunc(slices.Clone(w.refs), func(ref int64) bool { return !known[ref] })
		objects[w.zoid] = h.state(w)
		if w.kind == "blob" && h.files == nil {
			chunks[w.zoid] = [][]byte{{byte(h.drawn())}}
		}
	}
	return objects, chunks, nil
}

func (h *history) commit(ctx context.Context, s step) error {
	objects, chunks, err := h.records(ctx, s.writes)
	if err != nil || len(objects) == 0 {
		return err
	}
	tid, err := h.nextTid(ctx, s)
	if err != nil {
		return err
	}
	_, err = h.site.CommitBlobs(ctx, tid, objects, chunks)
	return err
}

// back is the n-th transaction from the last one on; 0: there is none.
func (h *history) back(ctx context.Context, n int64) (tid int64, err error) {
	err = h.site.Conn.QueryRow(ctx, "SELECT tid FROM transaction WHERE tid > 0 ORDER BY tid DESC OFFSET $1 LIMIT 1", n).Scan(&tid)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return tid, err
}

func (h *history) undo(ctx context.Context, s step) error {
	undone, err := h.back(ctx, s.args["n"])
	if err != nil || undone == 0 {
		return err
	}
	tid, err := h.nextTid(ctx, s)
	if err != nil {
		return err
	}
	_, err = h.site.Undo(ctx, undone, tid)
	if errors.Is(err, zodbtest.ErrUndo) {
		h.w.counts["undo refused"]++
		return nil
	}
	if err == nil {
		h.w.counts["undone"]++
	}
	return err
}

// openReader begins a transaction of another client, that sees what is stored now.
func (h *history) openReader(ctx context.Context) error {
	if h.open != nil {
		return nil
	}
	tx, err := h.w.other.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		return err
	}
	h.open, h.disturbed = tx, false
	if h.seen, err = revision.Load(ctx, h.w.other); err == nil {
		newest := newestOf(h.seen)
		h.w.seen = &newest
	}
	return err
}

// closeReader ends it. Before, it may write what it has seen: no conflict, if nobody
// wrote to the same object.
func (h *history) closeReader(ctx context.Context, s step) error {
	if h.open == nil {
		return nil
	}
	seen := h.seen
	err := h.open.Rollback(ctx)
	if s.kind != "commit" || err != nil {
		h.open, h.seen = nil, nil
		return err
	}
	live := current(seen)
	now, err := revision.Load(ctx, h.site.Conn)
	if err != nil {
		return err
	}
	var writes []write
	for _, w := range s.writes {
		_, stored := now.Revisions[w.zoid]
		if stored && seen.Current[w.zoid] != now.Current[w.zoid] {
			continue
		}
		w.refs = slices.DeleteFunc(slices.Clone(w.refs), func(ref int64) bool { return !live[ref] })
		writes = append(writes, w)
	}
	s.writes = writes
	err = h.commit(ctx, s) // its tid tells the time
	h.open, h.seen = nil, nil
	return err
}

// current is what can be reached from the root by current revisions.
func current(s *revision.Storage) map[int64]bool {
	reached := map[int64]bool{}
	for open := []int64{0}; len(open) > 0; {
		zoid := open[0]
		open = open[1:]
		r, there := s.At(zoid, s.Current[zoid])
		if reached[zoid] || !there {
			continue
		}
		reached[zoid] = true
		refs, _ := refsOf(r)
		open = append(open, refs...)
	}
	return reached
}

// tick sets the clock by which relpack dates what no tid shows: to some minutes after
// the last commit.
func (h *history) tick(ctx context.Context) error {
	newest, err := h.newest(ctx)
	if err != nil {
		return err
	}
	moment := zodbtest.TidTime(newest).Truncate(time.Minute).Add(20 * time.Minute)
	if moment.After(h.base) {
		moment = h.base
	}
	if tid := zodbtest.TimeTid(moment); tid > h.clock {
		h.clock = tid
		_, err = h.site.Conn.Exec(ctx, "UPDATE public.model SET moment = $1", moment)
	}
	return err
}

// stored tells which tid the n-th revision of an object from its newest on has.
func stored(s *revision.Storage, zoid, n int64) (revision.Revision, bool) {
	revisions := s.Revisions[zoid]
	if n >= int64(len(revisions)) {
		return revision.Revision{}, false
	}
	return revisions[int64(len(revisions))-1-n], true
}

// isBusy tells whether a step could not be done because a pack has locked what it
// needs: the site would wait, and so would the pack for the test.
func isBusy(err error) bool {
	return fault.IsState(err, "55P03") || fault.IsState(err, "40P01") || fault.IsState(err, "57014")
}

func sorted(set map[int64]bool) []int64 { return slices.Sorted(maps.Keys(set)) }
