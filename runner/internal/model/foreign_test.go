package model

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/zodbtest"
)

// Some objects of the model refer to objects of another database, too: which
// ones is up to what else they refer to, so that nothing has to be drawn.

// modelFar is beyond the oids of the model: no such reference may be taken for
// one within the storage.
const modelFar = 1 << 40

// foreign are the oids that an object refers to in another database; -1 where
// that can't be told.
func (c modelContent) foreign() []int64 {
	if c.kind == "opaque" {
		return []int64{-1}
	}
	if c.kind != "plain" && c.kind != "zip" {
		return nil
	}
	var sum int64
	for _, ref := range c.refs {
		sum += ref
	}
	switch sum % 5 {
	case 1:
		return []int64{modelFar + sum}
	case 2:
		return []int64{modelFar, modelFar + sum}
	}
	return nil
}

func (c modelContent) withForeign(record []byte) []byte {
	far := c.foreign()
	if len(far) == 0 {
		return record
	}
	record = append(bytes.TrimSuffix(record, []byte("u.")), "X\x03\x00\x00\x00far]"...)
	for _, oid := range far {
		record = append(record, "](X\x01\x00\x00\x00mX\x05\x00\x00\x00otherC\x08"+string(zodbtest.Oid(oid))+"czmodels\nDocument\n\x87eQa"...)
	}
	return append(record, "u."...)
}

// checkForeign compares what is recorded of references to other databases with
// what is stored. Of an odd record nothing is said,
// and a row that vanished may keep its references.
func (h *modelHistory) checkForeign(ctx context.Context) error {
	var want []string
	for zoid, row := range h.stored {
		for _, oid := range row.content.foreign() {
			database := "other"
			if oid < 0 {
				database = ""
			}
			want = append(want, fmt.Sprintf("%d to %d of %q", zoid, oid, database))
		}
	}
	odd := []int64{}
	for zoid, row := range h.stored {
		if row.content.kind == "odd" {
			odd = append(odd, zoid)
		}
	}
	rows, err := h.w.app.Query(ctx, `SELECT inref, zoid, database FROM relpack.foreign_reference
		WHERE inref <> ALL ($1) AND NOT EXISTS (SELECT FROM relpack.missing WHERE missing.zoid = inref)`, odd)
	if err != nil {
		return err
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		var zoid, oid int64
		var database string
		err := row.Scan(&zoid, &oid, &database)
		return fmt.Sprintf("%d to %d of %q", zoid, oid, database), err
	})
	if err != nil {
		return err
	}
	slices.Sort(want)
	slices.Sort(found)
	if !slices.Equal(found, want) {
		return lossf("references to other databases are %v, and should be %v", found, want)
	}
	return nil
}

// sweepReferred tries now and then what can't be undone while another storage
// refers to this one, may do so, or was never read; when it has just ceased to;
// and when it was looked at before the youngest of the chosen was cut off. All
// of that is rolled back.
func (r *modelRun) sweepReferred(ctx context.Context) error {
	rows := []string{"(1, 0, now(), 'elsewhere', 'other')", "(0, 1, now(), 'elsewhere', 'other')", "(0, 0, NULL, '', 'other')"}
	if r.moment%4 >= len(rows) {
		return r.sweepAfterLook(ctx)
	}
	const note = "INSERT INTO relpack.referred_by (refs, unreadable, looked, origin, holder) VALUES "
	return r.undone(ctx, note+rows[r.moment%4], func(tx pgx.Tx) error {
		// That is another database of the name.
		if _, err := tx.Exec(ctx, "SELECT relpack.forget_referrer('other', relpack.origin())"); err != nil {
			return err
		}
		refused := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "SELECT relpack.sweep(10, $1)", r.packTime)
			return err
		})
		r.w.counts["sweep while another storage refers to this one"]++
		if !fault.IsState(refused, fault.StateRefused) {
			return lossf("a storage that another one may refer to was swept: %v", refused)
		}
		if r.packTime == nil {
			return nil
		}
		if _, err := tx.Exec(ctx, "SELECT relpack.forget_referrer('other')"); err != nil {
			return err
		}
		var gone int64
		if err := tx.QueryRow(ctx, "SELECT objects FROM relpack.sweep(10, $1)", r.packTime).Scan(&gone); err != nil {
			return err
		}
		r.w.counts["sweep when another storage has ceased to refer to this one"]++
		return lossUnless(gone == 0, "what another storage referred to a moment ago was deleted")
	})
}

const modelYoungest = `
	SELECT object.zoid
	FROM relpack.doomed
	JOIN relpack.object USING (zoid)
	ORDER BY coalesce(object.detached_tid, object.tid) DESC, zoid
	LIMIT 1`

func (r *modelRun) sweepAfterLook(ctx context.Context) error {
	look := `INSERT INTO relpack.referred_by (refs, unreadable, looked, origin, holder)
		SELECT 0, 0, relpack.tid_to_time(coalesce(detached_tid, tid)) - interval '1 microsecond', 'elsewhere', 'other'
		FROM relpack.object WHERE zoid = (` + modelYoungest + `);
		UPDATE relpack.storage SET unreferred = '-infinity'`
	var youngest int64
	if err := r.w.packer.QueryRow(ctx, modelYoungest).Scan(&youngest); err != nil {
		if errors.Is(err, pgx.ErrNoRows) {
			err = nil
		}
		return err
	}
	return r.undone(ctx, look, func(tx pgx.Tx) error {
		var left bool
		if err := tx.QueryRow(ctx, "SELECT outcome <> '' FROM relpack.sweep(1000, $1)", r.packTime).Scan(&left); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM relpack.object WHERE zoid = $1)", youngest).Scan(&left); err != nil {
			return err
		}
		r.w.counts["sweep after a look at another storage"]++
		return lossUnless(left, fmt.Sprintf("object %d was deleted, and another storage may refer to it since it was read", youngest))
	})
}

// undone does something in a transaction of the session that packs, and takes it
// back.
func (r *modelRun) undone(ctx context.Context, first string, do func(pgx.Tx) error) error {
	tx, err := r.w.packer.Begin(ctx)
	if err != nil {
		return err
	}
	if _, err = tx.Exec(ctx, first); err == nil {
		err = do(tx)
	}
	return errors.Join(err, tx.Rollback(ctx))
}
