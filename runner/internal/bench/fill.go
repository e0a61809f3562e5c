package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/zodbgen"
)

// generate fills an empty database, for use without the harness.
func generate(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("bench generate", flag.ContinueOnError)
	objects, seed := sizeFlags(f)
	dsn := f.String("dsn", "", "an empty database")
	if err := f.Parse(args); err != nil {
		return err
	}
	return connected(ctx, *dsn, func(conn *pgx.Conn) error {
		start := time.Now()
		plan := zodbgen.NewPlan(*objects, *seed)
		if err := plan.Load(ctx, conn); err != nil {
			return err
		}
		garbage, cyclic := plan.GarbageCount()
		fmt.Printf("%d objects in %s; %d of them are garbage, %d of that in cycles or hanging on one\n",
			plan.Objects, time.Since(start).Round(time.Millisecond), garbage, cyclic)
		return nil
	})
}

// change makes commits on a generated database.
func change(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("bench change", flag.ContinueOnError)
	objects, seed := sizeFlags(f)
	dsn := f.String("dsn", "", "a database that generate filled with the same number and seed")
	fraction := f.Float64("fraction", 0.001, "how much of the objects is to be written")
	after := f.String("after", "", "the `fractions` of the changes made before, separated by commas")
	if err := f.Parse(args); err != nil {
		return err
	}
	changes := zodbgen.NewPlan(*objects, *seed).Changes()
	for _, text := range strings.FieldsFunc(*after, func(r rune) bool { return r == ',' }) {
		earlier, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("-after: %w", err)
		}
		changes.Next(earlier)
	}
	lot := changes.Next(*fraction)
	return connected(ctx, *dsn, func(conn *pgx.Conn) error {
		if err := lot.Commit(ctx, conn); err != nil {
			return err
		}
		fmt.Printf("%d rows written, %d objects cut off\n", len(lot.Rows), len(lot.Garbage))
		return nil
	})
}

// connected opens a connection for the time of a call.
func connected(ctx context.Context, dsn string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	err = do(conn)
	return errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
}
