package graph

import (
	"bytes"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"relpack/runner/record"
	"relpack/runner/session"
)

// salvageBatch is how many bytes of an odd record that may be oids are looked
// up at once, and salvageMemory how many it remembers to have looked up: most
// of them come again and again (zeros, small numbers).
const (
	salvageBatch  = 50_000
	salvageMemory = 1 << 20
)

// A revision is a row of object_state.
type revision struct{ zoid, tid int64 }

// salvage keeps of a record that is complete and could not be decoded every 8
// bytes that name a stored object, or one whose row vanished: each may be a
// reference. It is read once more,
// in the transaction that read it and after that: in between it would be in the
// way of the others.
func (x *Examiner) salvage(ctx context.Context, odd revision) error {
	var state []byte
	again := record.NewReader(nil, func(_ context.Context, rec record.Row, _ record.Decoded) error {
		state = bytes.Clone(rec.State)
		return nil
	})
	if err := again.Query(ctx, x.Conn, fmt.Sprintf("SELECT zoid, tid, state FROM relpack.stored() WHERE zoid = %d AND tid BETWEEN %[2]d AND %[2]d", odd.zoid, odd.tid)); err != nil {
		return err
	}
	if again.Scanner.Scan(state) == nil { // the copy, which is the scanner's from here on
		return fmt.Errorf("it was read twice in one transaction, with different results")
	}
	asked := map[int64]struct{}{}
	var batch []int64
	lookUp := func() error {
		known, err := session.Rows(ctx, x.Conn, pgx.RowTo[int64], "SELECT relpack.salvage($1)", batch)
		if err != nil {
			return err
		}
		for _, ref := range known {
			x.inref(ref, odd.zoid, true)
			if err := x.send(ctx, false); err != nil {
				return err
			}
		}
		batch = batch[:0]
		if len(asked) > salvageMemory {
			clear(asked)
		}
		return nil
	}
	for candidate := range again.Scanner.Candidates(x.newest) {
		if _, known := asked[candidate]; known {
			continue
		}
		asked[candidate] = struct{}{}
		if batch = append(batch, candidate); len(batch) == salvageBatch {
			if err := lookUp(); err != nil {
				return err
			}
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return lookUp()
}
