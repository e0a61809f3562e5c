package runner

import (
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"relpack/runner/fault"
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
	reference := newSample(t)
	for _, stage := range stages {
		reference.survive(stage, func() {
			counter := &crasher{left: math.MaxInt}
			if _, err := pack.Run(t.Context(), reference.target, ranged(), slog.New(counter)); err != nil {
				t.Fatal(err)
			}
			statements[stage] = math.MaxInt - counter.left
		})
	}
	var ended atomic.Int64
	t.Run("rounds", func(t *testing.T) {
		for round := range rounds {
			t.Run(fmt.Sprint(round), func(t *testing.T) {
				t.Parallel()
				random := rand.New(rand.NewPCG(11, uint64(round)))
				s := newSample(t)
				killer := sessionOn(t, s.target)
				for _, stage := range stages {
					after := 1 + (round*statements[stage]+random.IntN(statements[stage]))/rounds
					s.survive(stage, func() {
						// Every other time in the middle of the next statement.
						done := make(chan struct{})
						act := func() {
							_, _ = killer.Exec(t.Context(), terminate, fmt.Sprint(round))
							close(done)
						}
						c := &crasher{left: after, cancel: func() {
							if round%2 == 0 {
								act()
							} else {
								go act()
							}
						}}
						_, err := pack.Run(t.Context(), s.target, ranged(), slog.New(c))
						if c.left <= 0 {
							<-done
						}
						if err != nil {
							t.Logf("%s, terminated after %s", stage, fault.OneLine(c.last))
							expectFailed(t, err, "the connection to the server was lost", "the next run continues")
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
	target, conn := newTown(t) // all of one class: a new one is looked up by that session
	want := without(stored(t, conn), unreachable(t, conn))
	watcher := sessionOn(t, target)
	adds, left := 0, -1
	o := everything
	o.RangeBlocks = 2
	o.Progress = &hooks{add: func(name string, _ int64) {
		if adds++; name != "scan" || adds != 3 {
			return
		}
		run(t, watcher, `SELECT pg_terminate_backend(pid) FROM relpack.pack_lock_holder()`)
		until(t, "the pack lock is free", func() bool {
			return get[int](t, watcher, "SELECT count(*) FROM relpack.pack_lock_holder()") == 0
		})
		left = get[int](t, watcher, "SELECT count(*) FROM relpack.scan_range")
	}}
	_, err := pack.Run(t.Context(), target, o, testLog(t))
	expectFailed(t, err, "the session that holds the pack lock has ended", "the next run continues")
	// The other worker may have looked just before.
	if now := get[int](t, conn, "SELECT count(*) FROM relpack.scan_range"); left < 10 || now < left-1 {
		t.Errorf("%d ranges were left when the pack lock was lost, %d are", left, now)
	}
	relpackGone(t, conn)
	packStorage(t, target, everything)
	expectStored(t, conn, want...)
	expectExact(t, conn)
}

func TestAVerificationWhoseSessionIsTerminatedSaysSo(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	dryRun(t, s.target)
	o := verifyOptions(false)
	o.Progress = &hooks{phase: func(name string) {
		if name == "verify" {
			run(t, s.conn, "SELECT pg_terminate_backend(pid, 60000) FROM relpack.pack_lock_holder()")
		}
	}}
	_, err := verify.Run(t.Context(), s.target, o, testLog(t))
	expectFailed(t, err, "the connection to the server was lost")
	expectVerified(t, s)
}
