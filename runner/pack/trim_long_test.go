package pack_test

import (
	"testing"
	"time"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
)

// Of a batch from one object, each revision is found by itself.
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
	const many = 30_000
	packtest.Run(t, h.Conn, "INSERT INTO transaction (tid, username, description) SELECT $1 + n, '', '' FROM generate_series(1, $2::bigint) AS n", first, many)
	packtest.Run(t, h.Conn, `INSERT INTO object_state (zoid, tid, prev_tid, md5, state_size, state)
		SELECT 1, $1 + n, $1 + n - 1, md5($3::bytea), length($3::bytea), $3 FROM generate_series(1, $2::bigint) AS n`, first, many, page())
	packtest.Run(t, h.Conn, "UPDATE current_object SET tid = $1 WHERE zoid = 1", first+many)
	packtest.Run(t, h.Conn, "VACUUM ANALYZE object_state, current_object, transaction")
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
