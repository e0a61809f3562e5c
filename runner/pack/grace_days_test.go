package pack_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// What histories can't say about grace: they have one clock, and no memory of
// what a user had in hand.

const day = 24 * time.Hour

// commitAged stores objects that refer to these, as of so long ago; a negative
// age is ahead of the clock.
func commitAged(t *testing.T, conn *pgx.Conn, age time.Duration, refs map[int64][]int64) int64 {
	t.Helper()
	records := map[int64][]byte{}
	for zoid, to := range refs {
		records[zoid] = zodbtest.Record(zodbtest.Document, to...)
	}
	tid := zodbtest.TimeTid(time.Now().Add(-age))
	if err := zodbtest.Commit(t.Context(), conn, tid, records); err != nil {
		t.Fatal(err)
	}
	return tid
}

func packDays(t *testing.T, target target.Target, days float64) *pack.Report {
	t.Helper()
	return packtest.Pack(t, target, pack.Options{Days: days, Version: "test", Migrations: migrations.Files})
}

func TestWhatIsCutAndPastedWithinTheGraceIsWhole(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	commitAged(t, conn, 40*day, map[int64][]int64{0: {1}, 1: {2}, 2: {3}, 3: {1}})
	packDays(t, target, 1)
	commitAged(t, conn, 10*time.Hour, map[int64][]int64{0: {}})
	packDays(t, target, 1)
	packtest.ExpectZoids(t, "stored after the cut", packtest.Stored(t, conn), []int64{0, 1, 2, 3})
	commitAged(t, conn, time.Hour, map[int64][]int64{0: {4}, 4: {2}})
	packDays(t, target, -1)
	packtest.ExpectZoids(t, "stored after the paste", packtest.Stored(t, conn), []int64{0, 1, 2, 3, 4})
	if found := packtest.Findings(t, conn); len(found) > 0 {
		t.Errorf("relpack.verify(): %q", found)
	}
}

// No packer of a history-free storage can help it; what dangles is told.
func TestWhatIsPastedBeyondTheGraceDangles(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	commitAged(t, conn, 40*day, map[int64][]int64{0: {1}, 1: {2}, 2: {}})
	packDays(t, target, 1)
	commitAged(t, conn, 30*time.Hour, map[int64][]int64{0: {}})
	packDays(t, target, 1)
	packtest.ExpectZoids(t, "stored after the cut", packtest.Stored(t, conn), []int64{0})
	commitAged(t, conn, time.Hour, map[int64][]int64{0: {4}, 4: {1}})
	packDays(t, target, 1)
	packtest.ExpectZoids(t, "stored after the paste", packtest.Stored(t, conn), []int64{0, 4})
	found := packtest.Findings(t, conn)
	if len(found) != 1 || found[0] != "damage: reachable objects refer to these, which are not stored (POSKeyError) {1}" {
		t.Errorf("relpack.verify(): %q", found)
	}
}

// A client whose clock is fast, or was until it was set right, leaves tids that
// are yet to come. Of what a first build finds nobody knows more.
func TestGarbageWithATidAheadOfTheClockIsYoungToAFirstBuild(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	commitAged(t, conn, 2*day, map[int64][]int64{0: {1}, 1: {}, 5: {}})
	commitAged(t, conn, -6*time.Hour, map[int64][]int64{0: {1, 2}, 2: {}, 6: {7}, 7: {}})
	packDays(t, target, 0)
	packtest.ExpectZoids(t, "stored after a pack up to now", packtest.Stored(t, conn), []int64{0, 1, 2, 6, 7})
	// Later commits are later still, whatever the clock says.
	tid, err := zodbtest.CommitNow(t.Context(), conn, map[int64][]byte{0: zodbtest.Record(zodbtest.Document, 2)})
	if err != nil {
		t.Fatal(err)
	}
	packDays(t, target, 0)
	packtest.ExpectZoids(t, "stored after a cut", packtest.Stored(t, conn), []int64{0, 2, 6, 7})
	if applied := packtest.Get[int64](t, conn, "SELECT applied_tid FROM relpack.storage"); applied != tid {
		t.Errorf("applied up to %d, not %d", applied, tid)
	}
	// The clock caps whoever asks for more.
	if outcome := packtest.Get[string](t, conn, "SELECT outcome FROM relpack.sweep(100, now() + interval '7 days')"); outcome != "done" {
		t.Errorf("a sweep with a pack time to come says %s", outcome)
	}
	packDays(t, target, -1)
	packtest.ExpectZoids(t, "stored after a pack up to the last commit", packtest.Stored(t, conn), []int64{0, 2})
}

// What a dry run without grace has chosen serves no sweep that asks for an age.
func TestASweepByTheClockLeavesGarbageAheadOfItThatADryRunHadChosen(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	commitAged(t, conn, 40*day, map[int64][]int64{0: {1}, 1: {}})
	commitAged(t, conn, -6*time.Hour, map[int64][]int64{5: {}})
	commitAged(t, conn, -7*time.Hour, map[int64][]int64{0: {1, 2}, 2: {}})
	packtest.DryRun(t, target)
	for _, until := range []string{"now() + interval '7 days'", "now()"} {
		if got := packtest.Get[string](t, conn, "SELECT outcome FROM relpack.sweep(100, "+until+")"); got != "done" {
			t.Errorf("a sweep up to %s says %s", until, got)
		}
	}
	packtest.ExpectZoids(t, "stored", packtest.Stored(t, conn), []int64{0, 1, 2, 5})
	packDays(t, target, -1)
	packtest.ExpectZoids(t, "stored after a pack without grace", packtest.Stored(t, conn), []int64{0, 1, 2})
}

// Whatever the clients' clocks say: relpack saw by the server's when something
// was cut off, was stored as garbage, or was written anew.
func TestWhatIsSeenToBecomeGarbageUnderTidsYearsAheadHasItsGraceByTheClock(t *testing.T) {
	t.Parallel()
	const ahead = -10 * 365 * day
	target, conn := packtest.NewStorage(t)
	commitAged(t, conn, 40*day, map[int64][]int64{0: {1, 3}, 1: {2}, 2: {}, 3: {}})
	commitAged(t, conn, ahead, map[int64][]int64{3: {}})
	packDays(t, target, 1)
	before := zodbtest.TimeTid(time.Now().Add(-time.Second))
	commitAged(t, conn, ahead-time.Hour, map[int64][]int64{0: {3}, 8: {}})
	packDays(t, target, 1)
	commitAged(t, conn, ahead-2*time.Hour, map[int64][]int64{3: {}, 8: {}})
	packDays(t, target, 1)
	packtest.ExpectZoids(t, "stored within the grace", packtest.Stored(t, conn), []int64{0, 1, 2, 3, 8})
	after := zodbtest.TimeTid(time.Now().Add(time.Second))
	if n := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.object WHERE parent IS NULL AND detached_tid BETWEEN $1 AND $2", before, after); n != 3 {
		t.Errorf("%d of 3 objects became garbage now", n)
	}
	report := packDays(t, target, 1)
	packtest.ExpectWords(t, strings.Join(report.Notes(), "\n"), "ahead of the server's clock")
	packtest.ExpectWords(t, packtest.Status(t, target), "ahead of the server's clock")
	// A day is over. Here the clock stays, and the graph is older.
	age := func(hours int) {
		packtest.Run(t, conn, fmt.Sprintf("UPDATE relpack.object SET detached_tid = relpack.time_to_tid(now() - interval '%d hours') WHERE parent IS NULL", hours))
	}
	age(23)
	packDays(t, target, 1)
	packtest.ExpectZoids(t, "stored after 23 hours", packtest.Stored(t, conn), []int64{0, 1, 2, 3, 8})
	age(25)
	// 8 alone bore the highest tid, with 3.
	packDays(t, target, 1)
	packtest.ExpectZoids(t, "stored after 25 hours", packtest.Stored(t, conn), []int64{0, 3})
	if found := packtest.Findings(t, conn); len(found) > 0 {
		t.Errorf("relpack.verify(): %q", found)
	}
}

// timesSent are the moments among the arguments of all statements of a run.
type timesSent struct {
	mu    sync.Mutex
	times []time.Time
}

func (*timesSent) Enabled(context.Context, slog.Level) bool { return true }
func (s *timesSent) WithAttrs([]slog.Attr) slog.Handler     { return s }
func (s *timesSent) WithGroup(string) slog.Handler          { return s }
func (s *timesSent) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		args, _ := a.Value.Any().([]any)
		for _, arg := range args {
			moment, isTime := arg.(time.Time)
			if p, isPointer := arg.(*time.Time); isPointer && p != nil {
				moment, isTime = *p, true
			}
			if isTime {
				s.mu.Lock()
				s.times = append(s.times, moment)
				s.mu.Unlock()
			}
		}
		return true
	})
	return nil
}

// The client's clock can't be set here. But the only moment that it ever sends
// is the one that it was told, by a server that had just read its own.
func TestEveryTimeComesFromTheServer(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	commitAged(t, conn, 40*day, map[int64][]int64{0: {1}, 1: {}, 2: {3}, 3: {}})
	before := packtest.Get[time.Time](t, conn, "SELECT clock_timestamp() - interval '1.5 days'")
	sent := &timesSent{}
	report, err := pack.Run(t.Context(), target, pack.Options{Days: 1.5, Version: "test", Migrations: migrations.Files}, slog.New(sent))
	if err != nil {
		t.Fatal(err)
	}
	after := packtest.Get[time.Time](t, conn, "SELECT clock_timestamp() - interval '1.5 days'")
	packtest.ExpectZoids(t, "stored", packtest.Stored(t, conn), []int64{0, 1})
	if report.PackTime == nil || report.PackTime.Before(before) || report.PackTime.After(after) {
		t.Errorf("the pack time is %v, and the server was asked between %v and %v", report.PackTime, before, after)
	}
	if len(sent.times) == 0 {
		t.Error("no pack time was seen in the statements")
	}
	for _, moment := range sent.times {
		if !moment.Equal(*report.PackTime) {
			t.Errorf("the client sent %v, which the server had not told", moment)
		}
	}
}
