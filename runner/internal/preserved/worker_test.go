package preserved

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
)

// A worker plays one history after the other: each in a database as one of two releases
// of RelStorage made it.
type worker struct {
	*place
	places []*place
	packs  packer
	// blobDir is for histories whose blobs are files.
	blobDir string
	counts  map[string]int
}

// A place is a database of a worker's.
type place struct {
	release zodbtest.Version
	target  target.Target
	dsn     string       // without the pool
	pool    *pgtest.Pool // of relpack's sessions
	site    *pgx.Conn    // a client of the site, and who types in psql
	other   *pgx.Conn    // another client, with a transaction that stays open
	fresh   []string     // relpack's tables, and what is in them in the beginning
	vacuum  string       // of all that is deleted from then
	played  int          // histories
	seen    *int64       // the newest transaction that the other client sees, if one is open
}

// replaced is what functions have otherwise here: each text is followed by what comes in
// its place. The clock by which events are dated, and how much is done at a time, come
// from a table.
var replaced = map[string][]string{
	"capture_events": {"clock_timestamp()", "(SELECT moment FROM public.model)"},
	"capture_list":   {"clock_timestamp()", "(SELECT moment FROM public.model)"},
	"apply":          {"noticed_tid, relpack.time_to_tid(clock_timestamp())", "noticed_tid, relpack.time_to_tid((SELECT moment FROM public.model))"},
	"reach_step":     {"clock_timestamp()", "(SELECT moment FROM public.model)"},
	"sweep":          {"v_limit integer := batch;", "v_limit integer := least(batch, (SELECT most FROM public.model));"},
	"trim_find": {"PERFORM relpack.lock_storage(history => true);\n", `PERFORM relpack.lock_storage(history => true);
		batch := least(batch, (SELECT most FROM public.model));
		rows_read := least(rows_read, 2 + (SELECT most FROM public.model));
`},
}

// text is a function as workers have it, with more parts replaced.
func text(name string, parts ...string) (string, error) {
	return zodbtest.Mutated(name, append(slices.Clone(replaced[name]), parts...)...)
}

func newWorker(t testing.TB, packs func(*worker) packer) *worker {
	t.Helper()
	w := &worker{counts: map[string]int{}, blobDir: t.TempDir()}
	for _, release := range []zodbtest.Version{zodbtest.V42, zodbtest.V21} {
		w.places = append(w.places, newPlace(t, release))
	}
	w.settle(zodbtest.V42)
	w.packs = packs(w)
	return w
}

// settle has what comes be played with this release.
func (w *worker) settle(release zodbtest.Version) {
	for _, place := range w.places {
		if place.release == release {
			w.place = place
		}
	}
}

// everywhere executes a statement for both releases.
func (w *worker) everywhere(t testing.TB, statement string) {
	t.Helper()
	for _, place := range w.places {
		if _, err := place.site.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

func newPlace(t testing.TB, release zodbtest.Version) *place {
	t.Helper()
	db := pgtest.NewDatabase(t)
	pool := db.Pool(t)
	w := &place{
		release: release, dsn: db.DSN, pool: pool, site: db.Connect(t), other: db.Connect(t),
		target: target.Target{Name: "history", DSN: pool.DSN, CommitLockTimeout: 5 * time.Second, BatchTimeout: target.DefaultBatchTimeout},
	}
	if release != zodbtest.V42 {
		if err := w.remake(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	statements := []string{
		"CREATE TABLE public.model AS SELECT clock_timestamp() AS moment, 1000 AS most",
		"ALTER DATABASE " + db.Name + " SET synchronous_commit = off", "ALTER DATABASE " + db.Name + " SET jit = off",
		// What a pack has locked the site would wait for, and the pack for it.
		"SET lock_timeout = '100ms'",
	}
	for name := range replaced {
		function, err := text(name)
		if err != nil {
			t.Fatal(err)
		}
		statements = append(statements, function)
	}
	for _, statement := range statements {
		if _, err := w.site.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.remember(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// remake has the tables be those of its release.
func (w *place) remake(ctx context.Context) error {
	_, err := w.site.Exec(ctx, "SET client_min_messages = warning; DROP SCHEMA relpack CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public")
	if err == nil {
		err = zodbtest.CreateHistory(ctx, w.site, w.release)
	}
	if err == nil {
		err = zodbtest.Install(ctx, w.site)
	}
	return err
}

// remember notes what relpack's tables hold when it is installed.
func (w *place) remember(ctx context.Context) error {
	type table struct{ Name, Columns string }
	rows, err := w.site.Query(ctx, `
		SELECT quote_ident(relname), string_agg(quote_ident(attname), ', ')
		FROM pg_class
		JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
		WHERE relnamespace = 'relpack'::regnamespace AND relkind = 'r' AND relname <> 'goose_db_version'
		GROUP BY relname`)
	if err != nil {
		return err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[table])
	if err != nil {
		return err
	}
	w.fresh = []string{"SELECT pg_advisory_xact_lock(-2)", "SET session_replication_role = replica",
		"DELETE FROM public.blob_chunk", "DELETE FROM public.current_object", "DELETE FROM public.object_state", "DELETE FROM public.transaction"}
	if _, err := w.site.Exec(ctx, "CREATE SCHEMA fresh"); err != nil {
		return err
	}
	w.vacuum = "VACUUM public.blob_chunk, public.current_object, public.object_state, public.transaction"
	var fill []string
	for _, table := range tables {
		w.fresh = append(w.fresh, "DELETE FROM relpack."+table.Name)
		w.vacuum += ", relpack." + table.Name
		var some bool
		if err := w.site.QueryRow(ctx, fmt.Sprintf("SELECT EXISTS (SELECT FROM relpack.%s)", table.Name)).Scan(&some); err != nil {
			return err
		}
		if !some {
			continue
		}
		if _, err := w.site.Exec(ctx, fmt.Sprintf("CREATE TABLE fresh.%s AS SELECT %s FROM relpack.%[1]s", table.Name, table.Columns)); err != nil {
			return err
		}
		fill = append(fill, fmt.Sprintf("INSERT INTO relpack.%s (%s) OVERRIDING SYSTEM VALUE SELECT * FROM fresh.%[1]s", table.Name, table.Columns))
	}
	w.fresh = append(append(w.fresh, fill...), "SET session_replication_role = origin")
	return nil
}

// reset begins a history: nothing is stored, and relpack knows of nothing. To truncate
// the tables would take longer, and have all be planned anew.
func (w *place) reset(ctx context.Context) error {
	if w.played++; w.played%10 == 0 {
		if _, err := w.site.Exec(ctx, w.vacuum); err != nil {
			return err
		}
	}
	w.target.BlobDir, w.seen = "", nil
	w.pool.Fresh(false)
	for _, conn := range []*pgx.Conn{w.other, w.site} {
		if _, err := conn.Exec(ctx, "ROLLBACK; SELECT pg_advisory_unlock_all()"); err != nil {
			return err
		}
	}
	_, err := w.site.Exec(ctx, "SET lock_timeout = 0; "+strings.Join(w.fresh, "; ")+
		"; INSERT INTO transaction (tid, username, description) VALUES (0, '', ''); UPDATE public.model SET moment = '2001-01-01'; SET lock_timeout = '100ms'")
	return err
}
