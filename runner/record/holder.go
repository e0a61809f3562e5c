package record

import (
	"context"
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
