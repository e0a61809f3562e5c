package graph_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/graph"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/record"
	"relpack/runner/target"
)

// rewrites give every row another xmin: who looks with an older snapshot finds
// the table empty. What pg_repack does at its end is to swap files.
var rewrites = map[string]string{
	"a new column":  "ALTER TABLE object_state ADD COLUMN note double precision DEFAULT random()",
	"another type":  "ALTER TABLE object_state ADD COLUMN note text; ALTER TABLE object_state ALTER COLUMN note TYPE integer USING 7",
	"swapped files": zodbtest.SwapFiles,
}

// rewriting rewrites object_state, and ends as soon as relpack waits for it.
func rewriting(t *testing.T, target target.Target, sql string) (done <-chan struct{}) {
	t.Helper()
	rewriter, watcher := packtest.Session(t, target), packtest.Session(t, target)
	packtest.Run(t, rewriter, "BEGIN; "+sql)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		packtest.Until(t, "relpack waits for object_state", func() bool {
			return packtest.Get[bool](t, watcher, `SELECT EXISTS (
				SELECT FROM pg_locks WHERE relation = 'object_state'::regclass AND NOT granted)`)
		})
		packtest.Run(t, rewriter, "COMMIT")
	}()
	return ended
}

func TestAPackThatMeetsARewriteOfTheTableLosesNothing(t *testing.T) {
	t.Parallel()
	for name, sql := range rewrites {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewGarden(t)
			packtest.Commit(t, conn, packtest.Links{1: {2, 30, 31}, 2: {32}, 30: {33}, 31: nil, 32: nil, 33: nil})
			var done <-chan struct{}
			packtest.Pack(t, target, packtest.Before("apply", func() { done = rewriting(t, target, sql) }))
			<-done
			packtest.ExpectStored(t, conn, 0, 1, 2, 30, 31, 32, 33)
			packtest.DryRun(t, target)
			packtest.ExpectExact(t, conn)
		})
	}
}

// Each of relpack's statements that look at object_state meets a rewrite that
// began before it and ends while it waits.
func TestNoStepTakesATableThatIsBeingRewrittenForEmpty(t *testing.T) {
	t.Parallel()
	for _, step := range []string{
		"relpack.capture_watermark()", "relpack.capture_list()", "relpack.capture_compare()", "relpack.apply()", "relpack.doom(NULL)",
		"relpack.sweep(1000, NULL)", "relpack.doubt()", "(SELECT count(*) FROM relpack.verify() WHERE severity = 'error' AND zoids IS NOT NULL)", "relpack.require_storage()", "(SELECT count(*) FROM relpack.blobs_next('{}', '{}'))",
		"(relpack.verify_nodes(-1, 1000)).missing",
	} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewGarden(t)
			all := []int64{0, 1, 2}
			if step == "relpack.apply()" {
				// Read as not stored, and as what a salvaged record may name.
				packtest.Run(t, conn, "INSERT INTO relpack.pending VALUES (1), (2); INSERT INTO relpack.examined_object VALUES (1, NULL, 0, 0)")
			}
			packer := packtest.Session(t, target)
			done := rewriting(t, target, rewrites["a new column"])
			var got *string
			err := packer.QueryRow(t.Context(), "SELECT "+step+"::text").Scan(&got)
			<-done
			switch step {
			case "relpack.doom(NULL)", "relpack.sweep(1000, NULL)":
				packtest.ExpectError(t, err, fault.ExitRefused, "the graph may not match the storage: object_state was rewritten")
			case "relpack.doubt()":
				if got == nil || *got != "object_state was rewritten" {
					t.Errorf("doubt: %v, %v", got, err)
				}
			default: // what ends in an error has changed nothing, but it is to end well
				if err != nil {
					t.Errorf("%s: %v", step, err)
				}
			}
			if n := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.object WHERE zoid = ANY ($1)", all); n != len(all) {
				t.Errorf("%d nodes of %d are there", n, len(all))
			}
			if counts := strings.Contains(step, "count(*)") || step == "relpack.capture_compare()"; counts && *got != "0" {
				t.Errorf("%s objects differ", *got)
			}
			if step == "(relpack.verify_nodes(-1, 1000)).missing" && got != nil {
				t.Errorf("missing: %s", *got)
			}
			packtest.Pack(t, target, packtest.Everything)
			packtest.ExpectStored(t, conn, all...)
			packtest.ExpectExact(t, conn)
		})
	}
}

// A session that queued up behind an ALTER TABLE, which waits for the one that
// reads, would have waited for ever, and the site with it.
func TestAnAlterTableThatWaitsForAChunkIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.CommitRecords(t, conn, map[int64][]byte{
		1: zodbtest.Record(zodbtest.Class{Module: "met", Name: "First"}, 2),
		2: zodbtest.Odd(zodbtest.Document, 30), 30: zodbtest.Record(zodbtest.Document),
	})
	var once sync.Once
	altered := make(chan error, 1)
	p := packtest.Packer(t, target, packtest.Session(t, target))
	packtest.Run(t, p.Conn, "SELECT relpack.try_pack_lock(), relpack.capture_watermark(), relpack.capture_list()")
	classes := record.NoClasses(nil)
	x := graph.NewExaminer(p, classes)
	defer x.Second.Close()
	classes.Open = func(ctx context.Context) (*pgx.Conn, error) {
		once.Do(func() {
			alter := packtest.Session(t, target)
			go func() {
				_, err := alter.Exec(t.Context(), rewrites["a new column"])
				altered <- err
			}()
			packtest.UntilWaiting(t, conn, alter.PgConn().PID())
		})
		return x.Second.Get(ctx)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if left, err := x.Chunk(ctx); err != nil || left != 0 {
		t.Fatalf("%d objects are left: %v", left, err)
	}
	if err := <-altered; err != nil {
		t.Error(err)
	}
	packtest.Run(t, p.Conn, "SELECT relpack.reach(), relpack.release_pack_lock()")
	packtest.ExpectTree(t, conn)
	if cut := packtest.Zoids(t, conn, "SELECT zoid FROM relpack.object WHERE zoid < 10 OR zoid = 30 AND parent IS NULL"); len(cut) != 3 {
		t.Errorf("what the odd record names is not attached: %v", cut)
	}
}
