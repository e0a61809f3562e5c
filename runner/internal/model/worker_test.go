package model

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"relpack/migrations"
	"relpack/runner/graph"
	"relpack/runner/internal/pgtest"
	"relpack/runner/job"
	"relpack/runner/pack"
	"relpack/runner/session"
	"relpack/runner/target"
)

// A modelWorker has a database in which it plays one history after the other.
// Sessions live on from history to history; what is stored does not: each
// begins with object_state and all of relpack's tables as a first build of a
// storage with nothing but its root leaves them.
type modelWorker struct {
	target  target.Target
	app     *pgx.Conn // a client of the site, and who types in psql
	other   *pgx.Conn // another client, with a transaction that stays open
	packer  *pgx.Conn // relpack's main session
	reader  *pgx.Conn // and those beside it
	writer  *pgx.Conn
	class   *pgx.Conn
	alter   *pgx.Conn // who alters tables
	foreign bool      // whether somebody keeps rows
	notes   int       // columns that were added, and dropped
	quick   bool
	played  int
	counts  map[string]int
}

var modelLog = slog.New(slog.DiscardHandler)

func newModelWorker(t testing.TB, quick bool) *modelWorker {
	t.Helper()
	db := pgtest.NewDatabase(t)
	w := &modelWorker{
		quick:  quick,
		target: target.Target{Name: "model", DSN: db.DSN, CommitLockTimeout: 5 * time.Second, BatchTimeout: target.DefaultBatchTimeout},
		counts: map[string]int{},
	}
	w.prepare(t, db)
	w.app, w.other, w.alter = db.Connect(t), db.Connect(t), db.Connect(t)
	for _, conn := range []**pgx.Conn{&w.packer, &w.reader, &w.writer, &w.class} {
		own, err := session.Open(t.Context(), w.target, "model", modelLog)
		if err != nil {
			t.Fatal(err)
		}
		*conn = own
		t.Cleanup(func() { session.Close(own) })
	}
	return w
}

// lost tells whether a session has ended that nobody ended.
func (w *modelWorker) lost() bool {
	for _, conn := range []*pgx.Conn{w.app, w.other, w.alter, w.packer, w.reader, w.writer, w.class} {
		if conn.IsClosed() {
			return true
		}
	}
	return false
}

// packing is a pack at work in a session, which holds the pack lock or ought to.
func (w *modelWorker) packing(conn *pgx.Conn) *graph.Packer {
	return &graph.Packer{Job: job.New(w.target, modelLog, nil, nil), Seen: &graph.Seen{}, Conn: conn, PID: conn.PgConn().PID()}
}

// modelReset is one implicit transaction.
const modelReset = `
	DELETE FROM public.object_state;
	INSERT INTO public.object_state (zoid, tid, state_size, state) VALUES (0, %[1]d, %[2]d, '\x%[3]x');
	SELECT pg_advisory_xact_lock(-2);
	DELETE FROM relpack.object;
	DELETE FROM relpack.object_inref;
	DELETE FROM relpack.write_event;
	DELETE FROM relpack.pending;
	DELETE FROM relpack.suspect;
	DELETE FROM relpack.doomed;
	DELETE FROM relpack.blob_removal;
	DELETE FROM relpack.problem;
	DELETE FROM relpack.missing;
	DELETE FROM relpack.dangling;
	DELETE FROM relpack.scan_range;
	DELETE FROM relpack.fill_range;
	DELETE FROM relpack.staged_object;
	DELETE FROM relpack.reached;
	DELETE FROM relpack.spared;
	DELETE FROM relpack.examined_object;
	DELETE FROM relpack.examined_inref;
	DELETE FROM relpack.examined_problem;
	DELETE FROM relpack.examined_foreign;
	DELETE FROM relpack.foreign_reference;
	DELETE FROM relpack.referred_by;
	DELETE FROM relpack.capture;
	DELETE FROM relpack.run;
	DELETE FROM relpack.storage;
	INSERT INTO relpack.storage (watermark, applied_tid, listed_tid, objects, graph, relation, filenode,
	                             trigger_identity, column_identity, graph_identity)
	VALUES (%[1]d, %[1]d, %[1]d, 1, 'current', 'public.object_state'::regclass, pg_relation_filenode('public.object_state'),
	        relpack.trigger_identity(), relpack.column_identity(), relpack.graph_identity());
	INSERT INTO relpack.object (zoid, tid, parent, class, size) VALUES (0, %[1]d, 0, relpack.class_id('zmodels', 'Document'), %[2]d);
	UPDATE public.model_clock SET moment = relpack.tid_to_time(%[1]d);
	DELETE FROM public.model_limits;
	INSERT INTO public.model_limits SELECT * FROM public.model_usual`

const modelIndexes = `
	SELECT relpack.build_reset();
	ALTER TABLE relpack.object ADD CONSTRAINT object_pkey PRIMARY KEY (zoid);
	CREATE INDEX object_detached ON relpack.object (zoid) WHERE coalesce(parent, -1) = -1;
	ALTER TABLE relpack.object_inref ADD CONSTRAINT object_inref_pkey PRIMARY KEY (zoid, inref);
	CREATE INDEX object_inref_inref ON relpack.object_inref (inref)`

// reset begins a history: only the root is stored, under this tid.
func (w *modelWorker) reset(ctx context.Context, tid int64) error {
	if w.played++; w.played%20 == 0 {
		if _, err := w.app.Exec(ctx, `VACUUM (INDEX_CLEANUP on) public.object_state, relpack.object, relpack.object_inref,
			relpack.write_event, relpack.pending, relpack.suspect, relpack.doomed, relpack.storage,
			relpack.examined_object, relpack.examined_inref, relpack.spared`); err != nil {
			return err
		}
	}
	var indexed bool
	if err := w.app.QueryRow(ctx, `
		SELECT to_regclass('relpack.object_pkey') IS NOT NULL AND to_regclass('relpack.object_detached') IS NOT NULL
		   AND to_regclass('relpack.object_inref_pkey') IS NOT NULL AND to_regclass('relpack.object_inref_inref') IS NOT NULL`).
		Scan(&indexed); err != nil {
		return err
	}
	if !indexed {
		// A build was abandoned.
		if _, err := w.app.Exec(ctx, modelIndexes); err != nil {
			return err
		}
	}
	if err := w.release(ctx); err != nil {
		return err
	}
	root := modelContent{kind: "plain"}.state()
	_, err := w.app.Exec(ctx, fmt.Sprintf(modelReset, tid, len(root), root))
	return err
}

// modelWriteSQL stores objects in one statement, as RelStorage does.
const modelWriteSQL = `
	INSERT INTO public.object_state (zoid, tid, state_size, state)
	SELECT zoid, $2, coalesce(length(state), 0), state
	FROM unnest($1::bigint[], $3::bytea[]) AS written (zoid, state)
	ORDER BY zoid
	ON CONFLICT (zoid) DO UPDATE
	SET tid = excluded.tid, state_size = excluded.state_size, state = excluded.state`

type modelExec interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

func modelStore(ctx context.Context, on modelExec, tid int64, writes []modelWrite) error {
	var zoids []int64
	var states [][]byte
	for _, w := range writes {
		zoids = append(zoids, w.zoid)
		states = append(states, w.content.state())
	}
	_, err := on.Exec(ctx, modelWriteSQL, zoids, tid, states)
	return err
}

// modelFound is what the server holds after a step.
type modelFound struct {
	stored                  []int64
	zoids, tids, detached   []int64
	attached                []bool
	doomed, removals        []int64
	removalTids             []int64
	begunUntil, noticed     int64
	graph                   string
	suspects, pending       int64
	events                  int64
	missing, accepted       []int64
	recorded, recordedTids  []int64 // nodes, or what is to become them
	refs, inrefs            []int64 // references that are recorded
	opaque                  []int64
	dangling                int64
	watermark, applied, max int64
}

const modelLook = `
	SELECT (SELECT coalesce(array_agg(zoid ORDER BY zoid), '{}') FROM public.object_state),
	       (SELECT coalesce(max(tid), 0) FROM public.object_state),
	       node.zoids, node.tids, node.attached, node.detached,
	       (SELECT coalesce(array_agg(zoid ORDER BY zoid), '{}') FROM relpack.doomed),
	       removal.zoids, removal.tids,
	       storage.begun_until, storage.noticed_tid, storage.graph, storage.watermark, storage.applied_tid,
	       (SELECT count(*) FROM relpack.suspect), (SELECT count(*) FROM relpack.pending), (SELECT count(*) FROM relpack.write_event),
	       (SELECT coalesce(array_agg(zoid ORDER BY zoid), '{}') FROM relpack.missing),
	       (SELECT coalesce(array_agg(zoid), '{}') FROM relpack.missing WHERE accepted),
	       recorded.zoids, recorded.tids, edge.zoids, edge.inrefs,
	       (SELECT coalesce(array_agg(zoid), '{}') FROM relpack.problem WHERE blocks),
	       (SELECT count(*) FROM relpack.dangling_reference AS lost
	        WHERE NOT EXISTS (SELECT FROM public.object_state AS stored WHERE stored.zoid = lost.zoid))
	FROM relpack.storage,
	     (SELECT coalesce(array_agg(zoid), '{}') AS zoids, array_agg(tid) AS tids
	      FROM (SELECT zoid, tid FROM relpack.object UNION SELECT zoid, tid FROM relpack.staged_object) AS read) AS recorded,
	     (SELECT coalesce(array_agg(zoid), '{}') AS zoids, coalesce(array_agg(inref), '{}') AS inrefs
	      FROM relpack.object_inref) AS edge,
	     (SELECT coalesce(array_agg(zoid ORDER BY zoid), '{}') AS zoids, array_agg(tid ORDER BY zoid) AS tids,
	             array_agg(parent IS NOT NULL ORDER BY zoid) AS attached,
	             array_agg(coalesce(detached_tid, 0) ORDER BY zoid) AS detached
	      FROM relpack.object) AS node,
	     (SELECT coalesce(array_agg(zoid), '{}') AS zoids, coalesce(array_agg(tid), '{}') AS tids
	      FROM relpack.blob_removal) AS removal`

func (w *modelWorker) look(ctx context.Context) (f modelFound, err error) {
	err = w.app.QueryRow(ctx, modelLook).Scan(&f.stored, &f.max, &f.zoids, &f.tids, &f.attached, &f.detached,
		&f.doomed, &f.removals, &f.removalTids, &f.begunUntil, &f.noticed, &f.graph, &f.watermark, &f.applied,
		&f.suspects, &f.pending, &f.events, &f.missing, &f.accepted, &f.recorded, &f.recordedTids, &f.refs, &f.inrefs, &f.opaque, &f.dangling)
	return f, err
}

// trusted tells whether relpack takes its graph for that of the storage.
func (w *modelWorker) trusted(ctx context.Context) (trusted bool, err error) {
	err = w.app.QueryRow(ctx, "SELECT relpack.doubt() IS NULL AND NOT (graph = 'reshaping' AND scan_disturbed) FROM relpack.storage").
		Scan(&trusted)
	return trusted, err
}

// verify asks relpack what is wrong with its graph, and how many objects are
// missing that reachable ones refer to.
func (w *modelWorker) verify(ctx context.Context) (dangling int64, err error) {
	type finding struct {
		Severity, Finding string
		Objects           *int64
		Zoids             []int64
	}
	found, err := session.Rows(ctx, w.app, pgx.RowToStructByPos[finding],
		"SELECT severity, finding, objects, zoids FROM relpack.verify()")
	for _, f := range found {
		switch {
		case f.Severity == "error":
			return 0, lossf("relpack.verify(): %s: %v", f.Finding, f.Zoids)
		case strings.Contains(f.Finding, "POSKeyError"):
			dangling = *f.Objects
		}
	}
	return dangling, err
}

// options are those of a run that goes through Pack itself.
func modelOptions(s modelStep) pack.Options {
	return pack.Options{
		Days: s.days(), DryRun: s.is("dry"), Init: s.is("init"), Version: "model", Migrations: migrations.Files,
	}
}

// days is the grace: negative without one.
func (s modelStep) days() float64 {
	if s.args["grace"] < 0 {
		return -1
	}
	return float64(s.args["grace"]) / (24 * 60)
}
