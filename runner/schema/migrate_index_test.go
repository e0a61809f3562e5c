package schema_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/schema"
	"relpack/runner/target"
)

// newGallery has so many unreachable blobs in the database, and no relpack.
func newGallery(t *testing.T, blobs int) (target.Target, *pgx.Conn) {
	t.Helper()
	target, conn := packtest.NewBareStorage(t)
	tid := packtest.CommitAt(t, conn, time.Hour, packtest.Links{0: {1}, 1: nil})
	packtest.Run(t, conn, `INSERT INTO object_state SELECT zoid, $1, length($2::bytea), $2 FROM generate_series(1001, 1000 + $3::int) AS zoid`,
		tid-1, zodbtest.Record(zodbtest.Blob), blobs)
	packtest.Run(t, conn, "INSERT INTO blob_chunk SELECT zoid, 0, tid, lo_from_bytea(0, 'x') FROM object_state WHERE zoid > 1000")
	packtest.Run(t, conn, "ANALYZE blob_chunk")
	return target, conn
}

// expectIndexes looks at those that begin with the key of one that relpack creates, but
// for the primary key.
func expectIndexes(t *testing.T, conn *pgx.Conn, table, key, want string) {
	t.Helper()
	if got := packtest.Get[string](t, conn, `
		SELECT coalesce(string_agg(indexrelid::regclass::text || CASE WHEN indisvalid THEN '' ELSE ' (invalid)' END, ', '), '')
		FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
		WHERE indrelid = to_regclass($1) AND attname = $2 AND NOT indisprimary`, table, key); got != want {
		t.Errorf("indexes on %s (%s): %q, want %q", table, key, got, want)
	}
}

func expectIndex(t *testing.T, conn *pgx.Conn, want string) {
	t.Helper()
	expectIndexes(t, conn, "blob_chunk", "chunk", want)
}

func expectUnmarked(t *testing.T, conn *pgx.Conn, want string) {
	t.Helper()
	expectIndexes(t, conn, "transaction", "tid", want)
}

func TestMigrateUpIndexesChunksWhereBlobsAreInTheDatabase(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		blobs  int
		target func(*target.Target)
		before string // SQL
		want   string
	}{
		"chunks":                {blobs: 1, want: schema.BlobIndex.Name},
		"none":                  {},
		"none yet, by the file": {target: func(target *target.Target) { target.BlobsInDatabase = true }, want: schema.BlobIndex.Name},
		"not wanted":            {blobs: 1, target: func(target *target.Target) { target.NoBlobIndex = true }},
		"somebody else's":       {blobs: 1, before: "CREATE INDEX of_a_dba ON blob_chunk USING hash (chunk)", want: "of_a_dba"},
		"of no use": {blobs: 1, before: "CREATE INDEX partly ON blob_chunk (chunk) WHERE zoid > 5",
			want: "partly, " + schema.BlobIndex.Name},
		"a leftover": {blobs: 1, want: schema.BlobIndex.Name, before: `CREATE INDEX relpack_blob_chunk_chunk ON blob_chunk (chunk);
			UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'relpack_blob_chunk_chunk'::regclass`},
		"no such table": {before: "DROP TABLE blob_chunk; CREATE VIEW blob_chunk AS SELECT 1 AS chunk"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := newGallery(t, c.blobs)
			if c.target != nil {
				c.target(&target)
			}
			packtest.Run(t, conn, "SELECT 1;"+c.before)
			for range 2 {
				packtest.MigrateUp(t, target)
				expectIndex(t, conn, c.want)
			}
			down(t, target)
			expectIndex(t, conn, strings.TrimSuffix(strings.TrimSuffix(c.want, schema.BlobIndex.Name), ", "))
		})
	}
}

func TestTheIndexOnChunksWaitsForATransactionNoLongerThanForALock(t *testing.T) {
	t.Parallel()
	target, conn := newGallery(t, 1)
	target.CommitLockTimeout = time.Second
	reader := packtest.Session(t, target)
	packtest.Run(t, reader, "BEGIN")
	packtest.Run(t, reader, "UPDATE blob_chunk SET chunk_num = chunk_num")
	err := schema.Up(t.Context(), target, migrations.Files, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitFailure, "blob_chunk (chunk)", "a transaction was open")
	packtest.Run(t, reader, "COMMIT")
	packtest.MigrateUp(t, target)
	expectIndex(t, conn, schema.BlobIndex.Name)
}

func TestAMissingIndexOnChunksIsNamedBeforeADeletion(t *testing.T) {
	t.Parallel()
	target, conn := newGallery(t, 2000)
	target.NoBlobIndex = true
	packtest.MigrateUp(t, target)
	named := func(text string) bool { return strings.Contains(text, schema.BlobIndex.Create) }
	if text := packtest.Status(t, target); !named(text) {
		t.Errorf("status:\n%s", text)
	}
	o := packtest.Everything
	o.DryRun = true
	if report := packtest.Pack(t, target, o); !named(fmt.Sprint(report.Notes())) {
		t.Errorf("notes %q", report.Notes())
	}
	packtest.Run(t, conn, schema.BlobIndex.Create)
	if text := packtest.Status(t, target); named(text) {
		t.Errorf("status:\n%s", text)
	}
	if report := packtest.Pack(t, target, packtest.Everything); named(fmt.Sprint(report.Notes())) {
		t.Errorf("notes %q", report.Notes())
	}
	packtest.ExpectStored(t, conn, 0, 1)
}

// newLedger is a history-preserving storage that relpack has never seen, with so many
// transactions, the first of which are marked as packed.
func newLedger(t *testing.T, version zodbtest.Version, transactions, marked int) (target.Target, *pgx.Conn) {
	t.Helper()
	target, conn := packtest.NewEmptyDatabase(t)
	if err := zodbtest.CreateHistory(t.Context(), conn, version); err != nil {
		t.Fatal(err)
	}
	packtest.Run(t, conn, "INSERT INTO transaction (tid, packed, username, description) SELECT n, n <= $1, 'somebody', '/site/a/path' FROM generate_series(1, $2::bigint) AS n",
		marked, transactions)
	h := zodbtest.History{Conn: conn, Version: version}
	for _, days := range []float64{10, 9, 2} {
		if _, err := h.Commit(t.Context(), packtest.DaysAgo(days), map[int64][]byte{0: packtest.Document()}); err != nil {
			t.Fatal(err)
		}
	}
	packtest.Run(t, conn, "ANALYZE transaction")
	return target, conn
}

func TestMigrateUpIndexesTransactionsThatAreNotMarked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		version zodbtest.Version
		before  string // SQL
		want    string
	}{
		"of 4.2": {want: schema.UnmarkedIndex.Name},
		"of 3.0": {version: zodbtest.V30, want: schema.UnmarkedIndex.Name},
		"of 2.1": {version: zodbtest.V21},
		"somebody else's": {want: "of_a_dba",
			before: "CREATE INDEX of_a_dba ON transaction (tid, is_empty) WHERE packed IS NOT TRUE"},
		"of no use": {want: "cleared, whole, " + schema.UnmarkedIndex.Name,
			before: "CREATE INDEX cleared ON transaction (tid) WHERE packed; CREATE INDEX whole ON transaction (tid, packed)"},
		"a leftover": {want: schema.UnmarkedIndex.Name,
			before: `CREATE INDEX relpack_transaction_unmarked ON transaction (tid) WHERE packed IS NOT TRUE;
				UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'relpack_transaction_unmarked'::regclass`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.version == 0 {
				c.version = zodbtest.V42
			}
			target, conn := newLedger(t, c.version, 1000, 1000)
			packtest.Run(t, conn, "SELECT 1;"+c.before)
			for range 2 {
				packtest.MigrateUp(t, target)
				expectUnmarked(t, conn, c.want)
			}
			packtest.PackWithGrace(t, target, 5)
			packtest.ExpectSound(t, target)
			down(t, target)
			expectUnmarked(t, conn, strings.TrimSuffix(strings.TrimSuffix(c.want, schema.UnmarkedIndex.Name), ", "))
		})
	}
}

// migrateUp tells what is said.
func migrateUp(t *testing.T, target target.Target) string {
	t.Helper()
	var said bytes.Buffer
	if err := schema.Up(t.Context(), target, migrations.Files, slog.New(slog.NewTextHandler(&said, nil))); err != nil {
		t.Fatal(err)
	}
	return said.String()
}

func TestMigrateUpGoesOnWithoutTheIndexOnTransactions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, after string // SQL of somebody
		says          string
		left          string
		waits         bool
	}{
		"without the right": {
			before: "ALTER TABLE transaction OWNER TO CURRENT_USER", after: "ALTER TABLE transaction OWNER TO %s",
			says: "must be owner of table transaction (SQLSTATE 42501). Let the owner of transaction run: " + schema.UnmarkedIndex.Create,
		},
		"beside somebody who reads everything": {
			before: "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM object_state", after: "COMMIT",
			says: `a transaction was open for all of 1`, waits: true,
		},
		"beside somebody who commits": {
			before: "BEGIN; UPDATE transaction SET packed = packed", after: "COMMIT",
			says: `Run \"relpack migrate up\" again when it has ended`, waits: true, left: schema.UnmarkedIndex.Name + " (invalid)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, admin := newLedger(t, zodbtest.V42, 0, 0)
			owner := packtest.NewRole(t, admin)
			packtest.Run(t, admin, strings.ReplaceAll(`GRANT CREATE ON DATABASE `+admin.Config().Database+` TO them; GRANT ALL ON SCHEMA public TO them;
				ALTER TABLE object_state OWNER TO them; ALTER TABLE current_object OWNER TO them; ALTER TABLE blob_chunk OWNER TO them;
				ALTER TABLE transaction OWNER TO them`, "them", owner))
			target.CommitLockTimeout = time.Second
			target = packtest.As(target, owner)
			packtest.Run(t, admin, c.before)
			said := migrateUp(t, target)
			packtest.ExpectWords(t, said, "level=WARN", "create relpack's index on transaction (tid)", c.says, "Without the index each pack takes longer")
			if strings.Contains(said, "creating an index on transaction (tid)") != c.waits {
				t.Error(said)
			}
			expectUnmarked(t, packtest.Session(t, target), c.left)
			packtest.Run(t, admin, strings.ReplaceAll(c.after, "%s", owner))
			if said := migrateUp(t, target); strings.Contains(said, "WARN") {
				t.Error(said)
			}
			expectUnmarked(t, admin, schema.UnmarkedIndex.Name)
		})
	}
}

func TestAnInterruptionLeavesNoIndexOnTransactions(t *testing.T) {
	t.Parallel()
	target, conn := newLedger(t, zodbtest.V42, 0, 0)
	packtest.Run(t, conn, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM object_state")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- schema.Up(ctx, target, migrations.Files, packtest.Log(t)) }()
	look := packtest.Session(t, target)
	packtest.Until(t, "the index is being created", func() bool {
		return packtest.Get[bool](t, look, "SELECT to_regclass('relpack_transaction_unmarked') IS NOT NULL")
	})
	cancel()
	packtest.ExpectError(t, <-done, fault.ExitInterrupted)
	expectUnmarked(t, look, "")
}

func TestAMissingIndexOnTransactionsIsNamed(t *testing.T) {
	t.Parallel()
	for transactions, want := range map[int]bool{1000: false, 150_000: true} {
		target, conn := newLedger(t, zodbtest.V42, transactions, transactions)
		packtest.MigrateUp(t, target)
		named := func() bool {
			return strings.Contains(packtest.Status(t, target), `each pack is slow without an index, which "relpack migrate up" creates: `+schema.UnmarkedIndex.Create)
		}
		if named() {
			t.Error("named where it is there")
		}
		packtest.Run(t, conn, "DROP INDEX "+schema.UnmarkedIndex.Name)
		if named() != want {
			t.Errorf("of %d transactions: named %t", transactions, !want)
		}
		packtest.PackWithGrace(t, target, 5)
	}
}

// The last one of runner/pack/mark.go, for a dry run.
func TestAPackLooksForTransactionsInTheIndexOnThem(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]string{
		"analyzed":       "ANALYZE transaction",
		"half of them":   "UPDATE transaction SET packed = false WHERE tid > 50000; ANALYZE transaction",
		"never analyzed": "DELETE FROM pg_statistic WHERE starelid = 'transaction'::regclass",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := newLedger(t, zodbtest.V42, 100_000, 99_990)
			packtest.Run(t, conn, "ALTER TABLE transaction SET (autovacuum_enabled = false)")
			packtest.MigrateUp(t, target)
			packtest.Run(t, conn, before)
			// Else what was read before counts for this transaction, for up to a second.
			packtest.Run(t, conn, "SELECT relpack.try_pack_lock(), pg_stat_force_next_flush()")
			for _, query := range []string{
				"SELECT relpack.trim_mark(49900, 0, 1000)",
				"SELECT relpack.trim_undoable(49900)",
				"SELECT count(*) FROM public.transaction WHERE tid > 0 AND tid <= 49900 AND packed IS NOT TRUE",
			} {
				packtest.Run(t, conn, "BEGIN")
				packtest.Run(t, conn, query)
				read := packtest.Get[int](t, conn, "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relid = 'transaction'::regclass")
				packtest.Run(t, conn, "COMMIT")
				if read > 100 {
					t.Errorf("%d transactions were read by %s", read, query)
				}
			}
		})
	}
}
