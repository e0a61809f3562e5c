package main

import (
	"context"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"
)

// firstOfBoth builds relpack's graph, then runs zodbpack's prepack.
func (b *bench) firstOfBoth(ctx context.Context, p *peer) (ours *packed, err error) {
	step("relpack, first pack")
	if _, err := b.program(ctx, "migrate", "up", "--dsn", b.dsn, "--quiet"); err != nil {
		return nil, err
	}
	if err := ready(ctx, b.dsn); err != nil {
		return nil, err
	}
	ours, err = b.pack(ctx, b.dsn, "--dry-run")
	if err != nil {
		return nil, err
	}
	if b.plan == nil {
		b.garbage = ours.Unreachable.Objects
	} else if ours.Unreachable.Objects != b.garbage {
		return nil, fmt.Errorf("%d objects are unreachable for relpack, %d were generated so", ours.Unreachable.Objects, b.garbage)
	}
	step("zodbpack, prepack")
	if err := warm(ctx, p.dsn); err != nil {
		return nil, err
	}
	theirs, memory, err := p.pack(ctx, "--prepack")
	if err != nil {
		return nil, err
	}
	must, aim := 8., 20.
	if b.plan == nil { // real data
		must, aim = 15, 0
	}
	b.beside("prepack", []float64{ours.process}, []float64{theirs}, must, aim, ours.phases())
	b.add(figure{Name: "client memory: relpack", Value: float64(ours.client), Unit: "B"})
	b.add(figure{Name: "client memory: zodbpack", Value: float64(memory), Unit: "B"})
	return ours, nil
}

// beside enters the times of both: the medians, where there are several.
func (r *results) beside(what string, ours, theirs []float64, must, aim float64, note string) {
	var faster []float64
	for i := range ours {
		faster = append(faster, theirs[i]/ours[i])
	}
	several := ""
	if len(faster) > 1 {
		several = fmt.Sprintf("%.3g", faster)
	}
	r.add(figure{Name: what + ": zodbpack", Value: median(theirs), Unit: "s"})
	r.add(figure{Name: what + ": relpack", Value: median(ours), Unit: "s", Note: note})
	r.add(figure{Name: what + ": how much faster", Value: median(faster), Unit: "x", Must: must, Aim: aim, Higher: true, Note: several})
}

// deletionOfBoth deletes what the first pack of each has found.
func (b *bench) deletionOfBoth(ctx context.Context, p *peer) (ours *packed, err error) {
	step("relpack, deletion")
	ours, err = b.pack(ctx, b.dsn)
	if err != nil {
		return nil, err
	}
	step("zodbpack, deletion")
	theirs, _, err := p.pack(ctx, "--use-prepack-state")
	if err != nil {
		return nil, err
	}
	b.beside(fmt.Sprintf("deletion of %d objects", b.garbage), []float64{ours.process}, []float64{theirs}, 0, 0, ours.phases())
	return ours, b.sameObjects(ctx, p)
}

// secondPacks is how often both pack again: what relpack does is over before the
// machine's mood evens out.
const secondPacks = 3

// The figure of relpack's.
const afterEdits = "after 0.1 % changed: relpack"

// secondOfBoth packs again after 0.1 % of the objects were written.
func (b *bench) secondOfBoth(ctx context.Context, p *peer, must, aim float64) error {
	// When a batch of its rows is full, zodbpack may insert what an object refers
	// to before it has deleted what the object referred to, and fail.
	if err := os.Setenv("RS_PACK_STORE_BATCH_SIZE", "1000000"); err != nil {
		return err
	}
	var ours, theirs, each []float64
	var last *packed
	for range secondPacks {
		written, err := b.changeBoth(ctx)
		if err != nil {
			return err
		}
		step("relpack, second pack")
		if err := warm(ctx, b.dsn); err != nil {
			return err
		}
		if last, err = b.pack(ctx, b.dsn); err != nil {
			return err
		}
		step("zodbpack, second pack")
		if err := warm(ctx, p.dsn); err != nil {
			return err
		}
		seconds, _, err := p.pack(ctx)
		if err != nil {
			return err
		}
		if err := b.sameObjects(ctx, p); err != nil {
			return err
		}
		ours, theirs = append(ours, last.process), append(theirs, seconds)
		each = append(each, 1e6*ratio(last.process, float64(written)))
	}
	b.beside("after 0.1 % changed", ours, theirs, must, aim, spread(ours)+"; the last: "+last.phases())
	b.add(figure{Name: changedObject, Value: median(each), Unit: "µs", Note: "each written, the start of relpack included"})
	return nil
}

// sameObjects checks that both left the same objects. Of a history zodbpack keeps less
// than it says.
func (b *bench) sameObjects(ctx context.Context, p *peer) error {
	if p.history {
		return nil
	}
	var sums []string
	for _, dsn := range []string{b.dsn, p.dsn} {
		if err := connected(ctx, dsn, func(conn *pgx.Conn) error {
			var sum string
			err := conn.QueryRow(ctx, "SELECT count(*) || ' objects, hash ' || sum(hashint8(zoid)::bigint) FROM object_state").Scan(&sum)
			sums = append(sums, sum)
			return err
		}); err != nil {
			return err
		}
	}
	if sums[0] != sums[1] {
		return fmt.Errorf("relpack left %s, zodbpack %s", sums[0], sums[1])
	}
	return nil
}
