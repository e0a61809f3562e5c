package model

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/graph"
)

// The last nets: what holds although the graph is wrong. It never is in a
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
		if refusal, is := fault.AsRefusal(refused); is && refusal.ConstraintName == graph.CutOff {
			r.w.counts["choice in a wrong graph refused"]++
			return nil
		}
		return refused
	})
}

// proveWrong tries now and then whether a live object that is chosen, and whose
// referrer's reference nobody has recorded, is found by reading what it refers
// to itself: that one.
func (r *modelRun) proveWrong(ctx context.Context) error {
	held, by, some := r.mutual()
	if !some || r.moment%4 != 1 || r.moment != r.settled || r.step.is("alter") || r.hasOpaque() ||
		r.altered != noReports || r.undecided || r.blurred {
		return nil
	}
	for _, sql := range []string{"DELETE FROM relpack.object_inref WHERE zoid = %d AND inref = %d", "INSERT INTO relpack.doomed (zoid) SELECT %d WHERE %d >= 0"} {
		if _, err := r.w.packer.Exec(ctx, fmt.Sprintf(sql, held, by)); err != nil {
			return err
		}
	}
	c := &graph.Comparison{Packer: r.Apart(), Findings: graph.NewFindings()}
	err := c.Sample(ctx)
	if err == nil && !c.Findings.Has("doomed_but_referred_to") {
		err = lossf("object %d was chosen, %d refers to it, and the proof passes", held, by)
	}
	r.w.counts["proof in a wrong graph"]++
	for _, sql := range []string{"INSERT INTO relpack.object_inref (zoid, inref) VALUES (%d, %d)", "DELETE FROM relpack.doomed WHERE zoid = %d AND %d >= 0"} {
		if _, back := r.w.packer.Exec(ctx, fmt.Sprintf(sql, held, by)); back != nil {
			err = errors.Join(err, back)
		}
	}
	return err
}

// mutual are two live objects that refer to each other.
func (m *model) mutual() (one, other int64, some bool) {
	sound := func(zoid int64) bool {
		return m.reached[zoid] != 0 && slices.Contains([]string{"plain", "py2", "zip"}, m.stored[zoid].content.kind)
	}
	for _, one := range slices.Sorted(maps.Keys(m.stored)) {
		for _, other := range m.stored[one].content.refs {
			if one != 0 && one != other && sound(one) && sound(other) && slices.Contains(m.stored[other].content.refs, one) {
				return one, other, true
			}
		}
	}
	return 0, 0, false
}
