package look

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"relpack/runner/fault"
	"relpack/runner/progress"
	"relpack/runner/schema"
	"relpack/runner/session"
	"relpack/runner/target"
)

// A Graph is the graph of one storage, as of one moment.
type Graph struct {
	// UpTo is the last transaction that the graph knows of; nil: none.
	UpTo *time.Time
	// Horizon is up to when revisions of a history-preserving storage that were superseded
	// don't count: the pack time of the last pack, or dry run; nil in others.
	Horizon *time.Time
	// Fresh is how many objects were written since.
	Fresh int64
	// Uncertain says why what looks unreachable may be alive, and what to do; "" if
	// it is not.
	Uncertain string
	// Refusal says why every pack is refused until somebody acts, and what to do; "" if
	// none is.
	Refusal string

	limits      Limits
	conn        *pgx.Conn
	target      target.Target
	database    *schema.Database
	tx          pgx.Tx
	progress    progress.Meter
	fresh       fresh
	parents     map[int64]int64   // as recorded, of what was climbed from
	alive       map[int64]bool    // whether following parents leads to the root, or a way was found
	unreachable map[int64]bool    // to which there is no way
	visible     map[int64][]int64 // what a client finds in some objects, while nothing else of these counts: see byLoaded
	records     recordCache
	names       map[[2]int64]Name
}

// Limits bound the memory and the time of an answer, in objects; 0 stands for what
// is said here. Tests want less.
type Limits struct {
	Looked int // that a search for a way looks at: 100,000
	Held   int // that are counted because they hang on one: a million, 100 MiB of memory
	Fresh  int // written since the last pack that are read: 100,000, with 500,000 references
}

func (l Limits) orDefault() Limits {
	return Limits{cmp.Or(l.Looked, 100_000), cmp.Or(l.Held, 1_000_000), cmp.Or(l.Fresh, 100_000)}
}

// Open opens the graph of a storage for a purpose, which its session is named
// after. files are the migrations that this relpack knows.
func Open(ctx context.Context, t target.Target, purpose string, files fs.FS, limits Limits, meter progress.Meter, log *slog.Logger) (*Graph, error) {
	if t.Foreign {
		return nil, t.Migratable()
	}
	conn, err := session.Open(ctx, t, purpose, log)
	if err != nil {
		return nil, err
	}
	if meter == nil {
		meter = progress.Silent{}
	}
	g := &Graph{limits: limits.orDefault(), target: t, conn: conn, progress: meter}
	if err := g.open(ctx, t, files); err != nil {
		g.Close()
		return nil, g.Explain(err)
	}
	return g, nil
}

// Close ends the session.
func (g *Graph) Close() {
	session.Close(g.conn)
}

func (g *Graph) open(ctx context.Context, t target.Target, files fs.FS) error {
	d, err := schema.LookAt(ctx, g.conn)
	if err != nil {
		return err
	}
	g.database, g.fresh.history = d, d.KeepsHistory()
	if err := d.MayRead(ctx, g.conn, t, files); err != nil {
		return err
	}
	return g.begin(ctx)
}

// KeepsHistory tells whether the storage is a history-preserving one.
func (g *Graph) KeepsHistory() bool { return g.fresh.history }

// OnPrimary tells whether the server is one that a pack could work on.
func (g *Graph) OnPrimary() bool { return !g.database.Standby }

// begin begins the transaction in which all is read.
func (g *Graph) begin(ctx context.Context) (err error) {
	g.parents, g.alive, g.unreachable = map[int64]int64{}, map[int64]bool{}, map[int64]bool{}
	g.names, g.records = map[[2]int64]Name{}, recordCache{}
	if g.tx, err = g.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}); err != nil {
		return err
	}
	if err := g.lock(ctx); err != nil {
		return err
	}
	if err := g.lookAtGraph(ctx); err != nil {
		return err
	}
	if err := g.readFresh(ctx); err != nil {
		return err
	}
	return g.lookForUndecodable(ctx)
}

// Pause ends the transaction, which would keep others from what they have to do, for
// as long as something takes that needs the graph now and then only, and begins
// another one afterwards. Then the graph may be another.
func (g *Graph) Pause(ctx context.Context, do func() error) error {
	if err := g.Rest(ctx); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return g.Wake(ctx)
}

// Rest ends the transaction, and Wake begins another one.
func (g *Graph) Rest(ctx context.Context) error { return g.tx.Rollback(ctx) }

// Wake is for after Rest.
func (g *Graph) Wake(ctx context.Context) error { return g.begin(ctx) }

// lock keeps the tables as they are: a snapshot that is older than a TRUNCATE
// shows them empty. No statement of this one transaction has a snapshot before.
func (g *Graph) lock(ctx context.Context) error {
	_, err := g.tx.Exec(ctx, `SET LOCAL lock_timeout = '5s';
		LOCK TABLE public.object_state, relpack.storage, relpack.object, relpack.object_inref, relpack.class,
		    relpack.suspect, relpack.missing, relpack.dangling, relpack.problem, relpack.foreign_reference,
		    relpack.pending, relpack.to_trim, relpack.write_event
		IN ACCESS SHARE MODE`)
	return err
}

// changing is the refusal while a pack is at work.
func changing(why string) error {
	return &fault.Error{Code: fault.ExitFailure, Err: errors.New(why),
		Hint: `Try again when the pack has ended; if none is running, run "relpack pack --dry-run"`}
}

func (g *Graph) lookAtGraph(ctx context.Context) error {
	var why, doubt string
	if err := g.tx.QueryRow(ctx, `
		SELECT coalesce(relpack.being_changed(), ''), coalesce(relpack.doubt(), ''),
		       relpack.tid_to_time(nullif(applied_tid, 0)),
		       CASE WHEN keeps_history THEN relpack.tid_to_time(nullif(horizon_tid, 0)) END
		FROM (SELECT) AS one LEFT JOIN relpack.storage ON true`).Scan(&why, &doubt, &g.UpTo, &g.Horizon); err != nil {
		return fmt.Errorf("read relpack.storage: %w", err)
	}
	if why == schema.NotBuilt {
		return &fault.Error{Code: fault.ExitFailure, Err: errors.New(why), Hint: schema.BuildFirst(g.target)}
	}
	if why != "" {
		return changing(why)
	}
	if err := g.lookForRefusal(ctx); err != nil {
		return err
	}
	if doubt != "" {
		g.Uncertain = "the graph may not match the storage: " + doubt + g.first()
		return nil
	}
	err := g.tx.QueryRow(ctx, "SELECT coalesce((SELECT 'the graph does not describe the storage: ' || difference || $1 FROM relpack.audit), '')",
		g.first()).Scan(&g.Uncertain)
	if err == nil && g.Uncertain == "" {
		g.Uncertain, err = g.refusedBy(ctx, "relpack.require_unreferred()")
	}
	if err != nil {
		return fmt.Errorf("look what keeps relpack from being certain: %w", err)
	}
	return nil
}

// lookForRefusal asks what a pack asks first: no pack mends what refuses it. A standby's
// configuration says nothing of the packs on the primary.
func (g *Graph) lookForRefusal(ctx context.Context) (err error) {
	if g.Refusal, err = g.refusedBy(ctx, "relpack.require_packable()"); err != nil || g.Refusal != "" || !g.OnPrimary() {
		return err
	}
	if err := g.database.CheckPackable(g.target); err != nil {
		g.Refusal = fault.Message(err)
	}
	return nil
}

// refusedBy is what one of relpack's functions refuses, and what to do; "" is nothing.
func (g *Graph) refusedBy(ctx context.Context, function string) (string, error) {
	err := pgx.BeginFunc(ctx, g.tx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "SELECT "+function)
		return err
	})
	if _, refused := fault.AsRefusal(err); refused {
		return strings.TrimSuffix(fault.Message(err), "."), nil
	}
	return "", err
}

// first is what to do before an answer is certain.
func (g *Graph) first() string {
	if g.Refusal != "" {
		return "; every pack is refused: " + g.Refusal
	}
	return `: run "relpack pack --dry-run"`
}

// Explain says what to do about errors that a role, a pack or the server's standby
// causes.
func (g *Graph) Explain(err error) error {
	var server *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case fault.ExitCode(err) == fault.ExitInterrupted:
		return &fault.Error{Code: fault.ExitInterrupted, Err: errors.New("interrupted")}
	case fault.IsState(err, "55P03") && fault.ExitCode(err) == fault.ExitFailure: // lock_not_available
		return changing("the graph is being changed: somebody has a table locked")
	case errors.As(err, &server) && server.Code == "42501" && g.database != nil: // insufficient_privilege
		return g.database.MayNotLook("got " + server.Message)
	case fault.IsState(err, "40001"): // serialization_failure: the standby had to go on
		return &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("the standby has removed rows that were being read: %s", fault.Message(err)),
			Hint: "Try again, on the primary where it happens often"}
	}
	return err
}

// Quiet stops telling how far anything is: the screen is somebody else's.
func (g *Graph) Quiet() { g.progress = progress.Silent{} }

// Progress is told how far a search is.
func (g *Graph) Progress() progress.Meter { return g.progress }
