package record

import (
	"context"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"relpack/runner/pickle"
)

// Holders reads what objects name as their holders, see [pickle.Scanner.Holder]. One
// worker has it.
type Holders struct {
	// History reads the newest revisions of a history-preserving storage.
	History bool
	scanner pickle.Scanner
	each    func(zoid, holder int64) error
}

// NewHolders hands on each object that names one, with that.
func NewHolders(each func(zoid, holder int64) error) *Holders { return &Holders{each: each} }

// Blocks reads the rows of a range.
func (h *Holders) Blocks(ctx context.Context, conn *pgx.Conn, b Blocks) error {
	query := b.query(math.MaxInt64)
	if h.History {
		query = b.newest(math.MaxInt64)
	}
	return Rows(ctx, conn, query, h.take)
}

// Query reads what a query finds, in the columns of a row.
func (h *Holders) Query(ctx context.Context, conn *pgx.Conn, query string) error {
	return Rows(ctx, conn, query, h.take)
}

func (h *Holders) take(row Row) error {
	if holder, ok := h.scanner.Holder(row.State); ok {
		return h.each(row.Zoid, holder)
	}
	return nil
}

// Revisions hands on how many bytes the revisions of objects are in a range of blocks: the
// newest one, -1 if that is elsewhere, and the others. No state is read for that.
func Revisions(ctx context.Context, tx pgx.Tx, b Blocks, each func(zoid, newest, older int64) error) error {
	rows, err := tx.Query(ctx, fmt.Sprintf(`
		SELECT stored.zoid, coalesce(max(octet_length(stored.state)) FILTER (WHERE NOT stored.superseded), -1),
		       coalesce(sum(octet_length(stored.state)) FILTER (WHERE stored.superseded), 0)::bigint
		FROM (
		    SELECT few.zoid, few.state,
		           few.tid <> (SELECT max(newest.tid) FROM relpack.stored() AS newest WHERE newest.zoid = few.zoid) AS superseded
		    FROM (%s) AS few
		) AS stored
		GROUP BY stored.zoid`, b.query(math.MaxInt64)))
	if err != nil {
		return err
	}
	var zoid, newest, older int64
	_, err = pgx.ForEachRow(rows, []any{&zoid, &newest, &older}, func() error { return each(zoid, newest, older) })
	return err
}
