package graph

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/record"
)

// auditTime bounds what a run spends on reading its share of the storage again.
const auditTime = 60 * time.Second

// Objects that an audit reads in one transaction, which is to take a second or
// so.
const (
	firstShare = 500
	mostShare  = 20_000
)

// Share reads a share of the storage again, of so many objects, and compares it
// with the graph. It goes on where the last audit ended.
func (c *Comparison) Share(ctx context.Context, due int64) error {
	c.Progress.Phase("audit", "objects", due)
	defer c.Progress.End()
	var began time.Time
	classes, err := record.NewClasses(ctx, c.Conn)
	if err != nil {
		return err
	}
	// Most shares are so small that to connect would take longer than to read them.
	w := newComparer(c, classes)
	w.reader, classes.Open = c.Conn, w.second.Get
	if err := c.Conn.QueryRow(ctx, "SELECT clock_timestamp(), listed_tid FROM relpack.storage").Scan(&began, &w.listed); err != nil {
		return fmt.Errorf("read relpack.storage: %w", err)
	}
	defer w.close()
	objects := firstShare
	for done, start := int64(0), time.Now(); done < due && time.Since(start) < auditTime && c.Findings.None(); {
		if c.Stopped() {
			return fault.Interrupted
		}
		piece := time.Now()
		more, read, err := w.piece(ctx, began, objects)
		if fault.IsState(err, "55P03") { // lock_not_available
			c.Log.Info("object_state is locked: the next run verifies this run's share of it")
			return nil
		}
		if err != nil {
			return fmt.Errorf("verify a share of the storage: %w", err)
		}
		if !more {
			return nil
		}
		done += read
		c.Progress.Add(read)
		if took := time.Since(piece); took > time.Second {
			objects = max(objects/2, 1)
		} else if took < time.Second/2 {
			objects = min(2*objects, mostShare)
		}
	}
	return nil
}

// piece reads and compares the next range of zoids; false: there is none left.
func (w *comparer) piece(ctx context.Context, began time.Time, objects int) (more bool, read int64, err error) {
	var first, last *int64
	var missing []int64
	err = w.Looking(ctx, func() error {
		return w.Conn.QueryRow(ctx, "SELECT first_zoid, last_zoid FROM relpack.audit_range($1, $2)", objects, began).Scan(&first, &last)
	})
	if err != nil || first == nil {
		return false, 0, err
	}
	before := w.Scanned.Count().Objects
	if err := w.transaction(ctx, func() error {
		if _, err := w.reader.Exec(ctx, w.lockStorage()); err != nil {
			return err
		}
		return w.states.Stored(ctx, w.reader, fmt.Sprintf("zoid BETWEEN %d AND %d", *first, *last), w.listed)
	}); err != nil {
		return false, 0, err
	}
	read = w.Scanned.Count().Objects - before
	if err := w.Looking(ctx, func() error {
		return w.Conn.QueryRow(ctx, "SELECT missing FROM relpack.verify_nodes($1, $2)", *first-1, objects).Scan(&missing)
	}); err != nil {
		return false, 0, err
	}
	w.Findings.Add("other_than_stored", int64(len(missing)), missing)
	if err := w.Pend(ctx, w.Conn, missing); err != nil {
		return false, 0, err
	}
	if err := w.tree(ctx, *first, *last); err != nil || !w.Findings.None() {
		return true, read, err
	}
	_, err = w.Conn.Exec(ctx, "SELECT relpack.audit_done($1, $2, $3, $4)", *first, *last, began, read)
	return true, read, err
}

// tree checks parents in a range of zoids.
func (c *Comparison) tree(ctx context.Context, first, last int64) error {
	rows, err := c.Conn.Query(ctx, "SELECT kind, zoid FROM relpack.audit_tree($1, $2)", first, last)
	if err != nil {
		return err
	}
	var kind string
	var zoid int64
	_, err = pgx.ForEachRow(rows, []any{&kind, &zoid}, func() error {
		c.Findings.Add(kind, 1, []int64{zoid})
		return nil
	})
	return err
}
