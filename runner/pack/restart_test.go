package pack_test

import (
	"os"
	"path/filepath"
	"testing"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
)

// restart starts a server that was stopped, as a DBA would, and goes on.
func restart(s *packtest.Sample, server *pgtest.Server) {
	s.T.Helper()
	if err := server.Restart(s.T.Context()); err != nil {
		s.T.Fatal(err)
	}
	s.Conn = packtest.Session(s.T, s.Target)
}

func TestAPackWhoseServerStopsInAnyPhaseIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	server := packtest.NewServer(t)
	s := packtest.NewSampleOn(t, server, "")
	for _, at := range []struct {
		stage  string
		phases []string
	}{
		{zodbtest.Small, []string{"prepare", "scan", "during scan", "index", "fill", "reach", "capture", "choose", "sweep", "blobs", "vacuum"}},
		{zodbtest.Changes, []string{"capture", "apply", "reach", "sweep"}},
	} {
		s.Survive(at.stage, func() {
			for _, phase := range at.phases {
				met, err := packtest.PackWith(t, s.Target, phase, func() {
					if err := server.StopImmediate(); err != nil {
						t.Error(err)
					}
				})
				if !met {
					t.Fatalf("no phase %s after %s: %v", phase, at.stage, err)
				}
				packtest.ExpectFailed(t, err)
				_, err = pack.Run(t.Context(), s.Target, packtest.Everything, packtest.Log(t))
				packtest.ExpectFailed(t, err, "can't connect to ")
				restart(s, server)
			}
		})
	}
	t.Run("and comes back as a standby", func(t *testing.T) { comesBackAsStandby(t, s, server) })
}

// comesBackAsStandby ends with a promotion.
func comesBackAsStandby(t *testing.T, s *packtest.Sample, server *pgtest.Server) {
	s.Survive(zodbtest.MoreChanges, func() {
		packtest.Run(t, s.Conn, "ALTER SYSTEM SET hot_standby = off")
		_, err := packtest.PackWith(t, s.Target, "sweep", func() {
			if err := server.StopImmediate(); err != nil {
				t.Error(err)
			}
		})
		packtest.ExpectFailed(t, err, "the connection to the server was lost")
		signal := filepath.Join(server.Dir(), "data", "standby.signal")
		if err := os.WriteFile(signal, nil, 0o644); err != nil {
			t.Fatal(err)
		}

		// In recovery, and answering nobody.
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err = pack.Run(t.Context(), s.Target, packtest.Everything, packtest.Log(t))
		packtest.ExpectFailed(t, err, "can't connect to ", "57P03")

		auto := filepath.Join(server.Dir(), "data", "postgresql.auto.conf")
		if err := os.WriteFile(auto, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		restart(s, server)
		all := packtest.Stored(t, s.Conn)
		_, err = pack.Run(t.Context(), s.Target, packtest.Everything, packtest.Log(t))
		packtest.ExpectError(t, err, fault.ExitRefused, "the server is a standby", "Name the primary")
		packtest.ExpectZoids(t, "stored on the standby", packtest.Stored(t, s.Conn), all)

		packtest.Run(t, s.Conn, "SELECT pg_promote()")
	})
}
