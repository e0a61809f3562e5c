package pack_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/pickle"
	"relpack/runner/target"
)

// A chronicle is a random history: a step each quarter of a day.
type chronicle struct {
	zodbtest.History
	rand    *rand.Rand
	steps   int
	now     time.Time
	log     []string
	noticed bool // something happened that leaves an event
}

const (
	chronicleSteps   = 200
	chronicleObjects = 12
)

func stepDays(step int) float64 { return float64(chronicleSteps-step) / 4 }

func (c *chronicle) tid(step int) int64 {
	return zodbtest.TimeTid(c.now.Add(-time.Duration(stepDays(step) * 24 * float64(time.Hour))))
}

func (c *chronicle) say(format string, args ...any) {
	c.log = append(c.log, fmt.Sprintf(format, args...))
}

func (c *chronicle) objects() map[int64][]byte {
	objects := map[int64][]byte{}
	for range 1 + c.rand.IntN(3) {
		refs := []int64{}
		for range c.rand.IntN(3) {
			refs = append(refs, c.rand.Int64N(chronicleObjects))
		}
		objects[c.rand.Int64N(chronicleObjects)] = zodbtest.PaddedRecord(zodbtest.Document, c.rand.IntN(3), refs...)
	}
	return objects
}

func named(objects map[int64][]byte) string {
	var text []string
	for zoid, state := range objects {
		var scanner pickle.Scanner
		_ = scanner.Scan(state)
		text = append(text, fmt.Sprint(zoid, scanner.Refs()))
	}
	return strings.Join(text, " ")
}

func (c *chronicle) step(t *testing.T) {
	t.Helper()
	c.steps++
	tid := c.tid(c.steps)
	var err error
	switch n := c.rand.IntN(20); {
	case n < 10:
		objects := c.objects()
		c.say("%d commit %s", c.steps, named(objects))
		_, err = c.Commit(t.Context(), tid, objects)
	case n < 14:
		undone := packtest.Get[int64](t, c.Conn, fmt.Sprintf("SELECT coalesce((SELECT tid FROM transaction ORDER BY tid DESC OFFSET %d LIMIT 1), 0)", c.rand.IntN(3)))
		c.say("%d undo %d", c.steps, undone)
		if _, err = c.Undo(t.Context(), undone, tid); errors.Is(err, zodbtest.ErrUndo) {
			err = nil
		}
	case n < 16:
		zoid := 1 + c.rand.Int64N(chronicleObjects-1)
		c.say("%d whiteout %d", c.steps, zoid)
		_, err = c.Commit(t.Context(), tid, map[int64][]byte{zoid: nil})
	case n < 17:
		zoid := 1 + c.rand.Int64N(chronicleObjects-1)
		c.say("%d delete in place %d", c.steps, zoid)
		c.noticed = true
		err = c.DeleteInPlace(t.Context(), zoid)
	case n < 19:
		old := c.tid(1 + c.rand.IntN(c.steps))
		objects := c.objects()
		c.say("%d restore %d: %s", c.steps, old, named(objects))
		c.noticed = true
		err = c.Restore(t.Context(), old, c.rand.IntN(2) == 0, objects, nil)
	default:
		c.say("%d nothing", c.steps)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(c.log, "\n"))
	}
}

func TestEveryPackOfAHistoryKeepsWhatTheRuleSays(t *testing.T) {
	t.Parallel()
	most := 3
	if n, err := strconv.Atoi(os.Getenv("RELPACK_HISTORIES")); err == nil {
		most = n
	}
	first := 1
	if n, err := strconv.Atoi(os.Getenv("RELPACK_FIRST")); err == nil {
		first = n
	}
	file, h := newHistory(t, zodbtest.V42)
	for seed := first; seed < first+most; seed++ {
		packtest.Run(t, h.Conn, "TRUNCATE object_state, current_object, transaction, blob_chunk, relpack.emptied, relpack.blob_removal")
		packtest.Run(t, h.Conn, "INSERT INTO transaction (tid, username, description) VALUES (0, '', '')")
		packtest.Run(t, h.Conn, "UPDATE relpack.storage SET graph = 'none', horizon_tid = 0")
		c := &chronicle{History: h, rand: rand.New(rand.NewPCG(uint64(seed), 5)), now: time.Now()}
		if _, err := c.Commit(t.Context(), c.tid(1), map[int64][]byte{0: zodbtest.Record(zodbtest.Document, 1, 2)}); err != nil {
			t.Fatal(err)
		}
		packtest.Run(t, h.Conn, "UPDATE transaction SET packed = true") // nobody undoes the root
		c.steps = 1
		o := trimDays(0)
		for range 6 {
			for range 2 + c.rand.IntN(10) {
				c.step(t)
			}
			if err := c.pack(t, file, o); err != nil {
				t.Fatalf("seed %d: %v\n%s", seed, err, strings.Join(c.log, "\n"))
			}
			o.Init = c.rand.IntN(6) == 0
		}
	}
}

func (c *chronicle) pack(t *testing.T, file target.Target, o pack.Options) error {
	t.Helper()
	o.DryRun = c.rand.IntN(3) == 0
	until := 1 + c.rand.IntN(c.steps)
	o.Days = stepDays(until) - 0.1
	if c.rand.IntN(3) == 0 {
		until, o.Days = c.steps, -1
	}
	c.say("pack up to %d (%d), dry %v, init %v", until, c.tid(until), o.DryRun, o.Init)
	if c.rand.IntN(3) == 0 {
		packtest.Run(t, c.Conn, "UPDATE relpack.audit SET met = '-infinity'") // all of it is read again
	}
	before := allRevisions(t, c.Conn)
	packTid := daysAgo(o.Days)
	if o.Days < 0 {
		packTid = daysAgo(-1)
	}
	if c.rand.IntN(3) == 0 {
		n := 10 + c.rand.IntN(70)
		c.say("  lost at statement %d: %s", n, packtest.CrashAfter(t, file, o, n))
		got := allRevisions(t, c.Conn).Keys()
		for _, key := range before.Collect(packTid).Stay() {
			if !slices.Contains(got, key) {
				return fmt.Errorf("%v is gone of %v after a pack that was lost", key, before.Keys())
			}
		}
	}
	report, err := pack.Run(t.Context(), file, o, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		return errors.New(fault.Message(err))
	}
	after := allRevisions(t, c.Conn)
	want := before.Collect(packTid).Stay()
	exact := !c.noticed || o.Days < 0
	if o.DryRun {
		objects := map[int64]bool{}
		for _, key := range want {
			objects[key.Zoid] = true
		}
		goes := int64(len(before.Revisions) - len(objects))
		if got := report.Chosen.Objects; got > goes || (exact && got < goes) {
			return fmt.Errorf("a dry run said that %d objects go, %d would", got, goes)
		}
		want, exact = before.Keys(), true
	}
	got := after.Keys()
	for _, key := range want {
		if !slices.Contains(got, key) {
			return fmt.Errorf("%v is gone of %v; want %v, got %v", key, before.Keys(), want, got)
		}
	}
	if !o.DryRun && !slices.Equal(got, want) {
		if exact {
			return fmt.Errorf("got %v, want %v, of %v", got, want, before.Keys())
		}
	}
	return nil
}
