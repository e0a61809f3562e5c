package schema

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
)

// An Index is one on a table of RelStorage's that relpack creates where it is of use
// and nobody else has made one. Goose is not told of it: it is created beside the
// site, which no transaction can do. relpack.missing_index tells where it is missing.
type Index struct {
	Name   string // in the schema public, as the table
	Create string // the statement

	table   string
	on      string // table and key
	comment string
	without string // how to do without; "": migrate up does, and warns
}

// BlobIndex is looked at by RelStorage's trigger for the large object of each row that
// is deleted. UnmarkedIndex tells a pack of a history which transactions it has to mark.
var (
	BlobIndex = Index{
		Name:   "relpack_blob_chunk_chunk",
		Create: "CREATE INDEX CONCURRENTLY relpack_blob_chunk_chunk ON public.blob_chunk (chunk)",
		table:  "blob_chunk", on: "blob_chunk (chunk)",
		comment: "RelStorage''s trigger looks here for each blob that is deleted or overwritten.",
		without: "use --no-blob-index",
	}
	UnmarkedIndex = Index{
		Name:   "relpack_transaction_unmarked",
		Create: "CREATE INDEX CONCURRENTLY relpack_transaction_unmarked ON public.transaction (tid) WHERE packed IS NOT TRUE",
		table:  "transaction", on: "transaction (tid)",
		comment: "a pack looks here for the transactions that it has to mark as packed.",
	}
)

var indexes = []Index{BlobIndex, UnmarkedIndex}

func (i Index) drop() string { return "DROP INDEX CONCURRENTLY IF EXISTS public." + i.Name }

func (i Index) describe() string {
	return fmt.Sprintf(`COMMENT ON INDEX public.%s IS 'relpack: %s Dropped by "relpack migrate down".'`, i.Name, i.comment)
}

// ensureIndexes creates what is of use and missing.
func (m *migrator) ensureIndexes(ctx context.Context) error {
	for _, index := range indexes {
		if err := m.ensureIndex(ctx, index); err != nil {
			return err
		}
	}
	return nil
}

// holdsBlobs tells whether blobs are, or will be, in the database.
func (m *migrator) holdsBlobs(ctx context.Context) (holds bool, err error) {
	if m.target.BlobsInDatabase {
		return true, nil
	}
	err = m.conn.QueryRow(ctx, "SELECT has_table_privilege('public.blob_chunk', 'SELECT')").Scan(&holds)
	if err == nil && holds {
		err = m.conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM public.blob_chunk)").Scan(&holds)
	}
	if err != nil {
		return false, fmt.Errorf("look at blob_chunk: %w", err)
	}
	return holds, nil
}

// unmentioned is how long an index may take before anything is said of it.
const unmentioned = time.Second / 2

func (m *migrator) ensureIndex(ctx context.Context, index Index) error {
	if index == BlobIndex && m.target.NoBlobIndex {
		return nil
	}
	var slow string
	err := m.conn.QueryRow(ctx, "SELECT slow FROM relpack.missing_index WHERE table_name = $1", index.table).Scan(&slow)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for an index on %s: %w", index.on, err)
	}
	if index == BlobIndex {
		if wanted, err := m.holdsBlobs(ctx); err != nil || !wanted {
			return err
		}
	}
	done := make(chan error, 1)
	// One that is invalid is what an interruption has left.
	go func() { done <- m.beside(ctx, index, "up", index.drop(), index.Create, index.describe()) }()
	select {
	case err = <-done:
	case <-time.After(unmentioned):
		m.log.Info(fmt.Sprintf("creating an index on %s, without which %s is slow; the site goes on", index.on, slow))
		err = <-done
	}
	if err == nil {
		return nil
	}
	m.dropInvalid(ctx, index)
	if index.without != "" || ctx.Err() != nil {
		return err
	}
	m.log.Warn(fmt.Sprintf("%s. Without the index %s takes longer", fault.OneLine(err.Error()), slow))
	return nil
}

// dropInvalid takes back what was begun, unless somebody has the table for longer than
// anybody likes to wait: the next migrate up does then.
func (m *migrator) dropInvalid(ctx context.Context, index Index) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	var invalid bool
	err := m.conn.QueryRow(ctx, "SELECT NOT indisvalid FROM pg_catalog.pg_index WHERE indexrelid = to_regclass($1)", "public."+index.Name).Scan(&invalid)
	if err != nil || !invalid {
		return
	}
	if _, err := m.db.ExecContext(ctx, "SET lock_timeout = '2s'"); err == nil {
		_, _ = m.db.ExecContext(ctx, index.drop()) // nobody uses it
	}
}

// dropIndexes removes them, valid or not.
func (m *migrator) dropIndexes(ctx context.Context) error {
	for _, index := range indexes {
		var exists bool
		if err := m.conn.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", "public."+index.Name).Scan(&exists); err != nil {
			return err
		}
		if !exists {
			continue
		}
		if err := m.beside(ctx, index, "down", index.drop()); err != nil {
			return err
		}
	}
	return nil
}

// beside executes statements of a migration up or down that wait for open transactions
// and keep nobody waiting in the meantime.
func (m *migrator) beside(ctx context.Context, index Index, way string, statements ...string) error {
	what := map[string]string{"up": "create", "down": "drop"}[way] + " relpack's index on " + index.on
	if _, err := m.db.ExecContext(ctx, fmt.Sprintf("SET lock_timeout = %d", m.target.CommitLockTimeout.Milliseconds())); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	start := time.Now()
	for _, statement := range statements {
		_, err := m.db.ExecContext(ctx, statement)
		switch {
		case err == nil:
		case fault.IsState(err, "55P03"): // lock_not_available
			return &fault.Error{Code: fault.ExitFailure,
				Err:  fmt.Errorf("%s: a transaction was open for all of %s", what, time.Since(start).Round(time.Second/10)),
				Hint: fmt.Sprintf(`Run "relpack migrate %s" again when it has ended`, way)}
		case fault.IsState(err, "42501"): // insufficient_privilege
			hint := fmt.Sprintf("Let the owner of %s run: %s", index.table, statement)
			if statement == index.Create && index.without != "" {
				hint += "; or " + index.without
			}
			return &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("%s: %w", what, err), Hint: hint}
		default:
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	_, err := m.db.ExecContext(ctx, "SET lock_timeout = "+migrationPatience)
	return err
}
