package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// buildPhases are those of a first pack up to the graph.
var buildPhases = []string{"prepare", "scan", "index", "reach", "fill"}

// barePack is the data of a first pack, as COPY has it.
type barePack struct {
	conn            *pgx.Conn
	inrefs, objects bytes.Buffer
	unreachable     int64 // as relpack found
}

// bareTables have the shape of relpack's.
const bareTables = `
CREATE SCHEMA bare;
CREATE TABLE bare.object_inref (zoid bigint NOT NULL, inref bigint NOT NULL);
CREATE TABLE bare.staged_object (zoid bigint NOT NULL, tid bigint NOT NULL, class integer NOT NULL, size integer NOT NULL);
CREATE TABLE bare.object (zoid bigint NOT NULL, tid bigint NOT NULL, parent bigint, detached_tid bigint,
	class integer NOT NULL, size integer NOT NULL) WITH (fillfactor = 90);
CREATE INDEX ON bare.object (zoid) WHERE coalesce(parent, -1) = -1;
SET maintenance_work_mem = '32MB';
SET work_mem = '64MB';
SET jit = off`

// A bareStep is one plain statement, and the phase of relpack that does its work.
type bareStep struct {
	phase, name string
	do          func(*barePack, context.Context) error
}

// The references are analyzed nowhere before the walk, which goes by index, as
// relpack's does.
var bareSteps = []bareStep{
	{"scan", "stream the states", func(p *barePack, ctx context.Context) error {
		var size discard
		_, err := p.conn.PgConn().CopyTo(ctx, &size, "COPY (SELECT zoid, tid, state FROM object_state) TO STDOUT (FORMAT binary)")
		return err
	}},
	{"scan", "COPY in the references", func(p *barePack, ctx context.Context) error {
		_, err := p.conn.PgConn().CopyFrom(ctx, &p.inrefs, "COPY bare.object_inref FROM STDIN (FORMAT binary)")
		return err
	}},
	{"scan", "COPY in the objects", func(p *barePack, ctx context.Context) error {
		_, err := p.conn.PgConn().CopyFrom(ctx, &p.objects, "COPY bare.staged_object FROM STDIN (FORMAT binary)")
		return err
	}},
	{"index", "index by referrer", bareSQL("CREATE INDEX ON bare.object_inref (inref)")},
	{"reach", "primary key of the references", bareSQL("ALTER TABLE bare.object_inref ADD PRIMARY KEY (zoid, inref)")},
	{"reach", "walk from the root", bareSQL(`
		SET enable_hashjoin = off; SET enable_mergejoin = off;
		CREATE TEMPORARY TABLE reached AS
		WITH RECURSIVE reached (zoid) AS (
			SELECT 0::bigint
			UNION
			SELECT edge.zoid FROM reached JOIN bare.object_inref AS edge ON edge.inref = reached.zoid
		)
		SELECT zoid FROM reached;
		RESET enable_hashjoin; RESET enable_mergejoin`)},
	{"fill", "INSERT of objects with parents", bareSQL(`
		INSERT INTO bare.object (zoid, tid, parent, class, size)
		SELECT staged.zoid, staged.tid, CASE staged.zoid WHEN 0 THEN 0 ELSE above.inref END, staged.class, staged.size
		FROM bare.staged_object AS staged
		LEFT JOIN (
			SELECT edge.zoid, min(edge.inref) AS inref
			FROM bare.object_inref AS edge
			JOIN reached ON reached.zoid = edge.inref
			GROUP BY edge.zoid
		) AS above USING (zoid)`)},
	{"fill", "primary key of the objects", bareSQL("ALTER TABLE bare.object ADD PRIMARY KEY (zoid)")},
	{"fill", "ANALYZE", bareSQL("ANALYZE bare.object, bare.object_inref")},
}

func bareSQL(sql string) func(*barePack, context.Context) error {
	return func(p *barePack, ctx context.Context) error {
		_, err := p.conn.Exec(ctx, sql)
		return err
	}
}

// bare measures what the work of a first pack takes as plain statements that are
// told the references, one after the other, on a copy of the database; then what
// it takes to delete the same garbage by one statement.
func (b *bench) bare(ctx context.Context, first *packed) (deletion float64, err error) {
	step("bare statements")
	err = b.onCopy(ctx, func(dsn string) error {
		p := &barePack{}
		if err := p.take(ctx, dsn); err != nil {
			return err
		}
		// The garbage stays in a table of this database: relpack's own triggers are not to see it go.
		if _, err := b.program(ctx, "migrate", "down", "--dsn", dsn, "--quiet"); err != nil {
			return err
		}
		if err := ready(ctx, dsn); err != nil {
			return err
		}
		return connected(ctx, dsn, func(conn *pgx.Conn) (err error) {
			p.conn = conn
			if err := b.bareBuild(ctx, p, first); err != nil {
				return err
			}
			deletion, err = b.bareDelete(ctx, conn)
			return err
		})
	})
	return deletion, err
}

// take reads what relpack recorded, in the order in which it was read.
func (p *barePack) take(ctx context.Context, dsn string) error {
	return connected(ctx, dsn, func(conn *pgx.Conn) error {
		if _, err := conn.PgConn().CopyTo(ctx, &p.inrefs, "COPY relpack.object_inref TO STDOUT (FORMAT binary)"); err != nil {
			return err
		}
		if _, err := conn.PgConn().CopyTo(ctx, &p.objects, `COPY (SELECT object.zoid, object.tid, object.class, object.size
			FROM relpack.object JOIN object_state AS stored USING (zoid) ORDER BY stored.ctid) TO STDOUT (FORMAT binary)`); err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, "CREATE TABLE bare_garbage AS SELECT zoid FROM relpack.detached"); err != nil {
			return err
		}
		return conn.QueryRow(ctx, "SELECT count(*) FROM bare_garbage").Scan(&p.unreachable)
	})
}

func (b *bench) bareBuild(ctx context.Context, p *barePack, first *packed) error {
	if _, err := p.conn.Exec(ctx, bareTables); err != nil {
		return err
	}
	times := make([]float64, len(bareSteps))
	for i, s := range bareSteps {
		start := time.Now()
		if err := s.do(p, ctx); err != nil {
			return fmt.Errorf("bare statements: %s: %w", s.name, err)
		}
		times[i] = time.Since(start).Seconds()
	}
	var unreachable int64
	if err := p.conn.QueryRow(ctx, "SELECT count(*) FROM bare.object WHERE parent IS NULL").Scan(&unreachable); err != nil {
		return err
	}
	if unreachable != p.unreachable {
		return fmt.Errorf("%d objects are unreachable for relpack, %d for bare statements", p.unreachable, unreachable)
	}
	b.addBare(times, first)
	return nil
}

// addBare enters the times of bareSteps beside those of relpack.
func (b *bench) addBare(times []float64, first *packed) {
	var all float64
	for i, s := range bareSteps {
		note := ""
		if i+1 == len(bareSteps) || bareSteps[i+1].phase != s.phase {
			note = fmt.Sprintf("up to here relpack's %s: %.3g s", s.phase, first.phase(s.phase))
		}
		all += times[i]
		b.add(figure{Name: "bare: " + s.name, Value: times[i], Unit: "s", Note: note})
	}
	b.add(figure{Name: "bare statements", Value: all, Unit: "s", Note: "one after the other; relpack has two at a time, and decodes"})
	b.add(figure{Name: "bare statements / floor", Value: ratio(all, b.value("floor")), Unit: "x"})
	b.add(figure{Name: "first pack / bare statements", Value: ratio(first.toGraph(), all), Unit: "x", Must: 1.3,
		Note: fmt.Sprintf("up to the graph, %.3g s", first.toGraph())})
}

// bareDelete deletes the garbage with what RelStorage has on its tables.
func (b *bench) bareDelete(ctx context.Context, conn *pgx.Conn) (seconds float64, err error) {
	if _, err := conn.Exec(ctx, "DROP SCHEMA bare CASCADE; ANALYZE bare_garbage; CHECKPOINT"); err != nil {
		return 0, err
	}
	start := time.Now()
	deleted, err := conn.Exec(ctx, "DELETE FROM object_state USING bare_garbage WHERE object_state.zoid = bare_garbage.zoid")
	if err != nil {
		return 0, err
	}
	seconds = time.Since(start).Seconds()
	b.add(figure{Name: "bare DELETE of the garbage", Value: seconds, Unit: "s",
		Note: fmt.Sprintf("%d objects, %s", deleted.RowsAffected(), quantity(ratio(float64(deleted.RowsAffected()), seconds), "objects/s"))})
	return seconds, nil
}
