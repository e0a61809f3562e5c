package pack_test

import (
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/inventory"
	"relpack/runner/pack"
)

// Of a batch from one object, each revision is found by itself; where there is a graph, as
// after a dry run, what a deletion reports is found once for the object.
func TestALongHistoryOfOneObjectIsTrimmedInProportionToIt(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	// The planner expects few revisions of an object.
	objects := map[int64][]byte{}
	for zoid := range int64(20_000) {
		objects[zoid] = page()
	}
	store(t, h, daysAgo(30), objects)
	first := packtest.Get[int64](t, h.Conn, "SELECT max(tid) FROM transaction")
	const many = 60_000
	packtest.Run(t, h.Conn, "INSERT INTO transaction (tid, username, description) SELECT $1 + n, '', '' FROM generate_series(1, $2::bigint) AS n", first, many)
	packtest.Run(t, h.Conn, `INSERT INTO object_state (zoid, tid, prev_tid, md5, state_size, state)
		SELECT 1, $1 + n, $1 + n - 1, md5($3::bytea), length($3::bytea), $3 FROM generate_series(1, $2::bigint) AS n`, first, many, page())
	packtest.Run(t, h.Conn, "UPDATE current_object SET tid = $1 WHERE zoid = 1", first+many)
	packtest.Run(t, h.Conn, "VACUUM ANALYZE object_state, current_object, transaction")
	expectNamed(t, h.Conn, first)
	dry := trimDays(1)
	dry.DryRun = true
	r := packtest.Pack(t, file, dry)
	all := inventory.ClassHistory{Class: "zmodels.Document", Revisions: many, Bytes: r.Trimmed.Bytes}
	if r.Trimmed.Revisions != many || !slices.Equal(r.Trimmed.ByClass, []inventory.ClassHistory{all}) {
		t.Fatalf("%+v", r.Trimmed)
	}
	conn := packtest.Session(t, file)
	packtest.Run(t, conn, "SELECT relpack.try_pack_lock()")
	packtest.Get[bool](t, conn, "SELECT relpack.trim_settle()")
	packtest.Run(t, conn, "SELECT relpack.trim_mark($1, 0, 100000)", first+many)
	start := time.Now()
	removed := packtest.Get[int64](t, conn, `SELECT batch.revisions FROM relpack.trim_find($1, -1, 0, 100000, 100000) AS found
		CROSS JOIN LATERAL relpack.trim_batch($1, found.zoids, found.tids) AS batch`, first+many)
	if took := time.Since(start); removed != many || took > 15*time.Second {
		t.Errorf("%d revisions were removed in %v", removed, took)
	} else {
		t.Logf("%d revisions were removed in %v", removed, took)
	}
}

// expectNamed asks about some of the revisions of a long history, of which far more are
// stored, and of a short one: some are named by an older revision than the next one.
func expectNamed(t *testing.T, conn *pgx.Conn, first int64) {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	packtest.Run(t, tx.Conn(), "UPDATE object_state SET prev_tid = $1::bigint + 2 * (tid - $1::bigint) / 3 WHERE zoid = 1 AND tid % 7 = 0", first)
	packtest.Run(t, tx.Conn(), `CREATE TEMPORARY TABLE asked ON COMMIT DROP AS
		SELECT zoid, tid FROM object_state WHERE zoid = 2 OR (zoid = 1 AND tid % 2 = 0 AND tid BETWEEN $1::bigint + 3000 AND $1::bigint + 5150)`, first)
	if asked := packtest.Get[int](t, tx.Conn(), "SELECT count(*) FROM asked"); asked < 1001 {
		t.Fatalf("%d revisions were asked about", asked)
	}
	const named = `
		WITH named AS (
			SELECT named.* FROM (SELECT array_agg(zoid) AS zoids, array_agg(tid) AS tids FROM asked) AS all_of_them
			CROSS JOIN LATERAL relpack.trim_named(zoids, tids, $1::bigint) AS named
		), wanted AS (
			SELECT asked.zoid, asked.tid, later.tid AS named_by
			FROM asked
			JOIN object_state AS later ON later.zoid = asked.zoid AND later.prev_tid = asked.tid AND later.tid > $1::bigint
		)
		SELECT count(*), count(*) FILTER (WHERE named_by - tid > 1), (SELECT count(*) FROM (TABLE named EXCEPT ALL TABLE wanted) AS more),
		       (SELECT count(*) FROM (TABLE wanted EXCEPT ALL TABLE named) AS less) FROM named`
	for _, after := range []int64{0, first + 4000} {
		var all, far, more, less int
		if err := tx.QueryRow(t.Context(), named, after).Scan(&all, &far, &more, &less); err != nil {
			t.Fatal(err)
		}
		if all < 500 || far < 100 || more+less > 0 {
			t.Errorf("after %d: %d named, %d from afar, %d more and %d less than a join says", after, all, far, more, less)
		}
	}
}

// The index on prev_tid has the revisions of all objects between two transactions: who
// asks it for one object reads those of the others as well. The planner would take it
// where a storage is small.
func TestATrimOfManyObjectsReadsEachRevisionAFewTimes(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	const objects, revisions = 400, 10
	var refs []int64
	for zoid := int64(1); zoid < objects; zoid++ {
		refs = append(refs, zoid)
	}
	for n := range revisions {
		written := map[int64][]byte{0: page(refs...)}
		for _, zoid := range refs {
			written[zoid] = page()
		}
		store(t, h, daysAgo(float64(30-n)), written)
	}
	packtest.Run(t, h.Conn, "VACUUM ANALYZE")
	const read = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE schemaname = 'public'"
	var trimmed int64
	rows := packtest.RowsRead(t, file, read, func() { trimmed = packtest.Pack(t, file, trimDays(5)).Trimmed.Revisions })
	if trimmed != objects*(revisions-1) || rows > 40*objects*revisions {
		t.Errorf("%d rows of indexes were read to delete %d revisions", rows, trimmed)
	} else {
		t.Logf("%d rows of indexes were read to delete %d revisions", rows, trimmed)
	}
}

// Each large object that goes takes a lock, so that few revisions go at a time. The
// rest is not read again for each of these.
func TestATrimOfWhichFewLargeObjectsFitTheLockTableReadsEachRevisionAFewTimes(t *testing.T) {
	t.Parallel()
	file, h := newStored(t, zodbtest.V42, "pack-gc false")
	const objects, revisions = 1200, 8
	written := map[int64][]byte{}
	for zoid := range int64(objects) {
		written[zoid] = page()
	}
	for n := range revisions {
		tid := store(t, h, daysAgo(float64(30-n)), written)
		packtest.Run(t, h.Conn, "INSERT INTO blob_chunk SELECT zoid, tid, 0, lo_create(0) FROM object_state WHERE tid = $1 AND zoid < $2", tid, objects/2)
	}
	const ofServer = "current_setting('max_locks_per_transaction')::bigint"
	body := packtest.Get[string](t, h.Conn, "SELECT replace(pg_get_functiondef('relpack.trim_find'::regproc), $1, '4 * 64 / current_setting(''max_connections'')::numeric')", ofServer)
	packtest.Run(t, h.Conn, body)
	packtest.Run(t, h.Conn, "VACUUM ANALYZE")
	const read = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE indexrelid IN ('object_state_pk'::regclass, 'blob_chunk_lookup'::regclass)"
	job := trimDays(5)
	for _, dry := range []bool{true, false} {
		job.DryRun = dry
		var report *pack.Report
		rows := packtest.RowsRead(t, file, read, func() { report = packtest.Pack(t, file, job) })
		if report.Trimmed.Revisions != objects*(revisions-1) || rows > 20*objects*revisions {
			t.Errorf("dry run %t: %d rows of indexes were read for %d revisions", dry, rows, report.Trimmed.Revisions)
		} else {
			t.Logf("dry run %t: %d rows of indexes were read for %d revisions", dry, rows, report.Trimmed.Revisions)
		}
	}
	if n := packtest.Get[int](t, h.Conn, "SELECT count(*) FROM pg_largeobject_metadata"); n != objects/2 {
		t.Errorf("%d large objects are left", n)
	}
}
