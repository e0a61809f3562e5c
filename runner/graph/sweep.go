package graph

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/record"
)

// A Batch is what relpack.sweep() says of a batch: done, swept, busy, stale or unmarked,
// what was deleted, and how many chosen objects remain.
type Batch struct {
	Outcome                          string
	Objects, Bytes, Blobs, Remaining int64
}

const sweepCall = "SELECT outcome, objects, bytes, blobs, remaining FROM relpack.sweep($1, $2, $3)"

func (b *Batch) columns() []any {
	return []any{&b.Outcome, &b.Objects, &b.Bytes, &b.Blobs, &b.Remaining}
}

// errStale rolls a batch back.
var errStale = errors.New("what was written in the meantime refers to garbage")

// SweepBatch deletes a batch in one statement. With decode it is four: what was
// written since the graph was brought up to date is decoded here, while no
// writer is in flight; on a busy site there is always something. The server,
// which can't decode, says what it means.
func (p *Packer) SweepBatch(ctx context.Context, packTime *time.Time, batch int, decode bool) (b Batch, err error) {
	if !decode {
		err = p.Conn.QueryRow(ctx, sweepCall, batch, packTime, false).Scan(b.columns()...)
		return b, err
	}
	err = pgx.BeginFunc(ctx, p.Conn, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, sweepCall, batch, packTime, true).Scan(b.columns()...); err != nil || b.Outcome != "undecoded" {
			return err
		}
		refs, undecodable, err := decodeFresh(ctx, p.Conn)
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
		return Batch{Outcome: "stale"}, nil
	case b.Outcome == "undecoded":
		b.Outcome = "swept"
	}
	return b, err
}

// decodeFresh decodes what was written since the graph was brought up to date:
// all that it refers to, and how many states can't be decoded.
func decodeFresh(ctx context.Context, conn *pgx.Conn) (refs []int64, undecodable int64, err error) {
	states := record.NewReader(nil, func(_ context.Context, _ record.Row, found record.Decoded) error {
		if found.Problem != nil {
			undecodable++
		}
		refs = append(refs, found.Refs...)
		return nil
	})
	err = states.Query(ctx, conn, "SELECT zoid, tid, state FROM relpack.fresh_state()")
	return refs, undecodable, err
}

// CutOff names the refusal of relpack.require_cut_off(): live objects refer to what
// would be deleted.
const CutOff = "what_is_deleted_is_cut_off"

// PackTime asks the server until when an object must have been left alone to be
// deleted, with a grace of so many days. Nil with a negative one: even if it was
// written a moment ago.
func (p *Packer) PackTime(ctx context.Context, days float64) (*time.Time, error) {
	if days < 0 {
		return nil, nil
	}
	var moment time.Time
	// No storage is older than 100 years.
	if err := p.Conn.QueryRow(ctx, "SELECT now() - make_interval(secs => $1::float8 * 86400)", min(days, 36500)).Scan(&moment); err != nil {
		return nil, fmt.Errorf("determine the pack time: %w", err)
	}
	return &moment, nil
}

// UnlessRewritten does a step that needs a graph that is trusted, once more if
// object_state was rewritten in the meantime.
func (p *Packer) UnlessRewritten(ctx context.Context, step func() error) error {
	for tries := 0; ; tries++ {
		err := step()
		if err == nil || tries == MaxRewrites || !p.Rewritten(ctx, err) {
			return err
		}
		if err := p.CatchUp(ctx); err != nil {
			return err
		}
	}
}

// Rewritten tells whether a batch was refused for nothing but that object_state
// has other files than before, or that somebody was let into relpack's schema: VACUUM
// FULL, pg_repack and GRANT are no reason to end a run. What a capture compares then,
// the next batch trusts.
func (p *Packer) Rewritten(ctx context.Context, err error) bool {
	if !fault.IsState(err, fault.StateRefused) {
		return false
	}
	doubt, err := p.AskDoubt(ctx)
	return err == nil && (doubt == "object_state was rewritten" || strings.HasPrefix(doubt, "rights on the schema relpack were changed"))
}
