package runner

import (
	"os"
	"path/filepath"
	"testing"

	"relpack/runner/fault"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// newSampleOn is the sample storage on such a server. How the database is
// created may be said in SQL.
func newSampleOn(t *testing.T, server *pgtest.Server, created string) *sample {
	t.Helper()
	target := target.Target{
		Name: "main", DSN: server.DSN("postgres"), BlobDir: t.TempDir(),
		CommitLockTimeout: target.DefaultLockTimeout, BatchTimeout: target.DefaultBatchTimeout,
	}
	run(t, sessionOn(t, target), "CREATE DATABASE site "+created)
	target.DSN = server.DSN("site")
	s := &sample{t, target, sessionOn(t, target)}
	if err := zodbtest.CreateStorage(t.Context(), s.conn, zodbtest.V42); err != nil {
		t.Fatal(err)
	}
	if err := zodbtest.Install(t.Context(), s.conn); err != nil {
		t.Fatal(err)
	}
	loadSmall(t, s.conn, target.BlobDir)
	return s
}

// restart starts a server that was stopped, as a DBA would, and goes on.
func restart(s *sample, server *pgtest.Server) {
	s.t.Helper()
	if err := server.Restart(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.conn = sessionOn(s.t, s.target)
}

func TestAPackWhoseServerStopsInAnyPhaseIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	s := newSampleOn(t, server, "")
	for _, at := range []struct {
		stage  string
		phases []string
	}{
		{zodbtest.Small, []string{"prepare", "scan", "during scan", "index", "fill", "reach", "capture", "choose", "sweep", "blobs", "vacuum"}},
		{zodbtest.Changes, []string{"capture", "apply", "reach", "sweep"}},
	} {
		s.survive(at.stage, func() {
			for _, phase := range at.phases {
				met, err := packWith(t, s.target, phase, func() {
					if err := server.StopImmediate(); err != nil {
						t.Error(err)
					}
				})
				if !met {
					t.Fatalf("no phase %s after %s: %v", phase, at.stage, err)
				}
				expectFailed(t, err)
				_, err = pack.Run(t.Context(), s.target, everything, testLog(t))
				expectFailed(t, err, "can't connect to ")
				restart(s, server)
			}
		})
	}
	t.Run("and comes back as a standby", func(t *testing.T) { comesBackAsStandby(t, s, server) })
}

// comesBackAsStandby ends with a promotion.
func comesBackAsStandby(t *testing.T, s *sample, server *pgtest.Server) {
	s.survive(zodbtest.MoreChanges, func() {
		run(t, s.conn, "ALTER SYSTEM SET hot_standby = off")
		_, err := packWith(t, s.target, "sweep", func() {
			if err := server.StopImmediate(); err != nil {
				t.Error(err)
			}
		})
		expectFailed(t, err, "the connection to the server was lost")
		signal := filepath.Join(server.Dir(), "data", "standby.signal")
		if err := os.WriteFile(signal, nil, 0o644); err != nil {
			t.Fatal(err)
		}

		// In recovery, and answering nobody.
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err = pack.Run(t.Context(), s.target, everything, testLog(t))
		expectFailed(t, err, "can't connect to ", "57P03")

		auto := filepath.Join(server.Dir(), "data", "postgresql.auto.conf")
		if err := os.WriteFile(auto, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		restart(s, server)
		all := stored(t, s.conn)
		_, err = pack.Run(t.Context(), s.target, everything, testLog(t))
		expectExit(t, err, fault.ExitRefused, "the server is a standby", "Name the primary")
		expectZoids(t, "stored on the standby", stored(t, s.conn), all)

		run(t, s.conn, "SELECT pg_promote()")
	})
}
