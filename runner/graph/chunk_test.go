package graph_test

import (
	"fmt"
	"regexp"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/graph"
	"relpack/runner/internal/packtest"
	"relpack/runner/progress"
	"relpack/runner/session"
	"relpack/runner/verify"
)

// A watch looks, whenever a chunk is done, at the transactions that relpack has
// open: they hold back VACUUM.
type watch struct {
	t       *testing.T
	conn    *pgx.Conn
	allowed int // transactions of other workers
	mu      sync.Mutex
	looks   int
	ranges  map[string]map[string]bool // by transaction, the chunks it was seen to read
}

var readsRange = regexp.MustCompile(`ctid >= '\((\d+),0\)'`)

func newWatch(t *testing.T, conn *pgx.Conn, allowed int) *watch {
	return &watch{t: t, conn: conn, allowed: allowed, ranges: map[string]map[string]bool{}}
}

func (w *watch) progress(phase string) progress.Meter {
	return &packtest.Hooks{OnAdd: func(name string, _ int64) {
		if name == phase {
			w.look()
		}
	}}
}

func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks++
	type open struct{ Application, Transaction, Query string }
	found, err := session.Rows(w.t.Context(), w.conn, pgx.RowToStructByPos[open], `
		SELECT application_name, concat_ws(' ', pid, xact_start), query
		FROM pg_stat_activity
		WHERE datname = current_database()
		  AND application_name LIKE 'relpack %'
		  AND (xact_start IS NOT NULL OR backend_xmin IS NOT NULL)`)
	if err != nil {
		w.t.Error(err)
	}
	if len(found) > w.allowed {
		w.t.Errorf("%d transactions are open between two chunks: %+v", len(found), found)
	}
	for _, o := range found {
		if o.Application == "relpack pack" || o.Application == "relpack verify" {
			w.t.Errorf("the session that holds the pack lock has a transaction open: %s", o.Query)
		}
		if m := readsRange.FindStringSubmatch(o.Query); m != nil {
			if w.ranges[o.Transaction] == nil {
				w.ranges[o.Transaction] = map[string]bool{}
			}
			w.ranges[o.Transaction][m[1]] = true
		}
	}
}

// expect wants so many looks, and no transaction that read two chunks.
func (w *watch) expect(looks int) {
	w.t.Helper()
	w.t.Logf("%d looks, %d transactions seen", w.looks, len(w.ranges))
	if w.looks < looks {
		w.t.Errorf("%d chunks, want %d", w.looks, looks)
	}
	for transaction, ranges := range w.ranges {
		if len(ranges) > 1 {
			w.t.Errorf("transaction %s read the chunks %v", transaction, ranges)
		}
	}
}

// While one worker is between two chunks, the other may be in one: with a
// transaction that reads and one that stages.
const otherWorkers = 2 * (graph.Readers - 1)

func TestNoTransactionOfAFirstBuildOutlastsItsChunk(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewOrchard(t)
	w := newWatch(t, conn, otherWorkers)
	o := packtest.Everything
	o.RangeBlocks, o.DryRun, o.Progress = 1, true, w.progress("scan")
	packtest.Pack(t, target, o)
	w.expect(40)
}

func TestNoTransactionOfAVerificationOutlastsItsChunk(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewOrchard(t)
	packtest.DryRun(t, target)
	w := newWatch(t, conn, otherWorkers)
	o := packtest.VerifyOptions(true)
	o.RangeBlocks, o.Progress = 1, w.progress("verify")
	if _, err := verify.Run(t.Context(), target, o, packtest.Log(t)); err != nil {
		t.Error(err)
	}
	w.expect(40)
}

func TestNoTransactionOfALaterRunOutlastsItsChunk(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewOrchard(t)
	packtest.DryRun(t, target)
	packtest.Run(t, conn, "UPDATE object_state SET state = state")
	w := newWatch(t, conn, 0)
	o := packtest.Everything
	o.DryRun, o.Progress = true, w.progress("apply")
	packtest.Pack(t, target, o)
	w.expect(1)
}

// A first build is killed when so many ranges are done, and each of its workers
// is in the middle of another one. The next run reads these again, and what was
// not read yet; nothing else.
func TestAKilledScanLosesTheChunksThatWereInFlight(t *testing.T) {
	t.Parallel()
	program := packtest.BuildCommand(t)
	target, conn := packtest.NewTown(t)
	const blocks = 16
	p := packtest.StartPack(t, program, target)
	packtest.Until(t, "the scan has begun", func() bool {
		return packtest.Get[bool](t, conn, "SELECT EXISTS (SELECT FROM relpack.scan_range)")
	})
	// The workers read four more ranges, and are held at the end of the next.
	packtest.Run(t, conn, "BEGIN")
	done := packtest.Get[int64](t, conn, `SELECT min(first_block) FROM (
		SELECT first_block FROM relpack.scan_range
		WHERE first_block >= (SELECT first_block FROM relpack.scan_range ORDER BY first_block OFFSET 4 LIMIT 1)
		FOR UPDATE) AS held`) / blocks
	packtest.Until(t, "both workers are held", func() bool {
		// pg_stat_activity would be the same throughout the transaction.
		return packtest.Get[int](t, conn, `SELECT count(DISTINCT held.pid) FROM pg_locks AS held
			WHERE NOT held.granted AND EXISTS (SELECT FROM pg_locks WHERE pid = held.pid AND relation = 'relpack.scan_range'::regclass)`) == graph.Readers
	})
	_ = p.Cmd.Process.Kill()
	<-p.Ended
	packtest.Run(t, conn, "ROLLBACK")
	packtest.UntilGone(t, conn)
	all := packtest.Get[int64](t, conn, "SELECT count(*) FROM object_state")
	kept := packtest.Get[int64](t, conn, "SELECT count(*) FROM relpack.staged_object")
	if finished := packtest.Get[int64](t, conn, fmt.Sprintf("SELECT count(*) FROM object_state WHERE ctid < '(%d,0)'", done*blocks)); kept != finished || kept == 0 {
		t.Errorf("of %d objects in ranges that were done, %d are kept", finished, kept)
	}
	ranges := packtest.Get[int64](t, conn, "SELECT pg_relation_size('object_state') / 8192 / $1 + 1", blocks)
	if left := packtest.Get[int64](t, conn, "SELECT count(*) FROM relpack.scan_range"); left != ranges-done {
		t.Errorf("%d ranges are left of %d", left, ranges)
	}
	report := packtest.Pack(t, target, packtest.Everything)
	if again := report.Scanned.Objects - (all - kept); again != 0 || !report.FirstBuild {
		t.Errorf("%d objects of %d were read, %d of them again", report.Scanned.Objects, all, again)
	}
	packtest.ExpectExact(t, conn)
}
