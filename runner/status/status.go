package status

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"relpack/runner/fault"
	"relpack/runner/figures"
	"relpack/runner/inventory"
	"relpack/runner/schema"
	"relpack/runner/session"
	"relpack/runner/target"
)

// named is how many rows a status shows of what may be many.
const named = 5

// A Report says what relpack knows of one storage. Sizes are in bytes.
type Report struct {
	Storage   string `json:"storage"`
	Error     string `json:"error,omitempty"`
	ExitCode  int    `json:"exit_code"`
	Database  string `json:"database"`
	Server    string `json:"server"` // PostgreSQL's version
	Standby   bool   `json:"standby"`
	Found     string `json:"found"` // what the database holds, in a few words
	Packable  bool   `json:"packable"`
	Installed bool   `json:"installed"`
	Version   int64  `json:"schema_version"`  // 0: not installed
	Latest    int64  `json:"relpack_version"` // the schema version of this relpack
	// Advice says why Graph is nil, and what to do about it.
	Advice   string   `json:"advice,omitempty"`
	Warnings []string `json:"warnings"` // about the configuration
	Graph    *Graph   `json:"graph,omitempty"`
	History  *History `json:"history,omitempty"` // of a history-preserving storage
}

// History is what relpack knows of a history-preserving storage.
type History struct {
	TrimmedUntil *time.Time `json:"trimmed_until"` // nil: no trim has ended
	LastPack     *time.Time `json:"last_pack"`
	Revisions    int64      `json:"revisions"` // removed, by the packs in relpack.run
	Bytes        int64      `json:"bytes"`     // of their states
	Oldest       *time.Time `json:"oldest"`    // revision that was kept; nil: no run has come so far
	// ByClass are the revisions that the last pack removed that removed any, or those that the
	// last run found, if it was a dry one.
	ByClass []inventory.ClassHistory `json:"by_class"`
	WouldGo bool                     `json:"would_go,omitempty"` // ByClass, as a dry run found
	waiting
}

// waiting are blobs whose files are to be removed.
type waiting struct {
	BlobRemovals int64  `json:"blob_removals"`
	BlobsWait    string `json:"blobs_wait,omitempty"` // why, if the configuration is why
	// BlobsMissed are others, whose files were not in the directory, and since when at the earliest.
	BlobsMissed int64      `json:"blobs_missed"`
	MissedSince *time.Time `json:"missed_since,omitempty"`
}

// why says so if the configuration is.
func (w *waiting) why(t target.Target) {
	if w.BlobRemovals > 0 {
		w.BlobsWait = t.NoBlobDir()
	}
}

// A Graph is what the schema relpack says of the storage.
type Graph struct {
	inventory.KnownOfOthers
	waiting

	State        string     `json:"state"`             // relpack.storage.graph
	Doubt        *string    `json:"doubt"`             // why it is not trusted
	Refusal      string     `json:"refusal,omitempty"` // why each pack is refused until somebody acts
	AppliedTid   *int64     `json:"applied_tid"`
	AppliedUntil *time.Time `json:"applied_until"`
	// Horizon is up to when revisions of a history-preserving storage that were
	// superseded don't count.
	Horizon         *time.Time             `json:"horizon,omitempty"`
	LastTransaction *time.Time             `json:"last_transaction"` // of the storage
	Ahead           string                 `json:"ahead,omitempty"`  // what it means that tids are ahead of the clock
	Objects         int64                  `json:"objects"`
	References      int64                  `json:"references"`
	Unreachable     *figures.Count         `json:"unreachable"`  // nil while nobody knows
	WithinGrace     *figures.Count         `json:"within_grace"` // of them, by the default of one day
	Begun           bool                   `json:"begun"`        // a deletion was interrupted; the doomed go whatever --days
	Doomed          int64                  `json:"doomed"`
	ProblemCount    int64                  `json:"problem_count"`
	BlockingCount   int64                  `json:"blocking_problem_count"`
	Bytes           int64                  `json:"bytes"`             // of relpack's own tables
	VerifiedSince   *time.Time             `json:"verified_since"`    // every object was read again since then
	ByClass         []inventory.ClassCount `json:"by_class"`          // of the unreachable, the largest
	MoreClasses     int64                  `json:"more_classes"`      // so many others have some
	CutOff          *inventory.Heads       `json:"cut_off,omitempty"` // as the last run found, if it was a dry one
	Damage          inventory.Damage       `json:"damage"`
	Problems        []inventory.Problem    `json:"problems"`
	HeldBack        figures.Count          `json:"held_back"`
	SetAside        []inventory.SetAside   `json:"set_aside"`                 // unreachable, but can't be deleted
	MissingIndexes  []string               `json:"missing_indexes,omitempty"` // what is slow, and what creates the index
	Leftovers       []inventory.Leftover   `json:"leftovers"`
	Runs            []Run                  `json:"runs"`
	Packer          *Packer                `json:"packer"` // who holds the pack lock
	// WritersLock lists who holds the writers' lock otherwise than a commit does.
	WritersLock []LockHolder `json:"writers_lock"`
	// Busy is set while a step of a first build has relpack's tables locked:
	// then only State, Runs and Packer are known.
	Busy bool `json:"busy"`
}

// A Run is one pack of the past, or the one at work.
type Run struct {
	Started   time.Time     `json:"started"`
	Finished  *time.Time    `json:"finished"`
	Outcome   string        `json:"outcome"`
	Days      *float64      `json:"days"`
	Scanned   int64         `json:"scanned"`
	Deleted   figures.Count `json:"deleted"`
	BlobFiles int64         `json:"blob_files"`
	BlobBytes int64         `json:"blob_bytes"`
	// LargeObjects are those of blobs in the database.
	LargeObjects     int64   `json:"large_objects"`
	LargeObjectBytes int64   `json:"large_object_bytes"` // of those that the role of the run may read
	Message          *string `json:"message"`
	// Revisions are old ones that a pack of a history-preserving storage removed.
	Revisions     int64 `json:"revisions"`
	RevisionBytes int64 `json:"revision_bytes"` // of their states
}

// A Packer is a session that holds the pack lock.
type Packer struct {
	Pid         int        `json:"pid"`
	Application string     `json:"application"`
	Since       *time.Time `json:"since"`
}

// A LockHolder holds the writers' lock exclusively, so that nobody can write, or
// for more than a minute, so that relpack can't delete.
type LockHolder struct {
	Pid         *int       `json:"pid"` // nil: a prepared transaction
	Application string     `json:"application"`
	Username    string     `json:"username"`
	Exclusive   bool       `json:"exclusive"`
	Since       *time.Time `json:"since"` // start of its transaction
}

// Empty tells whether an error is all there is to tell.
func (r *Report) Empty() bool { return r.Error != "" }

// Look looks at one storage. It writes nothing and waits for nobody. A storage that
// relpack can't work on, or has never seen, is no error: the report says so. No storage
// is one: the database is the wrong one. The report is never nil.
func Look(ctx context.Context, t target.Target, files fs.FS, log *slog.Logger) (*Report, error) {
	r := &Report{Storage: t.Name, Warnings: append([]string{}, t.Warnings...)}
	err := r.fill(ctx, t, files, log)
	if r.ExitCode = fault.ExitCode(err); err != nil {
		r.Error = fault.Message(err)
	}
	return r, err
}

func (r *Report) fill(ctx context.Context, t target.Target, files fs.FS, log *slog.Logger) error {
	if t.Foreign {
		return t.Migratable()
	}
	conn, err := session.Open(ctx, t, "status", log)
	if err != nil {
		return err
	}
	defer session.Close(conn)
	d, err := schema.LookAt(ctx, conn)
	if err != nil {
		return err
	}
	r.Database, r.Server, r.Standby, r.Found = d.Name, d.Server, d.Standby, d.String()
	r.Packable = d.CheckAgrees(t) == nil && d.CheckStorage() == nil && d.CheckOwn() == nil && d.CheckPackable(t) == nil
	r.Installed, r.Version = d.Version > 0, d.Version
	if r.Latest, err = schema.LatestMigration(files); err != nil {
		return err
	}
	if d.Trap != nil {
		return d.Trap
	}
	if d.Versioned && !d.MayLook {
		return d.MayNotLook("may not read the schema relpack")
	}
	if !d.Storage {
		return d.CheckReadable()
	}
	r.Advice = advice(ctx, conn, d, t, files)
	if d.Version != r.Latest {
		return nil
	}
	if err := d.CheckKind(ctx, conn); err != nil {
		r.Packable, r.Advice = false, fault.Message(err)
		return nil
	}
	if d.KeepsHistory() {
		if err := r.readHistory(ctx, conn, d, t); err != nil || t.KeepsGarbage {
			return err
		}
	}
	if err := r.readGraph(ctx, conn, d); err != nil {
		return err
	}
	r.Packable = r.Packable && r.Graph.Refusal == ""
	for i := range r.Graph.Foreign {
		found := &r.Graph.Foreign[i]
		found.Named, found.MayBe = t.File.Knows(found.Database), t.File.MayBe(t, found.Database)
	}
	r.Graph.why(t)
	for i, by := range r.Graph.ReferredBy {
		r.Graph.ReferredBy[i].File = t.File.Section(by.Storage)
	}
	return nil
}

// readHistory reads up to when the history was trimmed, and the packs of the past.
func (r *Report) readHistory(ctx context.Context, conn *pgx.Conn, d *schema.Database, t target.Target) error {
	h := &History{}
	err := conn.QueryRow(ctx, `SELECT CASE WHEN trimmed_tid > 0 THEN relpack.tid_to_time(trimmed_tid) END,
		(SELECT max(finished) FROM relpack.run WHERE outcome = 'packed'),
		(SELECT coalesce(sum(revisions), 0) FROM relpack.run), (SELECT coalesce(sum(revision_bytes), 0)::bigint FROM relpack.run),
		removal.waiting, removal.missed, removal.since,
		(SELECT oldest FROM relpack.run WHERE oldest IS NOT NULL ORDER BY id DESC LIMIT 1),
		coalesce(last.history, '[]'), coalesce(last.dry, false)
		FROM relpack.storage
		LEFT JOIN LATERAL (
		    SELECT told.history, told.revisions = 0 AS dry FROM relpack.run AS told
		    WHERE told.history IS NOT NULL
		      AND NOT (told.revisions = 0 AND EXISTS (
		          SELECT FROM relpack.run AS later
		          WHERE later.id > told.id AND (later.outcome IN ('dry_run', 'packed') OR later.revisions > 0)))
		    ORDER BY told.id DESC LIMIT 1) AS last ON true
		CROSS JOIN (SELECT count(*) FILTER (WHERE missed IS NULL), count(missed), min(missed) FROM relpack.blob_removal) AS removal (waiting, missed, since)`).
		Scan(&h.TrimmedUntil, &h.LastPack, &h.Revisions, &h.Bytes, &h.BlobRemovals, &h.BlobsMissed, &h.MissedSince, &h.Oldest, &h.ByClass, &h.WouldGo)
	if fault.IsState(err, "42501") { // insufficient_privilege
		return d.MayNotLook("may not read relpack's tables")
	}
	if err != nil {
		return fmt.Errorf("read the schema relpack: %w", err)
	}
	h.why(t)
	r.History = h
	return nil
}

// readGraph reads what the schema relpack says.
func (r *Report) readGraph(ctx context.Context, conn *pgx.Conn, d *schema.Database) error {
	err := r.read(ctx, conn, readGraph)
	if fault.IsState(err, "55P03") { // lock_not_available
		err = r.read(ctx, conn, readBusyGraph)
	}
	var server *pgconn.PgError
	if errors.As(err, &server) && server.Code == "42501" { // insufficient_privilege
		return d.MayNotLook("got " + server.Message)
	}
	if err != nil {
		return fmt.Errorf("read the schema relpack: %w", err)
	}
	return nil
}

// read reads the graph's part in one snapshot, and not behind a lock.
func (r *Report) read(ctx context.Context, conn *pgx.Conn, how func(context.Context, pgx.Tx) (*Graph, error)) error {
	return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly},
		func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '1s'")
			if err == nil {
				r.Graph, err = how(ctx, tx)
			}
			return err
		})
}

// advice is what keeps relpack from packing this storage; "" is nothing.
func advice(ctx context.Context, conn session.Querier, d *schema.Database, t target.Target, files fs.FS) string {
	err := d.CheckSession()
	if err == nil && d.Standby && d.Version > 0 {
		// All that can be read can be told, too.
		return "the server is a standby: pack on the primary"
	}
	for _, check := range []func() error{
		func() error { return d.CheckAgrees(t) }, d.CheckStorage, d.CheckOwn, func() error { return d.CheckPackable(t) },
		func() error { return d.CheckVersion(ctx, conn, files) },
	} {
		if err == nil {
			err = check()
		}
	}
	if err == nil {
		return ""
	}
	return fault.Message(err)
}

// newGraph has lists that are not null in JSON.
func newGraph() *Graph {
	return &Graph{Damage: inventory.NoDamage(), ByClass: []inventory.ClassCount{}, Problems: []inventory.Problem{},
		SetAside: []inventory.SetAside{}, Leftovers: []inventory.Leftover{}, Runs: []Run{}, WritersLock: []LockHolder{},
		KnownOfOthers: inventory.KnownOfOthers{Foreign: []inventory.ForeignCount{}, ReferredBy: []inventory.Referrer{}}}
}

func readGraph(ctx context.Context, tx pgx.Tx) (*Graph, error) {
	g := newGraph()
	var unreachable, unreachableBytes, grace, graceBytes *int64
	if err := tx.QueryRow(ctx, `
		SELECT graph, doubt, applied_tid, applied_until, objects, inrefs,
		       unreachable, unreachable_bytes, within_grace, within_grace_bytes,
		       doomed, blob_removals, blobs_missed, (SELECT min(missed) FROM relpack.blob_removal), problems, blocking_problems, bytes, verified_since,
		       (SELECT begun_until > 0 FROM relpack.storage),
		       (SELECT CASE WHEN keeps_history THEN relpack.tid_to_time(nullif(horizon_tid, 0)) END FROM relpack.storage),
		       (SELECT relpack.tid_to_time(max(tid)) FROM relpack.stored()), coalesce(relpack.tids_ahead(), ''),
		       CASE
		       WHEN EXISTS (SELECT FROM relpack.missing_trigger()) THEN
		           (SELECT 'triggers of relpack are missing or disabled: ' || string_agg(name, ', ' ORDER BY name) FROM relpack.missing_trigger() AS gone (name))
		           || '. Run "relpack migrate up": it installs them again'
		       WHEN graph IN ('current', 'doubtful') AND NOT EXISTS (SELECT FROM relpack.stored() WHERE zoid = 0) THEN
		           'the storage has no root object (zoid 0). Restore object 0 from a backup'
		       WHEN graph IN ('current', 'doubtful') AND (
		           SELECT coalesce(octet_length(stored.state), 0) = 0 FROM relpack.stored() WHERE stored.zoid = 0 ORDER BY stored.tid DESC LIMIT 1) THEN
		           'the root object (zoid 0) has no state. Restore the state of object 0 from a backup'
		       ELSE ''
		       END
		FROM relpack.status()`).
		Scan(&g.State, &g.Doubt, &g.AppliedTid, &g.AppliedUntil, &g.Objects, &g.References,
			&unreachable, &unreachableBytes, &grace, &graceBytes,
			&g.Doomed, &g.BlobRemovals, &g.BlobsMissed, &g.MissedSince, &g.ProblemCount, &g.BlockingCount, &g.Bytes, &g.VerifiedSince, &g.Begun, &g.Horizon, &g.LastTransaction, &g.Ahead, &g.Refusal); err != nil {
		return nil, err
	}
	if unreachable != nil {
		g.Unreachable, g.WithinGrace = &figures.Count{Objects: *unreachable, Bytes: *unreachableBytes}, &figures.Count{Objects: *grace, Bytes: *graceBytes}
		if err := collect(ctx, tx, &g.ByClass, "SELECT class, objects, bytes FROM relpack.garbage_by_class"); err != nil {
			return nil, err
		}
		g.MoreClasses = int64(max(0, len(g.ByClass)-named))
		g.ByClass = g.ByClass[:min(named, len(g.ByClass))]
	}
	if err := tx.QueryRow(ctx, "SELECT (SELECT cut_off FROM relpack.run WHERE finished IS NOT NULL ORDER BY id DESC LIMIT 1)").Scan(&g.CutOff); err != nil {
		return nil, err
	}
	return g, g.readInventory(ctx, tx)
}

func (g *Graph) readInventory(ctx context.Context, tx pgx.Tx) (err error) {
	if g.Damage, err = inventory.ReadDamage(ctx, tx); err != nil {
		return err
	}
	if g.Problems, err = inventory.ReadProblems(ctx, tx, named); err != nil {
		return err
	}
	if g.HeldBack, g.SetAside, err = inventory.ReadSetAside(ctx, tx, named); err != nil {
		return err
	}
	if g.Foreign, _, err = inventory.ReadForeign(ctx, tx); err != nil {
		return err
	}
	if g.ReferredBy, err = inventory.ReadReferrers(ctx, tx); err != nil {
		return err
	}
	if g.MissingIndexes, err = inventory.MissingIndexes(ctx, tx); err != nil {
		return err
	}
	if g.Leftovers, err = inventory.ReadLeftovers(ctx, tx, 0); err != nil {
		return err
	}
	return g.readSessions(ctx, tx)
}

// readSessions reads what no build locks.
func (g *Graph) readSessions(ctx context.Context, tx pgx.Tx) error {
	return errors.Join(g.readRuns(ctx, tx), g.readPacker(ctx, tx), g.readWritersLock(ctx, tx))
}

// readBusyGraph reads tables that no build locks.
func readBusyGraph(ctx context.Context, tx pgx.Tx) (*Graph, error) {
	g := newGraph()
	g.Busy = true
	err := tx.QueryRow(ctx, "SELECT graph FROM relpack.storage").Scan(&g.State)
	if err == nil {
		err = g.readSessions(ctx, tx)
	}
	return g, err
}

func (g *Graph) readPacker(ctx context.Context, tx pgx.Tx) error {
	var p Packer
	switch err := tx.QueryRow(ctx,
		"SELECT pid, coalesce(application, ''), since FROM relpack.pack_lock_holder() LIMIT 1").
		Scan(&p.Pid, &p.Application, &p.Since); {
	case err == nil:
		g.Packer = &p
	case !errors.Is(err, pgx.ErrNoRows):
		return err
	}
	return nil
}

func (g *Graph) readWritersLock(ctx context.Context, tx pgx.Tx) error {
	return collect(ctx, tx, &g.WritersLock, `
		SELECT pid, coalesce(application, ''), coalesce(username, '')::text, exclusive, xact_start
		FROM relpack.writer
		WHERE CASE
		      WHEN exclusive THEN pid NOT IN (SELECT pid FROM relpack.pack_lock_holder())
		      ELSE state = 'idle' OR clock_timestamp() - xact_start > interval '1 minute'
		      END
		ORDER BY exclusive DESC, xact_start
		LIMIT $1`, named)
}

func (g *Graph) readRuns(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `
		SELECT started, finished, outcome, days, scanned, deleted, deleted_bytes, blob_files, blob_bytes,
		       large_objects, large_object_bytes, message, revisions, revision_bytes
		FROM relpack.run
		ORDER BY id DESC
		LIMIT $1`, named)
	if err != nil {
		return err
	}
	g.Runs, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Run, error) {
		var r Run
		err := row.Scan(&r.Started, &r.Finished, &r.Outcome, &r.Days, &r.Scanned,
			&r.Deleted.Objects, &r.Deleted.Bytes, &r.BlobFiles, &r.BlobBytes,
			&r.LargeObjects, &r.LargeObjectBytes, &r.Message, &r.Revisions, &r.RevisionBytes)
		return r, err
	})
	return err
}

// collect reads rows whose columns are the fields of T.
func collect[T any](ctx context.Context, tx pgx.Tx, into *[]T, sql string, args ...any) error {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	*into, err = pgx.CollectRows(rows, pgx.RowToStructByPos[T])
	return err
}
