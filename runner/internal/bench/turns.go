package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// A write writes to one object in a thousand of a storage, in each turn others.
type write func(ctx context.Context, turn int) error

// laterTurns is how often each of two storages is packed again with nothing to do, and
// when it was written to.
const laterTurns = 12

// The figures of a history-preserving storage that are compared with those of a
// history-free one.
const (
	nothingToDo = "nothing to do"
	afterWrites = "after 0.1 % changed"
)

// versus is a history-free storage that another one is compared with, and how both are
// written to.
type versus struct {
	plain       *bench
	size        string  // of that storage
	must, aim   float64 // how many times its time a pack may take; 0: any
	here, there write
}

// laterInTurns packs this storage, which preserves history, and a history-free one in
// turns: a machine is not as fast at one time as at another.
func (b *bench) laterInTurns(ctx context.Context, v versus) error {
	step("vacuum, as autovacuum does a little later")
	for _, dsn := range []string{b.dsn, v.plain.dsn} {
		if err := connected(ctx, dsn, func(conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "VACUUM (ANALYZE)")
			return err
		}); err != nil {
			return err
		}
	}
	idle := v
	idle.here = func(context.Context, int) error { return nil }
	idle.there = idle.here
	if err := b.packInTurns(ctx, nothingToDo, idle); err != nil {
		return err
	}
	return b.packInTurns(ctx, afterWrites, v)
}

// packInTurns packs two storages, each after something was written to it.
func (b *bench) packInTurns(ctx context.Context, name string, v versus) error {
	step("in turns: " + name)
	if err := errors.Join(warm(ctx, b.dsn), warm(ctx, v.plain.dsn)); err != nil {
		return err
	}
	ours, theirs := later{bench: b, write: v.here}, later{bench: v.plain, write: v.there}
	for turn := range laterTurns {
		if err := ours.pack(ctx, turn+1); err != nil {
			return err
		}
		if err := theirs.pack(ctx, turn+1); err != nil {
			return err
		}
	}
	b.addPlain(name, v, ours, theirs)
	return nil
}

// later is what packs of a storage took.
type later struct {
	*bench
	write
	seconds []float64
	note    string // on the last one
}

// pack packs after a checkpoint: what was just written is not flushed meanwhile. It is in the
// server's memory, as on a site.
func (l *later) pack(ctx context.Context, turn int) error {
	if err := l.write(ctx, turn); err != nil {
		return err
	}
	if err := connected(ctx, l.dsn, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "CHECKPOINT")
		return err
	}); err != nil {
		return err
	}
	p, err := l.bench.pack(ctx, l.dsn)
	if err != nil {
		return err
	}
	l.seconds, l.note = append(l.seconds, p.Seconds), p.phases()
	return nil
}

// addPlain compares what packs took with what they took in a history-free storage.
func (r *results) addPlain(name string, v versus, ours, theirs later) {
	name += ", " + v.size
	r.add(figure{Name: name, Value: mean(ours.seconds), Unit: "s", Note: "mean of " + spread(ours.seconds) + "; the last: " + ours.note})
	r.add(figure{Name: name + " / without history", Value: ratio(mean(ours.seconds), mean(theirs.seconds)), Unit: "x", Must: v.must, Aim: v.aim,
		Note: fmt.Sprintf("%s, %s, with %d objects", quantity(mean(theirs.seconds), "s"), spread(theirs.seconds), v.plain.Objects)})
}
