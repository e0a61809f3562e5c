package runner

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"relpack/runner/pickle"
)

// A batchResult is what relpack.sweep() returns.
type batchResult struct {
	outcome                          string
	objects, bytes, blobs, remaining int64
}

const sweepCall = "SELECT outcome, objects, bytes, blobs, remaining FROM relpack.sweep($1, $2, $3)"

func (b *batchResult) columns() []any {
	return []any{&b.outcome, &b.objects, &b.bytes, &b.blobs, &b.remaining}
}

// errStale rolls a batch back.
var errStale = errors.New("what was written in the meantime refers to garbage")

// sweepBatch deletes a batch in one statement. With decode it is four: what was
// written since the graph was brought up to date is decoded here, while no
// writer is in flight; on a busy site there is always something. The server,
// which can't decode, says what it means.
func (p *pack) sweepBatch(ctx context.Context, batch int, decode bool) (b batchResult, err error) {
	if !decode {
		err = p.conn.QueryRow(ctx, sweepCall, batch, p.report.packTime, false).Scan(b.columns()...)
		return b, err
	}
	err = pgx.BeginFunc(ctx, p.conn, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, sweepCall, batch, p.report.packTime, true).Scan(b.columns()...); err != nil || b.outcome != "undecoded" {
			return err
		}
		refs, undecodable, err := decodeFresh(ctx, tx)
		if err != nil {
			return err
		}
		var harmless bool
		if err := tx.QueryRow(ctx, "SELECT relpack.sweep_decoded($1, $2)", refs, undecodable).Scan(&harmless); err != nil {
			return err
		}
		if !harmless {
			return errStale
		}
		return nil
	})
	switch {
	case errors.Is(err, errStale):
		return batchResult{outcome: "stale"}, nil
	case b.outcome == "undecoded":
		b.outcome = "swept"
	}
	return b, err
}

// decodeFresh decodes what was written since the graph was brought up to date:
// all that it refers to, and how many states can't be decoded.
func decodeFresh(ctx context.Context, tx pgx.Tx) (refs []int64, undecodable int64, err error) {
	rows, err := tx.Query(ctx, "SELECT state FROM relpack.fresh_state()")
	if err != nil {
		return nil, 0, err
	}
	var scanner pickle.Scanner
	var state []byte
	_, err = pgx.ForEachRow(rows, []any{&state}, func() error {
		if len(state) == 0 {
			return nil
		}
		if scanner.Scan(state) != nil {
			undecodable++
		}
		refs = append(refs, scanner.Refs()...)
		return nil
	})
	return refs, undecodable, err
}
