package pack_test

import (
	"log/slog"
	"strings"
	"testing"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
)

func TestAFirstBuildKnowsARootOfSeveralRevisions(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(20), map[int64][]byte{0: page(1, 2), 1: page(), 2: page(), 3: page()})
	store(t, h, daysAgo(2), map[int64][]byte{0: page(1)})
	store(t, h, daysAgo(1), map[int64][]byte{0: page(1), 1: page()})
	report := packtest.Pack(t, file, trimDays(5))
	if report.Doubt != "" || report.Compared {
		t.Errorf("a graph that was just built was compared: %s", report.Doubt)
	}
	expectObjects(t, h, "packed", 0, 1, 2)
	packtest.Pack(t, file, packtest.Everything)
	expectObjects(t, h, "later", 0, 1)
}

// Statistics say of a history of few objects that each lookup finds most of it.
func TestAFirstBuildOfALongHistoryOfFewObjectsReadsItOnce(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page(), 2: page()})
	packtest.Run(t, h.Conn, `INSERT INTO transaction (tid, packed, username, description)
		SELECT $1::bigint + n * 1000000, false, '', '' FROM generate_series(1::bigint, 20000) AS n`, daysAgo(2))
	packtest.Run(t, h.Conn, `INSERT INTO object_state (zoid, tid, prev_tid, md5, state_size, state)
		SELECT 1, transaction.tid, 0, one.md5, one.state_size, one.state
		FROM transaction, object_state AS one WHERE one.zoid = 1 AND transaction.tid > $1::bigint`, daysAgo(3))
	packtest.Run(t, h.Conn, "UPDATE current_object SET tid = (SELECT max(tid) FROM object_state WHERE zoid = 1) WHERE zoid = 1")
	packtest.Run(t, h.Conn, "ANALYZE object_state")
	o := trimDays(7)
	o.DryRun = true
	report := packtest.Pack(t, file, o)
	if read := packtest.Get[int64](t, h.Conn, "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'object_state'"); read > 2_000_000 {
		t.Errorf("%d rows were read of 20,000: %v", read, report.Phases)
	}
}

// Of the many revisions of an object a build stages one.
func TestTheFirstBuildOfAHistorySaysHowManyObjectsThereAre(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	for day := range 30 {
		store(t, h, daysAgo(float64(40-day)), map[int64][]byte{0: page(1), 1: page()})
	}
	var said strings.Builder
	o := trimDays(20)
	o.DryRun = true
	if _, err := pack.Run(t.Context(), file, o, slog.New(slog.NewTextHandler(&said, nil))); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "building the graph: about 2 objects;") {
		t.Error(said.String())
	}
}
