package pack_test

import (
	"testing"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/verify"
)

// A catalog that is built again, or an import, writes many objects in one transaction. The
// planner, which knows of many small ones, would look each up by the index on tid, and read
// all of them for each.
func TestObjectsOfALargeTransactionAreLookedUpEachByItself(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	const objects, large = 4000, 1500
	var refs []int64
	for zoid := int64(1); zoid <= objects; zoid++ {
		refs = append(refs, zoid)
	}
	first := store(t, h, daysAgo(30), map[int64][]byte{0: page(refs...)})
	packtest.Run(t, h.Conn, "INSERT INTO transaction (tid, username, description) SELECT $1 + n, '', '' FROM generate_series(1, $2::bigint) AS n", first, objects)
	packtest.Run(t, h.Conn, `INSERT INTO object_state (zoid, tid, prev_tid, md5, state_size, state)
		SELECT n, $1 + n, 0, md5($3::bytea), length($3::bytea), $3 FROM generate_series(1, $2::bigint) AS n`, first, objects, page())
	packtest.Run(t, h.Conn, "INSERT INTO current_object (zoid, tid) SELECT zoid, tid FROM object_state WHERE zoid > 0")
	packtest.Run(t, h.Conn, "VACUUM ANALYZE object_state, current_object, transaction")
	dryRun(t, file, 5)
	at := daysAgo(10)
	packtest.Run(t, h.Conn, "INSERT INTO transaction (tid, username, description) VALUES ($1, '', '')", at)
	packtest.Run(t, h.Conn, `INSERT INTO object_state (zoid, tid, prev_tid, md5, state_size, state)
		SELECT zoid, $1, tid, md5, state_size, state FROM object_state WHERE zoid BETWEEN 1 AND $2`, at, large)
	packtest.Run(t, h.Conn, "UPDATE current_object SET tid = $1 WHERE zoid BETWEEN 1 AND $2", at, large)
	const read = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relid IN ('object_state'::regclass, 'current_object'::regclass)"
	for _, run := range []struct {
		name string
		do   func()
	}{
		{"a dry run", func() { dryRun(t, file, 5) }},
		{"a pack", func() {
			if n := packtest.Pack(t, file, trimDays(5)).Trimmed.Revisions; n != large {
				t.Errorf("%d revisions went", n)
			}
		}},
		{"verify", func() {
			if _, err := verify.Run(t.Context(), file, packtest.VerifyOptions(false), packtest.Log(t)); err != nil {
				t.Error(err)
			}
		}},
	} {
		rows := packtest.RowsRead(t, file, read, run.do)
		t.Logf("%s read %d rows of indexes", run.name, rows)
		if rows > 10*objects {
			t.Errorf("%s read %d rows of indexes", run.name, rows)
		}
	}
}
