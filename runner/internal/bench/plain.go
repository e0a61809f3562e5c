package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/zodbgen"
	"relpack/runner/internal/zodbtest"
)

// onPlain fills a history-free storage with this plan, packs it, and has it for the time of
// a call.
func (b *bench) onPlain(ctx context.Context, plan *zodbgen.Plan, do func(*bench) error) (err error) {
	step(fmt.Sprintf("a history-free storage of %d objects", plan.Objects))
	plain := &bench{options: b.options, results: newResults(b.options), maintenance: b.maintenance, database: b.database + "_plain", plan: plan}
	plain.Objects = plan.Objects
	var drop func() error
	if plain.dsn, drop, err = b.newDatabase(ctx, plain.database); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	if err := connected(ctx, plain.dsn, func(conn *pgx.Conn) error { return plan.Load(ctx, conn) }); err != nil {
		return err
	}
	if _, err := plain.packFirst(ctx, plain.dsn, false); err != nil {
		return err
	}
	return do(plain)
}

// besideObjects packs in turns with a history-free storage of the same objects, which has a
// part of the rows.
func (b *bench) besideObjects(ctx context.Context) error {
	return b.onPlain(ctx, b.plan, func(plain *bench) error {
		b.changes = b.plan.Changes()
		var lot *zodbgen.Change
		here := func(ctx context.Context, _ int) error {
			lot = b.changes.Next(changed)
			return b.commitHistory(ctx, lot)
		}
		there := func(ctx context.Context, _ int) error { return plain.commit(ctx, lot) }
		if err := b.laterInTurns(ctx, versus{plain: plain, size: "as many objects", aim: 1.5, here: here, there: there}); err != nil {
			return err
		}
		if err := b.sameNumber(ctx, plain); err != nil {
			return err
		}
		return b.packInTurns(ctx, "after 0.1 % written as it was",
			versus{plain: plain, size: "as many objects", here: b.writes(writePreserved), there: plain.writes(writePlain)})
	})
}

// besideRows packs in turns with a history-free storage of as many rows, of which as many are
// changed.
func (b *bench) besideRows(ctx context.Context, revisions int) error {
	return b.onPlain(ctx, zodbgen.NewPlan(b.objects*int64(revisions), b.seed), func(plain *bench) error {
		plain.changes = plain.plan.Changes()
		here := func(ctx context.Context, _ int) error { return b.commitHistory(ctx, b.changes.Next(changed)) }
		there := func(ctx context.Context, _ int) error {
			return plain.commit(ctx, plain.changes.Next(changed/float64(revisions)))
		}
		return b.laterInTurns(ctx, versus{plain: plain, size: "as many rows", must: 1.5, here: here, there: there})
	})
}

// changed is how much of a storage is changed before a later pack: objects are written, added
// and cut off.
const changed = 0.001

func (b *bench) commit(ctx context.Context, lot *zodbgen.Change) error {
	return connected(ctx, b.dsn, func(conn *pgx.Conn) error { return lot.Commit(ctx, conn) })
}

func (b *bench) commitHistory(ctx context.Context, lot *zodbgen.Change) error {
	return connected(ctx, b.dsn, func(conn *pgx.Conn) error {
		return lot.CommitHistory(ctx, zodbtest.History{Conn: conn, Version: zodbtest.V42})
	})
}

// sameNumber checks that packs have left as many objects here as in a history-free storage.
func (b *bench) sameNumber(ctx context.Context, plain *bench) error {
	var here, there int64
	count := func(dsn, table string, n *int64) error {
		return connected(ctx, dsn, func(conn *pgx.Conn) error {
			return conn.QueryRow(ctx, "SELECT count(*) FROM "+table).Scan(n)
		})
	}
	if err := errors.Join(count(b.dsn, "current_object", &here), count(plain.dsn, "object_state", &there)); err != nil {
		return err
	}
	if here != there {
		return fmt.Errorf("packs have left %d objects with their history, and %d without", here, there)
	}
	return nil
}

// How one object in a thousand is written again as it is, others each time, in a storage of
// either kind. Nothing becomes garbage, and no two of them lie side by side: a pack has the
// most to do that one without history has not.
const (
	writePreserved = `
WITH written AS (
    INSERT INTO transaction (tid, packed, is_empty, username, description)
    SELECT max(tid) + 1, false, false, ''::bytea, ''::bytea FROM transaction
    RETURNING tid
), revised AS (
    INSERT INTO object_state (zoid, tid, prev_tid, state_size, state)
    SELECT stored.zoid, written.tid, stored.tid, stored.state_size, stored.state
    FROM written, object_state AS stored JOIN current_object USING (zoid, tid)
    WHERE stored.zoid % 1000 = $1 AND stored.state IS NOT NULL
    RETURNING zoid, tid
)
UPDATE current_object SET tid = revised.tid FROM revised WHERE revised.zoid = current_object.zoid`
	writePlain = `
UPDATE object_state SET tid = newest.tid + 1, state = state
FROM (SELECT max(tid) AS tid FROM object_state) AS newest
WHERE zoid % 1000 = $1`
)

// writes is a statement that writes other objects in each turn.
func (b *bench) writes(statement string) write {
	return func(ctx context.Context, turn int) error {
		return connected(ctx, b.dsn, func(conn *pgx.Conn) error {
			if _, err := conn.Exec(ctx, statement, turn); err != nil {
				return fmt.Errorf("write objects: %w", err)
			}
			return nil
		})
	}
}
