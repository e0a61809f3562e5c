package graph_test

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/pack"
)

// duringScan is a first build that acts once, after so many ranges of a block.
func duringScan(ranges int64, act func()) pack.Options {
	o := packtest.Everything
	o.RangeBlocks = 1
	var read atomic.Int64
	var once sync.Once
	o.Progress = &packtest.Hooks{OnAdd: func(name string, n int64) {
		if name == "scan" && read.Add(n) >= ranges {
			once.Do(act)
		}
	}}
	return o
}

func TestRowsWrittenDuringAScanAreNotMissed(t *testing.T) {
	t.Parallel()
	for name, level := range map[string]pgx.TxIsoLevel{"read committed": pgx.ReadCommitted, "repeatable read": pgx.RepeatableRead} {
		for _, after := range []int64{1, 20, 40} {
			t.Run(fmt.Sprintf("%s, after %d ranges", name, after), func(t *testing.T) {
				t.Parallel()
				target, conn := packtest.NewOrchard(t)
				packtest.Pack(t, target, duringScan(after, func() {
					tx, err := conn.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: level})
					if err != nil {
						t.Fatal(err)
					}
					// Each row goes to another block; the last refers to garbage
					// now. Old tids: only an event tells.
					for _, zoid := range []int64{0, 1, 40, 78, 79} {
						refs := []int64{zoid + 1}
						if zoid == 79 {
							refs = []int64{200}
						}
						for range 2 {
							if _, err := tx.Exec(t.Context(), packtest.RestoreRow, zoid, 5+zoid, packtest.OrchardRecord(refs...)); err != nil {
								t.Error(err)
							}
						}
					}
					// And one that was never stored before.
					if _, err := tx.Exec(t.Context(), packtest.RestoreRow, 500, 7, packtest.OrchardRecord(79)); err != nil {
						t.Error(err)
					}
					if err := tx.Commit(t.Context()); err != nil {
						t.Error(err)
					}
				}))
				packtest.ExpectNothingDangles(t, conn)
				packtest.ExpectExact(t, conn)
				if n := packtest.Get[int](t, conn, "SELECT count(*) FROM object_state"); n != 160 {
					t.Errorf("%d objects are stored, want 160", n)
				}
			})
		}
	}
}

func TestAScanSurvivesThatTheTableIsRewritten(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"VACUUM FULL": "VACUUM FULL object_state",
		// Rows that were not read yet move to blocks that were.
		"CLUSTER": "CREATE INDEX backwards ON object_state ((-zoid)); CLUSTER object_state USING backwards",
	} {
		for _, after := range []int64{2, 20} {
			t.Run(fmt.Sprintf("%s, after %d ranges", name, after), func(t *testing.T) {
				t.Parallel()
				target, conn := packtest.NewOrchard(t)
				report := packtest.Pack(t, target, duringScan(after, func() { packtest.Run(t, packtest.Session(t, target), sql) }))
				if !report.Compared {
					t.Error("nothing was compared")
				}
				packtest.ExpectNothingDangles(t, conn)
				packtest.ExpectExact(t, conn)
				if n := packtest.Get[int](t, conn, "SELECT count(*) FROM object_state"); n != 80 {
					t.Errorf("%d objects are stored, want 80", n)
				}
			})
		}
	}
}

func TestAScanSurvivesThatTriggersAreOffForAWhile(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewOrchard(t)
	report := packtest.Pack(t, target, duringScan(10, func() {
		packtest.Run(t, conn, "ALTER TABLE object_state DISABLE TRIGGER USER")
		packtest.Run(t, conn, packtest.RestoreRow, 79, 5, packtest.OrchardRecord(200))
		// Read already, and to be read again further on.
		packtest.Run(t, conn, "UPDATE object_state SET state = state WHERE zoid < 10")
		packtest.SetTriggers(t, conn, "ENABLE ALWAYS")
	}))
	if !report.Compared {
		t.Error("nothing was compared")
	}
	packtest.ExpectNothingDangles(t, conn)
	packtest.ExpectExact(t, conn)
	if n := packtest.Get[int](t, conn, "SELECT count(*) FROM object_state"); n != 160 {
		t.Errorf("%d objects are stored, want 160", n)
	}
}

func TestAScanThatWasInterruptedEndsWithAComparison(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewOrchard(t)
	stop := make(chan struct{})
	o := duringScan(5, func() { close(stop) })
	o.Stop = stop
	if _, err := pack.Run(t.Context(), target, o, packtest.Log(t)); fault.ExitCode(err) != fault.ExitInterrupted {
		t.Fatalf("pack: %v", err)
	}
	if n := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.scan_range"); n == 0 {
		t.Error("nothing was left to read")
	}
	report := packtest.Pack(t, target, packtest.Everything)
	if !report.FirstBuild || !report.Compared {
		t.Errorf("first build %v, compared %v", report.FirstBuild, report.Compared)
	}
	packtest.ExpectExact(t, conn)
	if n := packtest.Get[int](t, conn, "SELECT count(*) FROM object_state"); n != 80 {
		t.Errorf("%d objects are stored, want 80", n)
	}
}

// The walk goes by zoid, and most objects have a higher one than what refers to
// them; what has not must be found all the same.
func TestTheWalkFromTheRootNeedsNoOrderOfZoids(t *testing.T) {
	t.Parallel()
	const high = int64(1) << 40 // beyond what the walk has bits for
	for name, zoid := range map[string]func(int64) int64{
		"ascending":           func(i int64) int64 { return i },
		"descending":          func(i int64) int64 { return 11000 - i },
		"mixed":               func(i int64) int64 { return i*4999%6007 + 1 },
		"mixed, some high":    func(i int64) int64 { return i*4999%6007 + 1 + i%3%2*high },
		"descending and high": func(i int64) int64 { return high - i },
		"the highest":         func(i int64) int64 { return math.MaxInt64 - i*4999%6007 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewStorage(t)
			// 1 to 3000 are a tree, with a chain to 4000 from its end; the rest
			// is the like, but not alive. Each refers to one before, and some to
			// what is on the other side or not stored.
			l := packtest.Links{0: {zoid(1)}}
			for i := int64(1); i <= 6000; i++ {
				refs := []int64{zoid(max(i/2, 1)), zoid(i)}
				switch {
				case i <= 1500 || i > 4000 && i < 5000:
					refs = append(refs, zoid(2*i), zoid(2*i+1))
				case i >= 3000 && i < 4000:
					refs = append(refs, zoid(i+1))
				case i >= 5000:
					refs = append(refs, zoid(i-1000), zoid(i%3000+1), zoid(6000+i%7))
				}
				l[zoid(i)] = refs
			}
			packtest.Load(t, conn, l)
			o := packtest.Everything
			o.DryRun = true
			stop := make(chan struct{})
			o.Stop = stop
			o.Progress = &packtest.Hooks{OnAdd: func(name string, _ int64) {
				if name == "scan" {
					close(stop)
				}
			}}
			if _, err := pack.Run(t.Context(), target, o, packtest.Log(t)); fault.ExitCode(err) != fault.ExitInterrupted {
				t.Fatalf("pack: %v", err)
			}
			for packtest.Get[string](t, conn, "SELECT graph FROM relpack.storage") != "current" {
				// Every step is lost at first.
				if err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
					if _, err := tx.Exec(t.Context(), "SELECT relpack.build_step()"); err != nil {
						return err
					}
					return fault.Interrupted
				}); err != fault.Interrupted {
					t.Fatal(err)
				}
				packtest.Run(t, conn, "SELECT relpack.build_step()")
			}
			packtest.DryRun(t, target)
			packtest.ExpectExact(t, conn)
			if got := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.object WHERE parent IS NOT NULL"); got < 3500 || got > 4500 {
				t.Errorf("%d objects are alive: this tests nothing", got)
			}
		})
	}
}

func TestAFirstBuildTakesAnyOid(t *testing.T) {
	t.Parallel()
	const highest = 1<<63 - 1
	target, conn := packtest.NewStorage(t)
	packtest.CommitAt(t, conn, 48*time.Hour, packtest.Links{0: {1, highest}, 1: nil, highest: {highest, highest - 1}, highest - 1: {0}, 1 << 40: {highest - 2}, highest - 2: nil})
	packtest.Commit(t, conn, packtest.Links{1: nil})
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, highest-1, highest)
	packtest.Commit(t, conn, packtest.Links{highest: {highest}})
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, highest)
	packtest.ExpectExact(t, conn)
}
