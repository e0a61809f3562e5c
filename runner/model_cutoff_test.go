package runner

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// The last net: what holds although the graph is wrong. It never is in a
// history; so it is made wrong for a moment, and that is taken back.

// modelHung is an object that hangs on a live one, by chance another each time.
const modelHung = `
	SELECT object.zoid, object.parent
	FROM relpack.object
	JOIN relpack.object AS above ON above.zoid = object.parent AND above.parent IS NOT NULL
	WHERE object.zoid <> 0 AND NOT EXISTS (SELECT FROM relpack.missing WHERE missing.zoid IN (object.zoid, above.zoid))
	ORDER BY (object.zoid * $1) % 17, object.zoid
	LIMIT 1`

// doomLive tries now and then whether a live object that lost its parent, as if
// a suspect had been lost, would be chosen: its referrer must hold it.
func (r *modelRun) doomLive(ctx context.Context) error {
	if r.moment%5 != 0 || r.step.is("alter") || r.hasOpaque() || r.altered != noReports || r.undecided || r.blurred {
		return nil
	}
	var zoid, parent int64
	if err := r.w.packer.QueryRow(ctx, modelHung, r.moment).Scan(&zoid, &parent); err != nil {
		if errors.Is(err, pgx.ErrNoRows) {
			err = nil
		}
		return err
	}
	wrong := fmt.Sprintf("UPDATE relpack.object SET parent = NULL, detached_tid = 1 WHERE zoid = %d", zoid)
	return r.undone(ctx, wrong, func(tx pgx.Tx) error {
		refused := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SELECT relpack.doom(NULL)"); err != nil {
				return err
			}
			var doomed bool
			if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM relpack.doomed WHERE zoid = $1)", zoid).Scan(&doomed); err != nil {
				return err
			}
			return lossUnless(!doomed, fmt.Sprintf("object %d was chosen, and %d refers to it", zoid, parent))
		})
		r.w.counts["choice in a wrong graph"]++
		if refusal, is := asRefusal(refused); is && refusal.ConstraintName == cutOff {
			r.w.counts["choice in a wrong graph refused"]++
			return nil
		}
		return refused
	})
}
