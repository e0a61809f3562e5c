package pack_test

import (
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/pack"
	"relpack/runner/verify"
)

// terminate ends one of relpack's sessions, as a DBA would, and tells whether
// there was one. The server does it at its next opportunity.
const terminate = `SELECT count(pg_terminate_backend(pid)) FROM (
	SELECT pid FROM pg_stat_activity
	WHERE datname = current_database() AND application_name LIKE 'relpack %'
	ORDER BY md5(pid::text || $1) LIMIT 1) AS chosen`

func TestAPackWhoseSessionIsTerminatedIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	const rounds = 6
	statements := map[string]int{}
	reference := packtest.NewSample(t)
	for _, stage := range packtest.Stages {
		reference.Survive(stage, func() {
			counter := &packtest.Crasher{Left: math.MaxInt}
			if _, err := pack.Run(t.Context(), reference.Target, packtest.Ranged(), slog.New(counter)); err != nil {
				t.Fatal(err)
			}
			statements[stage] = math.MaxInt - counter.Left
		})
	}
	var ended atomic.Int64
	t.Run("rounds", func(t *testing.T) {
		for round := range rounds {
			t.Run(fmt.Sprint(round), func(t *testing.T) {
				t.Parallel()
				random := rand.New(rand.NewPCG(11, uint64(round)))
				s := packtest.NewSample(t)
				killer := packtest.Session(t, s.Target)
				for _, stage := range packtest.Stages {
					after := 1 + (round*statements[stage]+random.IntN(statements[stage]))/rounds
					s.Survive(stage, func() {
						// Every other time in the middle of the next statement.
						done := make(chan struct{})
						act := func() {
							_, _ = killer.Exec(t.Context(), terminate, fmt.Sprint(round))
							close(done)
						}
						c := &packtest.Crasher{Left: after, Cancel: func() {
							if round%2 == 0 {
								act()
							} else {
								go act()
							}
						}}
						_, err := pack.Run(t.Context(), s.Target, packtest.Ranged(), slog.New(c))
						if c.Left <= 0 {
							<-done
						}
						if err != nil {
							t.Logf("%s, terminated after %s", stage, fault.OneLine(c.Last))
							packtest.ExpectFailed(t, err, "the connection to the server was lost", "the next run continues")
							ended.Add(1)
						}
					})
				}
			})
		}
	})
	if got := ended.Load(); got < rounds*3/2 {
		t.Errorf("%d of %d packs were ended", got, rounds*3)
	}
}

// The scan's own sessions must not go on when another pack may begin.
func TestAScanEndsWithTheSessionThatHoldsThePackLock(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewTown(t) // all of one class: a new one is looked up by that session
	want := packtest.Without(packtest.Stored(t, conn), packtest.Unreachable(t, conn))
	watcher := packtest.Session(t, target)
	adds, left := 0, -1
	o := packtest.Everything
	o.RangeBlocks = 2
	o.Progress = &packtest.Hooks{OnAdd: func(name string, _ int64) {
		if adds++; name != "scan" || adds != 3 {
			return
		}
		packtest.Run(t, watcher, `SELECT pg_terminate_backend(pid) FROM relpack.pack_lock_holder()`)
		packtest.Until(t, "the pack lock is free", func() bool {
			return packtest.Get[int](t, watcher, "SELECT count(*) FROM relpack.pack_lock_holder()") == 0
		})
		left = packtest.Get[int](t, watcher, "SELECT count(*) FROM relpack.scan_range")
	}}
	_, err := pack.Run(t.Context(), target, o, packtest.Log(t))
	packtest.ExpectFailed(t, err, "the session that holds the pack lock has ended", "the next run continues")
	// The other worker may have looked just before.
	if now := packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.scan_range"); left < 10 || now < left-1 {
		t.Errorf("%d ranges were left when the pack lock was lost, %d are", left, now)
	}
	packtest.UntilGone(t, conn)
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, want...)
	packtest.ExpectExact(t, conn)
}

func TestAVerificationWhoseSessionIsTerminatedSaysSo(t *testing.T) {
	t.Parallel()
	s := packtest.NewSample(t)
	packtest.DryRun(t, s.Target)
	o := packtest.VerifyOptions(false)
	o.Progress = &packtest.Hooks{OnPhase: func(name string) {
		if name == "verify" {
			packtest.Run(t, s.Conn, "SELECT pg_terminate_backend(pid, 60000) FROM relpack.pack_lock_holder()")
		}
	}}
	_, err := verify.Run(t.Context(), s.Target, o, packtest.Log(t))
	packtest.ExpectFailed(t, err, "the connection to the server was lost")
	packtest.ExpectVerified(t, s)
}
