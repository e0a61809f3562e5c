package schema_test

import (
	"fmt"
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

const indexes = `SELECT coalesce(string_agg(indexrelid::regclass::text || CASE WHEN indisvalid THEN '' ELSE ' (invalid)' END, ', '), '')
	FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
	WHERE indrelid = 'blob_chunk'::regclass AND attname = 'chunk'`

func expectIndex(t *testing.T, conn *pgx.Conn, want string) {
	t.Helper()
	if got := packtest.Get[string](t, conn, indexes); got != want {
		t.Errorf("indexes on chunk: %q, want %q", got, want)
	}
}

func TestMigrateUpIndexesChunksWhereBlobsAreInTheDatabase(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		blobs  int
		target func(*target.Target)
		before string // SQL
		want   string
	}{
		"chunks":                {blobs: 1, want: schema.BlobIndex},
		"none":                  {},
		"none yet, by the file": {target: func(target *target.Target) { target.BlobsInDatabase = true }, want: schema.BlobIndex},
		"not wanted":            {blobs: 1, target: func(target *target.Target) { target.NoBlobIndex = true }},
		"somebody else's":       {blobs: 1, before: "CREATE INDEX of_a_dba ON blob_chunk USING hash (chunk)", want: "of_a_dba"},
		"of no use": {blobs: 1, before: "CREATE INDEX partly ON blob_chunk (chunk) WHERE zoid > 5",
			want: "partly, " + schema.BlobIndex},
		"a leftover": {blobs: 1, want: schema.BlobIndex, before: `CREATE INDEX relpack_blob_chunk_chunk ON blob_chunk (chunk);
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
			expectIndex(t, conn, strings.TrimSuffix(strings.TrimSuffix(c.want, schema.BlobIndex), ", "))
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
	expectIndex(t, conn, schema.BlobIndex)
}

func TestAMissingIndexOnChunksIsNamedBeforeADeletion(t *testing.T) {
	t.Parallel()
	target, conn := newGallery(t, 2000)
	target.NoBlobIndex = true
	packtest.MigrateUp(t, target)
	named := func(text string) bool { return strings.Contains(text, schema.CreateBlobIndex) }
	if text := packtest.Status(t, target); !named(text) {
		t.Errorf("status:\n%s", text)
	}
	o := packtest.Everything
	o.DryRun = true
	if report := packtest.Pack(t, target, o); !named(fmt.Sprint(report.Notes())) {
		t.Errorf("notes %q", report.Notes())
	}
	packtest.Run(t, conn, schema.CreateBlobIndex)
	if text := packtest.Status(t, target); named(text) {
		t.Errorf("status:\n%s", text)
	}
	if report := packtest.Pack(t, target, packtest.Everything); named(fmt.Sprint(report.Notes())) {
		t.Errorf("notes %q", report.Notes())
	}
	packtest.ExpectStored(t, conn, 0, 1)
}
