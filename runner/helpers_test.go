package runner

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/graph"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/job"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// links are objects with what they refer to.
type links map[int64][]int64

func (l links) records() map[int64][]byte {
	records := map[int64][]byte{}
	for zoid, refs := range l {
		records[zoid] = zodbtest.Record(zodbtest.Document, refs...)
	}
	return records
}

// commit stores objects under the tid that RelStorage would choose.
func commit(t testing.TB, conn *pgx.Conn, l links) int64 {
	t.Helper()
	return commitRecords(t, conn, l.records())
}

func commitRecords(t testing.TB, conn *pgx.Conn, records map[int64][]byte) int64 {
	t.Helper()
	tid, err := zodbtest.CommitNow(t.Context(), conn, records)
	if err != nil {
		t.Fatal(err)
	}
	return tid
}

// commitAt stores objects as if they had been committed so long ago.
func commitAt(t testing.TB, conn *pgx.Conn, age time.Duration, l links) int64 {
	t.Helper()
	tid := zodbtest.TimeTid(time.Now().Add(-age))
	if err := zodbtest.Commit(t.Context(), conn, tid, l.records()); err != nil {
		t.Fatal(err)
	}
	return tid
}

// load stores objects in bulk, as zodbconvert does, under a tid of an hour ago.
func load(t testing.TB, conn *pgx.Conn, l links) {
	t.Helper()
	tid := zodbtest.TimeTid(time.Now().Add(-time.Hour))
	rows := make([][]any, 0, len(l))
	for zoid, record := range l.records() {
		rows = append(rows, []any{zoid, tid, len(record), record})
	}
	if _, err := conn.CopyFrom(t.Context(), pgx.Identifier{"object_state"},
		[]string{"zoid", "tid", "state_size", "state"}, pgx.CopyFromRows(rows)); err != nil {
		t.Fatal(err)
	}
}

// restore writes a row with a chosen tid as an operator would who mends a
// POSKeyError.
func restore(t testing.TB, conn *pgx.Conn, zoid, tid int64, state []byte) {
	t.Helper()
	run(t, conn, restoreRow, zoid, tid, state)
}

const restoreRow = `INSERT INTO object_state (zoid, tid, state_size, state) VALUES ($1, $2, coalesce(length($3::bytea), 0), $3)
	ON CONFLICT (zoid) DO UPDATE SET tid = excluded.tid, state_size = excluded.state_size, state = excluded.state`

// spoil changes the graph by hand, which its tables refuse to do without the
// pack lock.
func spoil(t testing.TB, conn *pgx.Conn, statements string) {
	t.Helper()
	run(t, conn, "SELECT pg_advisory_xact_lock(-2); "+statements)
}

// sessionOn is one more client of the storage.
func sessionOn(t testing.TB, target target.Target) *pgx.Conn {
	t.Helper()
	conn, err := pgtest.Connect(t.Context(), target.DSN)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	})
	return conn
}

// dryRun brings the graph up to date and deletes nothing.
func dryRun(t testing.TB, target target.Target) *pack.Report {
	t.Helper()
	o := everything
	o.DryRun = true
	return packStorage(t, target, o)
}

// hooks is a Progress that lets a test act in the middle of a pack.
type hooks struct {
	phase func(name string)
	add   func(name string, n int64)
	mu    sync.Mutex
	name  string
}

func (h *hooks) Phase(name, _ string, _ int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.name = name
	if h.phase != nil {
		h.phase(name)
	}
}

func (h *hooks) Add(n int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.add != nil {
		h.add(h.name, n)
	}
}

func (h *hooks) End() {}

// before runs act once, when the phase begins.
func before(phase string, act func()) pack.Options {
	var once sync.Once
	o := everything
	o.Progress = &hooks{phase: func(name string) {
		if name == phase {
			once.Do(act)
		}
	}}
	return o
}

// expectExact compares what the graph says with a walk in memory.
func expectExact(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	expectZoids(t, "unreachable", zoids(t, conn, "SELECT zoid FROM relpack.unreachable_object"), unreachable(t, conn))
	expectTree(t, conn)
}

func unreachable(t testing.TB, conn *pgx.Conn) []int64 {
	t.Helper()
	refs, err := zodbtest.Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	return zodbtest.Unreachable(refs)
}

// expectTree checks what the graph promises: the nodes are the stored objects, and
// those missing that live objects refer to,
// a parent refers to its child, and parents lead to the root.
func expectTree(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	for what, sql := range map[string]string{
		"nodes that differ from the storage": `SELECT count(*) FROM object_state FULL JOIN relpack.object USING (zoid)
			WHERE object_state.tid IS DISTINCT FROM object.tid
			  AND NOT EXISTS (SELECT FROM relpack.missing WHERE missing.zoid = object.zoid AND object_state.zoid IS NULL)`,
		"parents that do not refer to their child": `SELECT count(*) FROM relpack.object
			WHERE parent IS NOT NULL AND zoid <> 0
			  AND NOT EXISTS (SELECT FROM relpack.object_inref i WHERE i.zoid = object.zoid AND i.inref = object.parent)`,
		"attached objects whose parents do not lead to the root": `WITH RECURSIVE live (zoid) AS (
				SELECT 0::bigint
				UNION ALL
				SELECT object.zoid FROM live
				JOIN relpack.object_inref i ON i.inref = live.zoid
				JOIN relpack.object ON object.zoid = i.zoid AND object.parent = live.zoid AND object.zoid <> 0)
			SELECT (SELECT count(*) FROM relpack.object WHERE parent IS NOT NULL) - (SELECT count(*) FROM live)`,
		"objects counted too many": "SELECT objects - (SELECT count(*) FROM relpack.object) FROM relpack.storage",
		"inrefs counted too many":  "SELECT inrefs - (SELECT count(*) FROM relpack.object_inref) FROM relpack.storage",
	} {
		if n := get[int64](t, conn, sql); n != 0 {
			t.Errorf("%s: %d", what, n)
		}
	}
}

// expectNothingDangles makes sure that whatever can be reached is there.
func expectNothingDangles(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	refs, err := zodbtest.Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	for zoid := range zodbtest.Reachable(refs) {
		for _, ref := range refs[zoid] {
			if _, stored := refs[ref]; !stored {
				t.Errorf("object %d can be reached and refers to %d, which is gone", zoid, ref)
			}
		}
	}
}

// expectStored compares the stored objects with a list.
func expectStored(t testing.TB, conn *pgx.Conn, want ...int64) {
	t.Helper()
	slices.Sort(want)
	expectZoids(t, "stored", stored(t, conn), want)
}

// expectState wants an error of the server with this SQLSTATE.
func expectState(t testing.TB, err error, state string) {
	t.Helper()
	if !fault.IsState(err, state) {
		t.Errorf("error %v, want SQLSTATE %s", err, state)
	}
}

// expectRefused wants a pack to be refused for safety.
func expectRefused(t testing.TB, target target.Target) {
	t.Helper()
	report, err := pack.Run(t.Context(), target, everything, testLog(t))
	if fault.ExitCode(err) != fault.ExitRefused {
		t.Errorf("pack ended with %v, want a refusal", err)
	}
	if report.Deleted.Objects != 0 {
		t.Errorf("%d objects were deleted", report.Deleted.Objects)
	}
}

// until polls until the condition holds.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in a minute: %s", what)
		}
	}
}

// impatient ends a session's statements that wait for a lock for so long that
// nobody will ever let go of it, on a machine however slow.
const impatient = "SET lock_timeout = '20s'"

// usualWait writes for some seconds and returns how long a write waits at most,
// usually: the median of the longest waits in each of several stretches of time.
// A machine that stalls spoils one or two of them.
func usualWait(write func()) time.Duration {
	const stretch = 300 * time.Millisecond // longer than relpack takes to try for its lock
	longest := make([]time.Duration, 9)
	for i := range longest {
		for begin := time.Now(); time.Since(begin) < stretch; {
			start := time.Now()
			write()
			longest[i] = max(longest[i], time.Since(start))
		}
	}
	slices.Sort(longest)
	return longest[len(longest)/2]
}

// waiting polls until a session waits for a lock.
func waiting(t testing.TB, conn *pgx.Conn, pid uint32) {
	t.Helper()
	until(t, "a session waits for a lock", func() bool {
		return get[bool](t, conn, "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)", pid)
	})
}

// crasher ends a pack after so many statements, as a lost client would.
type crasher struct {
	slog.Handler
	mu     sync.Mutex
	left   int
	cancel context.CancelFunc
	last   string
	seen   func(statement string) // if set: is told of each
}

func (c *crasher) Enabled(context.Context, slog.Level) bool { return true }

func (c *crasher) Handle(_ context.Context, r slog.Record) error {
	statement := false
	r.Attrs(func(a slog.Attr) bool { statement = statement || a.Key == "time"; return true })
	if !statement {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left--
	if c.seen != nil {
		c.seen(r.Message)
	}
	if c.left == 0 {
		c.last = r.Message
		c.cancel()
	}
	return nil
}

func (c *crasher) WithAttrs([]slog.Attr) slog.Handler { return c }
func (c *crasher) WithGroup(string) slog.Handler      { return c }

// onlyLooks are the statements of a pack that does not have the pack lock yet.
var onlyLooks = regexp.MustCompile(`^\s*(SELECT|WITH)\b`)

// untilLocked is after how many statements a dry run has the pack lock. Before, it
// must write nothing, so that a crash there leaves nothing to be made good.
func untilLocked(t testing.TB, target target.Target) (n int) {
	t.Helper()
	o := everything
	o.DryRun = true
	c := &crasher{left: math.MaxInt}
	c.seen = func(statement string) {
		switch {
		case n > 0:
		case strings.Contains(statement, "relpack.try_pack_lock()"):
			n = math.MaxInt - c.left
		case !onlyLooks.MatchString(statement) || strings.Contains(strings.SplitAfter(statement, "FROM")[0], "relpack."):
			t.Errorf("before it has the pack lock, it says %s", statement)
		}
	}
	if _, err := pack.Run(t.Context(), target, o, slog.New(c)); err != nil {
		t.Fatal(fault.Message(err))
	}
	if n == 0 {
		t.Fatal("no pack lock was taken")
	}
	return n
}

// crashAfter packs until n statements are done. It returns the last of them,
// or "" when the pack came to its end.
func crashAfter(t testing.TB, target target.Target, o pack.Options, n int) string {
	t.Helper()
	return crash(t, target, n, func(ctx context.Context, log *slog.Logger) error {
		_, err := pack.Run(ctx, target, o, log)
		return err
	})
}

// crash is crashAfter for whatever works on a storage.
func crash(t testing.TB, target target.Target, n int, work func(context.Context, *slog.Logger) error) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := &crasher{left: n, cancel: cancel}
	err := work(ctx, slog.New(c))
	if err != nil && !errors.Is(err, context.Canceled) && ctx.Err() == nil {
		t.Fatalf("it failed: %s", fault.Message(err))
	}
	if err == nil {
		return ""
	}
	relpackGone(t, sessionOn(t, target))
	return c.last
}

// packing is a pack at work in a session.
func packing(t testing.TB, target target.Target, conn *pgx.Conn) *graph.Packer {
	return &graph.Packer{Job: job.New(target, testLog(t), nil, nil), Seen: &graph.Seen{}, Conn: conn, PID: conn.PgConn().PID()}
}
