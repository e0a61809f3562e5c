package preserved

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/revision"
	"relpack/runner/internal/zodbtest"
)

// A reference is a pack in plain SQL that reads everything anew, each time: slow, and
// nobody may write meanwhile. What it does wrong with a mistake in it, histories must
// find. Each mistake replaces a text in its statements by another one.
type reference struct {
	w       *worker
	conns   map[string]*pgx.Conn // to the databases of the worker
	conn    *pgx.Conn            // to the one in which it packs
	mistake []string
	made    bool // the mistake
}

// A mistake is a text in one of its statements, and what is there instead.
func newReference(t testing.TB, mistake ...string) func(*worker) packer {
	return func(w *worker) packer {
		f := &reference{w: w, conns: map[string]*pgx.Conn{}, mistake: mistake}
		for _, place := range w.places {
			conn, err := pgx.Connect(t.Context(), place.dsn)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close(context.Background()) })
			f.conns[place.dsn] = conn
		}
		return f
	}
}

func (*reference) beside() bool { return false }

// The pack time is not beyond what the oldest open transaction has seen. In an old release
// no tid tells that.
const referenceUntil = `
	SELECT least(newest, $1, CASE WHEN oldest IS NOT NULL THEN coalesce($3::bigint, (
	           SELECT max(tid) FROM transaction
	           WHERE tid < (SELECT max(tid) FROM transaction WHERE tid <= relpack.time_to_tid(oldest))), 0) END)
	FROM (SELECT max(tid) AS newest FROM transaction) AS t,
	     (SELECT min(xact_start) AS oldest FROM pg_stat_activity
	      WHERE datname = current_database() AND state = 'idle in transaction' AND $2) AS readers`

// kept are the rows that stay if their objects do.
const referenceKept = `
	CREATE TEMP TABLE kept AS
	WITH set_back AS (
		SELECT zoid FROM object_state LEFT JOIN current_object USING (zoid)
		GROUP BY zoid, current_object.tid
		HAVING current_object.tid IS DISTINCT FROM max(object_state.tid))
	SELECT zoid, tid, state IS NULL AS gone, zoid IN (SELECT zoid FROM set_back) AS set_back
	FROM object_state AS stored
	WHERE tid > {until}
	   OR tid = (SELECT max(tid) FROM object_state AS newest WHERE newest.zoid = stored.zoid AND newest.tid <= {until})
	   OR EXISTS (SELECT FROM object_state AS later WHERE later.zoid = stored.zoid AND later.prev_tid = stored.tid AND later.tid > {until})
	   OR zoid IN (SELECT zoid FROM set_back)`

const referenceAlive = `
	CREATE TEMP TABLE alive AS
	WITH RECURSIVE reached AS (
		SELECT zoid
		FROM object_state
		WHERE zoid = 0 OR zoid IN (SELECT zoid FROM kept WHERE tid > {until} OR set_back)
		UNION
		SELECT ref.to_zoid
		FROM reached
		JOIN ref ON ref.zoid = reached.zoid
		JOIN kept ON kept.zoid = ref.zoid AND kept.tid = ref.tid)
	SELECT zoid FROM reached`

const referenceOrder = "first what can be undone is marked"

const referenceDrop = "DROP TABLE IF EXISTS pg_temp.ref, pg_temp.kept, pg_temp.alive"

// sql is a statement, with the mistake if that is in it.
func (f *reference) sql(statement string, until int64) string {
	return strings.ReplaceAll(f.wrong(statement), "{until}", strconv.FormatInt(until, 10))
}

// wrong is a statement with the mistake, if that is in it.
func (f *reference) wrong(statement string) string {
	if len(f.mistake) == 0 {
		return statement
	}
	wrong := strings.Replace(statement, f.mistake[0], f.mistake[1], 1)
	f.made = f.made || wrong != statement
	return wrong
}

func (f *reference) pack(ctx context.Context, p packing) (o outcome, err error) {
	f.conn = f.conns[f.w.dsn]
	defer func() {
		_, ended := f.conn.Exec(ctx, "ROLLBACK; SELECT pg_advisory_unlock_all(); "+referenceDrop)
		err = errors.Join(err, ended)
	}()
	var got bool
	if err := f.conn.QueryRow(ctx, "SELECT pg_try_advisory_lock(-2)").Scan(&got); err != nil || !got {
		return o, errors.Join(err, errors.New("no pack lock"))
	}
	if err := f.find(ctx, p, &o); err != nil || p.dry {
		return o, err
	}
	steps := []func(context.Context, packing, *outcome) error{f.mark, f.trim, f.sweep}
	if f.wrong(referenceOrder) != referenceOrder {
		slices.Reverse(steps)
	}
	for _, step := range steps {
		if err := step(ctx, p, &o); err != nil {
			return o, err
		}
	}
	return o, nil
}

// find reads everything, and tells what goes.
func (f *reference) find(ctx context.Context, p packing, o *outcome) error {
	wanted := int64(1<<63 - 1)
	if p.days >= 0 {
		wanted = zodbtest.TimeTid(time.Now().Add(-time.Duration(p.days * 24 * float64(time.Hour))))
	}
	var seen *int64
	if f.w.release < zodbtest.V30 {
		seen = f.w.seen
	}
	if err := f.conn.QueryRow(ctx, f.wrong(referenceUntil), wanted, p.days >= 0, seen).Scan(&o.until); err != nil {
		return err
	}
	unread, err := f.references(ctx)
	if err != nil {
		return err
	}
	for _, statement := range []string{f.sql(referenceKept, o.until), f.sql(referenceAlive, o.until)} {
		if _, err := f.conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	if err := f.conn.QueryRow(ctx, `SELECT (SELECT count(*) FROM object_state) - (SELECT count(*) FROM kept),
		(SELECT coalesce(array_agg(DISTINCT zoid), '{}') FROM object_state WHERE zoid NOT IN (SELECT zoid FROM alive))`).
		Scan(&o.trimmed, &o.garbage); err != nil {
		return err
	}
	for _, key := range unread {
		var kept bool
		if err := f.conn.QueryRow(ctx, f.wrong("SELECT EXISTS (SELECT FROM kept WHERE zoid = $1 AND tid = $2)"), key.Zoid, key.Tid).Scan(&kept); err != nil {
			return err
		}
		if kept {
			o.refused = fmt.Sprintf("nobody can read %v", key)
		}
	}
	return nil
}

// references fills a table with all there are.
func (f *reference) references(ctx context.Context) (unread []revision.Key, err error) {
	s, err := revision.Load(ctx, f.conn)
	if err != nil {
		return nil, err
	}
	var zoids, tids, refs []int64
	for zoid, revisions := range s.Revisions {
		for _, r := range revisions {
			found, ok := refsOf(r)
			if !ok {
				unread = append(unread, revision.Key{Zoid: zoid, Tid: r.Tid})
			}
			for _, ref := range found {
				zoids, tids, refs = append(zoids, zoid), append(tids, r.Tid), append(refs, ref)
			}
		}
	}
	_, err = f.conn.Exec(ctx, "CREATE TEMP TABLE ref (zoid bigint, tid bigint, to_zoid bigint)")
	if err == nil {
		_, err = f.conn.Exec(ctx, "INSERT INTO ref SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])", zoids, tids, refs)
	}
	return unread, err
}

func (f *reference) mark(ctx context.Context, p packing, o *outcome) error {
	for _, statement := range []string{
		"UPDATE transaction SET packed = true WHERE tid > 0 AND tid <= {until} AND tid % 2 = 0",
		"UPDATE transaction SET packed = true WHERE tid > 0 AND tid <= {until} AND NOT packed",
	} {
		if err := f.do(ctx, p, f.sql(statement, o.until)); err != nil {
			return err
		}
	}
	return nil
}

func (f *reference) do(ctx context.Context, p packing, statement string, args ...any) error {
	if _, err := f.conn.Exec(ctx, f.wrong(statement), args...); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return p.between(statement)
}

func (f *reference) trim(ctx context.Context, p packing, o *outcome) error {
	for batch := range 3 {
		if err := f.do(ctx, p, `DELETE FROM object_state AS stored WHERE zoid % 3 = $1
			AND NOT EXISTS (SELECT FROM kept WHERE kept.zoid = stored.zoid AND kept.tid = stored.tid)`, batch); err != nil {
			return err
		}
	}
	return nil
}

// sweep deletes garbage; with pack-gc false, deleted objects.
func (f *reference) sweep(ctx context.Context, p packing, o *outcome) error {
	zoids := o.garbage
	switch {
	case p.keep:
		if err := f.conn.QueryRow(ctx, f.sql(`SELECT coalesce(array_agg(zoid), '{}') FROM kept WHERE gone AND NOT set_back AND tid <= {until}
			AND NOT EXISTS (SELECT FROM object_state AS later WHERE later.zoid = kept.zoid AND later.tid > kept.tid)`, o.until)).Scan(&zoids); err != nil {
			return err
		}
	case o.refused != "":
		return nil
	}
	for few := range slices.Chunk(zoids, 2) {
		if err := f.do(ctx, p, `WITH gone AS (DELETE FROM current_object WHERE zoid = ANY ($1))
			DELETE FROM object_state WHERE zoid = ANY ($1)`, few); err != nil {
			return err
		}
	}
	return nil
}
