package main

import (
	"context"
	"errors"
	"fmt"
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
	afterWrites = "after 0.1 % changed, in turns"
)

// laterInTurns packs this storage, which preserves history, and a history-free one in
// turns: a machine is not as fast at one time as at another.
func (b *bench) laterInTurns(ctx context.Context, plain *bench, here, there write) error {
	step("later packs, in turns")
	nothing := func(context.Context, int) error { return nil }
	if err := inTurns(ctx, nothingToDo, b, plain, nothing, nothing); err != nil {
		return err
	}
	if err := inTurns(ctx, afterWrites, b, plain, here, there); err != nil {
		return err
	}
	b.addPlain(plain.results)
	return nil
}

// inTurns packs two storages, each after something was written to it.
func inTurns(ctx context.Context, name string, b, plain *bench, here, there write) error {
	ours, theirs := later{bench: b, write: here}, later{bench: plain, write: there}
	for turn := range laterTurns {
		if err := errors.Join(ours.pack(ctx, turn+1), theirs.pack(ctx, turn+1)); err != nil {
			return err
		}
	}
	ours.add(name)
	theirs.add(name)
	return nil
}

// later is what packs of a storage took.
type later struct {
	*bench
	write
	seconds []float64
	note    string // on the last one
}

func (l *later) pack(ctx context.Context, turn int) error {
	if err := l.write(ctx, turn); err != nil {
		return err
	}
	if err := warm(ctx, l.dsn); err != nil {
		return err
	}
	p, err := l.bench.pack(ctx, l.dsn)
	if err != nil {
		return err
	}
	l.seconds, l.note = append(l.seconds, p.Seconds), p.phases()
	return nil
}

func (l *later) add(name string) {
	l.bench.add(figure{Name: name, Value: mean(l.seconds), Unit: "s", Note: "mean of " + spread(l.seconds) + "; the last: " + l.note})
}

// addPlain compares with a history-free storage of about as many objects.
func (r *results) addPlain(plain *results) {
	for _, name := range []string{nothingToDo, afterWrites} {
		r.add(figure{Name: name + " / without history", Value: ratio(r.value(name), plain.value(name)), Unit: "x", Must: 1.5,
			Note: fmt.Sprintf("%s with %d objects", quantity(plain.value(name), "s"), plain.Objects)})
	}
}
