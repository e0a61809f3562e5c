package check_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/check"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/program"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/look"
	"relpack/runner/target"
	"relpack/runner/why"
)

// A chronicle is a history-preserving storage, of which it is known what each state
// refers to.
type chronicle struct {
	storage
	zodbtest.History
	random *rand.Rand
	drawn  map[string]drawn // by state
	next   int64            // half hours since ten days ago: when the next commit is
	last   int64            // the last commit, unless it was an undo
}

func (c *chronicle) draw(zoid int64) []byte {
	object := drawn{kind: "document"}
	switch {
	case zoid > 0 && c.random.IntN(12) == 0:
		return nil
	case zoid >= 32:
		return zodbtest.Record(zodbtest.Blob)
	}
	for range c.random.IntN(4) {
		object.refs = append(object.refs, c.random.Int64N(44)) // from 40 on none is stored
	}
	state := record(object.refs...)
	c.drawn[string(state)] = object
	return state
}

func (c *chronicle) tid() int64 {
	c.next++
	return packtest.DaysAgo(10 - float64(c.next)/48)
}

// A revision is a row of object_state.
type revision struct {
	tid, prev int64
	state     []byte
}

// told is what a check has to say, and what is alive, by the revisions that a pack up to the horizon keeps.
func (c *chronicle) told(t *testing.T) (string, map[int64]bool) {
	t.Helper()
	horizon := packtest.Get[int64](t, c.conn, "SELECT horizon_tid FROM relpack.storage")
	rows, err := c.conn.Query(t.Context(), "SELECT zoid, tid, prev_tid, state, coalesce((SELECT tid FROM current_object WHERE zoid = o.zoid), 0) FROM object_state o ORDER BY zoid, tid")
	if err != nil {
		t.Fatal(err)
	}
	history, current := map[int64][]revision{}, map[int64]int64{}
	var zoid, tid, prev, cur int64
	var state []byte
	if _, err := pgx.ForEachRow(rows, []any{&zoid, &tid, &prev, &state, &cur}, func() error {
		history[zoid] = append(history[zoid], revision{tid, prev, slices.Clone(state)})
		current[zoid] = cur
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	refs := map[int64]map[int64]bool{}
	for zoid, all := range history {
		newest, first := all[len(all)-1].tid, int64(0)
		for _, r := range all {
			if r.tid <= horizon {
				first = r.tid
			}
		}
		if current[zoid] != newest {
			first = 0
		}
		refs[zoid] = map[int64]bool{}
		for _, r := range all {
			named := slices.ContainsFunc(all, func(l revision) bool { return l.tid > horizon && l.prev == r.tid })
			if r.tid >= first || named && first != newest {
				for _, to := range c.drawn[string(r.state)].refs {
					refs[zoid][to] = true
				}
			}
		}
	}
	// A client loads the revision that current_object names.
	loaded := func(zoid int64) revision {
		all := history[zoid]
		if i := slices.IndexFunc(all, func(r revision) bool { return r.tid == current[zoid] }); i >= 0 {
			return all[i]
		}
		return all[len(all)-1]
	}
	live, holders, held := map[int64]bool{0: true}, map[int64]int{}, map[int64]bool{0: true}
	for level := []int64{0}; len(level) > 0; {
		at := level[0]
		level = level[1:]
		for _, to := range c.drawn[string(loaded(at).state)].refs {
			held[to] = true
		}
		for to := range refs[at] {
			if _, stored := history[to]; !stored {
				holders[to]++
			} else if !live[to] {
				live[to] = true
				level = append(level, to)
			}
		}
	}
	var empty, blobs []int64
	for zoid := range live {
		newest := history[zoid][len(history[zoid])-1].state
		switch state := loaded(zoid).state; {
		case len(state) == 0 && len(newest) == 0 && !held[zoid]:
		case len(state) == 0:
			empty = append(empty, zoid)
		case zoid >= 32:
			blobs = append(blobs, zoid)
		}
	}
	slices.Sort(empty)
	slices.Sort(blobs)
	return fmt.Sprint(holders, empty, blobs), live
}

// change does what an application, an operator or another packer does, and says what.
func (c *chronicle) change(t *testing.T) string {
	t.Helper()
	ctx := t.Context()
	exists := packtest.Get[bool](t, c.conn, "SELECT EXISTS (SELECT FROM object_state)")
	pick := c.random.IntN(12)
	if !exists {
		pick = 11
	}
	switch pick {
	case 0: // restored under another tid
		zoid := c.random.Int64N(40)
		tid := packtest.DaysAgo(10 - (float64(c.random.Int64N(c.next))+0.5)/48)
		if err := c.Restore(ctx, tid, false, map[int64][]byte{zoid: c.draw(zoid)}, nil); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint("restored ", zoid)
	case 1: // an existing one is written again
		var zoid, tid int64
		if err := c.conn.QueryRow(ctx, `SELECT zoid, tid FROM object_state ORDER BY zoid, tid
			OFFSET $1 % (SELECT count(*) FROM object_state) LIMIT 1`, c.random.Int32()).Scan(&zoid, &tid); err != nil {
			t.Fatal(err)
		}
		packtest.Run(t, c.conn, "UPDATE object_state SET state = $3 WHERE zoid = $1 AND tid = $2", zoid, tid, c.draw(zoid))
		return fmt.Sprint("rewritten ", zoid, " ", tid)
	case 2: // an old revision is deleted; that the graph knew one which is before the horizon, nothing tells
		packtest.Run(t, c.conn, `WITH old AS (SELECT zoid, tid FROM object_state s WHERE tid <> (SELECT tid FROM current_object WHERE zoid = s.zoid)
			AND NOT (EXISTS (SELECT FROM object_state WHERE zoid = s.zoid AND tid > s.tid AND tid <= (SELECT horizon_tid FROM relpack.storage))
				AND ((SELECT tid FROM current_object WHERE zoid = s.zoid) <> (SELECT max(tid) FROM object_state WHERE zoid = s.zoid)
					OR EXISTS (SELECT FROM object_state WHERE zoid = s.zoid AND prev_tid = s.tid AND tid > (SELECT horizon_tid FROM relpack.storage)))))
			DELETE FROM object_state WHERE (zoid, tid) = (SELECT zoid, tid FROM old ORDER BY zoid, tid
				OFFSET $1 % greatest((SELECT count(*) FROM old), 1) LIMIT 1)`, c.random.Int32())
		return "deleted"
	case 3: // undo
		if _, err := c.Undo(ctx, c.last, c.tid()); err != nil && !errors.Is(err, zodbtest.ErrUndo) {
			t.Fatal(err)
		}
		return "undone"
	case 4:
		if err := c.DeleteInPlace(ctx, 1+c.random.Int64N(39)); err != nil {
			t.Fatal(err)
		}
		return "deleted in place"
	}
	objects := map[int64][]byte{}
	for range 1 + c.random.IntN(5) {
		zoid := c.random.Int64N(40)
		objects[zoid] = c.draw(zoid)
	}
	if !exists {
		objects[0] = c.draw(0)
	}
	c.last = c.tid()
	if _, err := c.Commit(ctx, c.last, objects); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint("committed ", len(objects))
}

// Whatever was written, restored, undone or deleted since the last pack, a check tells what
// is so now, and nothing that a revision within the horizon refers to is called
// unreachable.
func TestEveryCheckOfAHistoryTellsWhatIsSo(t *testing.T) {
	t.Parallel()
	eachSeed(t, checkHistory)
}

func checkHistory(t *testing.T, random *rand.Rand) {
	empty, conn := packtest.NewEmptyDatabase(t)
	if err := zodbtest.CreateHistory(t.Context(), conn, zodbtest.V42); err != nil {
		t.Fatal(err)
	}
	c := &chronicle{storage: storage{Target: target.Target{DSN: empty.DSN}, conn: conn}, History: zodbtest.History{Conn: conn, Version: zodbtest.V42}, random: random, drawn: map[string]drawn{}}
	c.BlobDir = t.TempDir()
	if err := zodbtest.NewBlobDir(c.BlobDir, zodbtest.Bushy); err != nil {
		t.Fatal(err)
	}
	if r := program.Run(t, "migrate", "up", "-q", "--dsn", c.DSN); r.Code != 0 {
		t.Fatal(r)
	}
	var log []string
	for range 10 {
		log = append(log, c.change(t))
	}
	wrong := 0
	for round := range 20 {
		if round%4 == 0 {
			days := fmt.Sprint(random.IntN(11))
			args := []string{"pack", "--quiet", "--days", days, "--dsn", c.DSN}
			if random.IntN(2) == 0 {
				args = append(args, "--dry-run")
			}
			r := program.Run(t, args...)
			log = append(log, fmt.Sprint("packed ", args[3:], " ", r.Code, r.Stderr))
		}
		for range 1 + random.IntN(3) {
			log = append(log, c.change(t))
		}
		r, err := c.checked(t, check.Options{Max: 100})
		want, live := c.told(t)
		if got := tells(r); got != want || r.Uncertain != "" {
			t.Errorf("round %d: it says %s %s, and is %s: %v", round, got, r.Uncertain, want, err)
			wrong++
		}
		var zoids []int64
		for zoid := range int64(40) {
			zoids = append(zoids, zoid)
		}
		report, err := why.Ask(t.Context(), c.Target, why.Options{Zoids: zoids, Migrations: migrations.Files}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, o := range report.Objects {
			if live[o.Zoid] && o.Verdict != look.Alive && o.Verdict != look.NotStored || !live[o.Zoid] && o.Verdict != look.Unreachable && o.Verdict != look.NotStored {
				t.Errorf("round %d: %d is %s, live: %v", round, o.Zoid, o.Verdict, live[o.Zoid])
				wrong++
			}
		}
		if wrong > 0 {
			for _, line := range log[max(0, len(log)-12):] {
				t.Log(line)
			}
			return
		}
	}
}
