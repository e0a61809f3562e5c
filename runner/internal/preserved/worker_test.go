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

// A worker has a database in which it plays one history after the other.
type worker struct {
	target target.Target
	site   *pgx.Conn // a client of the site, and who types in psql
	other  *pgx.Conn // another client, with a transaction that stays open
	packs  packer
	// blobDir is for histories whose blobs are files.
	blobDir string
	counts  map[string]int
	fresh   []string // relpack's tables, and what is in them in the beginning
}

// replaced is what functions have otherwise here: each text is followed by what comes in
// its place. The clock by which events are dated, and how much is done at a time, come
// from a table.
var replaced = map[string][]string{
	"capture_events": {"clock_timestamp()", "(SELECT moment FROM public.model)"},
	"capture_list":   {"clock_timestamp()", "(SELECT moment FROM public.model)"},
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
	db := pgtest.NewDatabase(t)
	w := &worker{
		target: target.Target{Name: "history", DSN: db.DSN, CommitLockTimeout: 5 * time.Second, BatchTimeout: target.DefaultBatchTimeout},
		counts: map[string]int{}, site: db.Connect(t), other: db.Connect(t), blobDir: t.TempDir(),
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
	w.packs = packs(w)
	return w
}

// remember notes what relpack's tables hold when it is installed.
func (w *worker) remember(ctx context.Context) error {
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
	truncated := "TRUNCATE public.object_state, public.current_object, public.transaction, public.blob_chunk"
	if _, err := w.site.Exec(ctx, "CREATE SCHEMA fresh"); err != nil {
		return err
	}
	var fill []string
	for _, table := range tables {
		truncated += ", relpack." + table.Name
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
	w.fresh = append([]string{"SELECT pg_advisory_xact_lock(-2)", truncated}, fill...)
	return nil
}

// reset begins a history: nothing is stored, and relpack knows of nothing.
func (w *worker) reset(ctx context.Context) error {
	w.target.BlobDir = ""
	for _, conn := range []*pgx.Conn{w.other, w.site} {
		if _, err := conn.Exec(ctx, "ROLLBACK; SELECT pg_advisory_unlock_all()"); err != nil {
			return err
		}
	}
	_, err := w.site.Exec(ctx, "SET lock_timeout = 0; "+strings.Join(w.fresh, "; ")+
		"; INSERT INTO transaction (tid, username, description) VALUES (0, '', ''); UPDATE public.model SET moment = '2001-01-01'; SET lock_timeout = '100ms'")
	return err
}
