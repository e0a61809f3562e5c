package runner

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

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

// sweepReferred tries now and then to sweep while another storage refers to
// this one, may do so, or was never read.
func (r *modelRun) sweepReferred(ctx context.Context) error {
	rows := []string{"(1, 0, now(), 'elsewhere', 'other')", "(0, 1, now(), 'elsewhere', 'other')", "(0, 0, NULL, '', 'other')"}
	if r.moment%4 >= len(rows) {
		return nil
	}
	if _, err := r.w.app.Exec(ctx, "INSERT INTO relpack.referred_by (refs, unreadable, looked, origin, holder) VALUES "+rows[r.moment%4]); err != nil {
		return err
	}
	_, refused := r.w.packer.Exec(ctx, "SELECT relpack.sweep(10, $1)", r.report.packTime)
	if _, err := r.w.app.Exec(ctx, "DELETE FROM relpack.referred_by"); err != nil {
		return err
	}
	r.w.counts["sweep while another storage refers to this one"]++
	return lossUnless(isState(refused, stateRefused), fmt.Sprintf("a storage that another one may refer to was swept: %v", refused))
}
