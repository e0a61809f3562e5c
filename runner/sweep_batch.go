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
var errStale = errors.New("what was written meanwhile refers to garbage")

// sweepBatch deletes a batch in one statement. With decode it is three: what was
// written since the graph was brought up to date is decoded here, while no
// writer is in flight. The server alone doesn't know what compressed states
// refer to, and takes weak references for references; on a busy site that
// would find something in its way for ever.
func (p *pack) sweepBatch(ctx context.Context, batch int, decode bool) (b batchResult, err error) {
	if !decode {
		err = p.conn.QueryRow(ctx, sweepCall, batch, p.report.packTime, false).Scan(b.columns()...)
		return b, err
	}
	err = pgx.BeginFunc(ctx, p.conn, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, sweepCall, batch, p.report.packTime, true).Scan(b.columns()...); err != nil || b.outcome != "undecoded" {
			return err
		}
		harmless, err := freshIsHarmless(ctx, tx)
		if err == nil && !harmless {
			err = errStale
		}
		if err == nil {
			_, err = tx.Exec(ctx, "DELETE FROM relpack.undecoded")
		}
		return err
	})
	switch {
	case errors.Is(err, errStale):
		return batchResult{outcome: "stale"}, nil
	case b.outcome == "undecoded":
		b.outcome = "swept"
	}
	return b, err
}

// freshIsHarmless decodes what was written since the graph was brought up to
// date: whether all that it refers to is reachable or new. What is deleted by
// this transaction is neither.
func freshIsHarmless(ctx context.Context, tx pgx.Tx) (bool, error) {
	rows, err := tx.Query(ctx, `
		SELECT state
		FROM public.object_state
		WHERE tid > (SELECT applied_tid FROM relpack.storage)
		UNION ALL
		SELECT stored.state
		FROM relpack.write_event
		JOIN public.object_state AS stored ON stored.zoid = write_event.zoid`)
	if err != nil {
		return false, err
	}
	var scanner pickle.Scanner
	var refs []int64
	var state []byte
	broken := false
	if _, err := pgx.ForEachRow(rows, []any{&state}, func() error {
		if len(state) == 0 {
			return nil
		}
		broken = broken || scanner.Scan(state) != nil
		refs = append(refs, scanner.Refs()...)
		return nil
	}); err != nil || broken {
		return false, err
	}
	var harmless bool
	err = tx.QueryRow(ctx, `
		SELECT NOT EXISTS (
		    SELECT
		    FROM unnest($1::bigint[]) AS ref (zoid)
		    LEFT JOIN relpack.object ON object.zoid = ref.zoid
		    WHERE object.parent IS NULL
		      AND (object.zoid IS NOT NULL
		           OR NOT EXISTS (SELECT FROM public.object_state AS stored WHERE stored.zoid = ref.zoid)))`, refs).Scan(&harmless)
	return harmless, err
}
