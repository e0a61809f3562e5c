package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// bareRows measures what a pack can't do without: a session that reads the
// states that were written and changes the rows of the graph that a pack
// changes, told which and to what, with nothing to find out. It takes what is to
// be written from a pack of one copy of the database, and writes it to another.
func (b *bench) bareRows(ctx context.Context) error {
	var written, known, born, gone, made [][]any
	if err := b.onCopy(ctx, func(dsn string) error {
		return connected(ctx, dsn, func(conn *pgx.Conn) (err error) {
			if written, err = rowsOf(ctx, conn, `SELECT zoid FROM object_state
				WHERE tid > (SELECT applied_tid FROM relpack.storage) ORDER BY zoid`); err != nil {
				return err
			}
			if _, err := conn.Exec(ctx, `CREATE TABLE was AS SELECT zoid FROM relpack.object;
				CREATE TABLE referred AS SELECT zoid, inref FROM relpack.object_inref;
				CREATE TABLE begun AS SELECT pg_current_xact_id()::xid AS at`); err != nil {
				return err
			}
			if _, err := b.pack(ctx, dsn, "--dry-run"); err != nil {
				return err
			}
			const changed = `SELECT zoid, tid, parent, detached_tid, class, size FROM relpack.object
				WHERE age(xmin) < (SELECT age(at) FROM begun) AND (zoid IN (SELECT zoid FROM was)) = $1 ORDER BY zoid`
			if known, err = rowsOf(ctx, conn, changed, true); err != nil {
				return err
			}
			if born, err = rowsOf(ctx, conn, changed, false); err != nil {
				return err
			}
			if gone, err = rowsOf(ctx, conn, "TABLE referred EXCEPT SELECT zoid, inref FROM relpack.object_inref ORDER BY 1, 2"); err != nil {
				return err
			}
			made, err = rowsOf(ctx, conn, "SELECT zoid, inref FROM relpack.object_inref EXCEPT TABLE referred ORDER BY 1, 2")
			return err
		})
	}); err != nil {
		return err
	}
	var seconds float64
	if err := b.onCopy(ctx, func(dsn string) error {
		if err := connected(ctx, dsn, func(conn *pgx.Conn) error {
			if _, err := conn.Exec(ctx, `CREATE TABLE written (zoid bigint); CREATE TABLE known (LIKE relpack.object);
				CREATE TABLE born (LIKE relpack.object); CREATE TABLE gone (zoid bigint, inref bigint);
				CREATE TABLE made (LIKE gone)`); err != nil {
				return err
			}
			object, edge := []string{"zoid", "tid", "parent", "detached_tid", "class", "size"}, []string{"zoid", "inref"}
			for _, table := range []struct {
				name    string
				columns []string
				rows    [][]any
			}{{"written", edge[:1], written}, {"current", object, known}, {"born", object, born}, {"gone", edge, gone}, {"made", edge, made}} {
				if _, err := conn.CopyFrom(ctx, pgx.Identifier{table.name}, table.columns, pgx.CopyFromRows(table.rows)); err != nil {
					return err
				}
			}
			_, err := conn.Exec(ctx, "ANALYZE written; ANALYZE known; ANALYZE born; ANALYZE gone; ANALYZE made")
			return err
		}); err != nil {
			return err
		}
		if err := warm(ctx, dsn); err != nil {
			return err
		}
		start := time.Now()
		err := connected(ctx, dsn, func(conn *pgx.Conn) error { return writeBare(ctx, conn) })
		seconds = time.Since(start).Seconds()
		return err
	}); err != nil {
		return err
	}
	b.add(figure{Name: "after 0.1 % changed: its bare rows", Value: seconds, Unit: "s",
		Note: fmt.Sprintf("%d states read, %d objects updated, %d inserted, %d references deleted, %d inserted",
			len(written), len(known), len(born), len(gone), len(made))})
	return nil
}

// writeBare goes by index, as a pack does.
func writeBare(ctx context.Context, conn *pgx.Conn) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off"); err != nil {
			return err
		}
		var size discard
		if _, err := conn.PgConn().CopyTo(ctx, &size, `COPY (SELECT stored.zoid, stored.tid, stored.state
			FROM written JOIN object_state AS stored USING (zoid)) TO STDOUT (FORMAT binary)`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			SELECT pg_advisory_xact_lock(-2);
			UPDATE relpack.object
			SET tid = known.tid, parent = known.parent, detached_tid = known.detached_tid, class = known.class, size = known.size
			FROM known
			WHERE object.zoid = known.zoid;
			INSERT INTO relpack.object (zoid, tid, parent, detached_tid, class, size)
			SELECT zoid, tid, parent, detached_tid, class, size FROM born;
			DELETE FROM relpack.object_inref USING gone
			WHERE object_inref.zoid = gone.zoid AND object_inref.inref = gone.inref;
			INSERT INTO relpack.object_inref (zoid, inref) SELECT zoid, inref FROM made`)
		return err
	})
}

func rowsOf(ctx context.Context, conn *pgx.Conn, sql string, args ...any) ([][]any, error) {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]any, error) { return row.Values() })
}
