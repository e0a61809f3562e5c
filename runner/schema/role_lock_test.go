package schema_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/pack"
	"relpack/runner/status"
)

// PostgreSQL has no privilege for advisory locks: who stops the site with the
// writers' lock can't be kept from it, but is named.
func TestWhoHoldsTheWritersLockIsNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ statement, says string }{
		"exclusively": {"SELECT pg_advisory_lock(1919249520, 1)", "holds it exclusively: nobody can write to the storage until that ends"},
		"shared":      {"SELECT pg_advisory_lock_shared(1919249520, 1)", "holds it: relpack can't delete until that ends"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := packtest.NewHouse(t)
			packtest.CommitAt(t, h.As(t, h.App), 48*time.Hour, packtest.Garden)
			packtest.DryRun(t, packtest.As(h.Target, h.Owner))
			mischief := packtest.NewRole(t, h.Admin)
			packtest.Run(t, h.Admin, "GRANT pg_read_all_stats TO "+h.Owner)
			monitor := packtest.As(h.Target, h.Owner)
			conn := h.As(t, mischief)
			packtest.Run(t, conn, "SET application_name = 'mischief'")
			packtest.Run(t, conn, c.statement)
			pid := conn.PgConn().PID()
			seen, err := status.Look(t.Context(), monitor, migrations.Files, packtest.Log(t))
			if err != nil || len(seen.Graph.WritersLock) != 1 {
				t.Fatalf("%+v, %v", seen.Graph, err)
			}
			var text bytes.Buffer
			if err := seen.Write(&text); err != nil {
				t.Fatal(err)
			}
			packtest.ExpectWords(t, text.String(), "writers' lock", fmt.Sprintf("pid %d, application \"mischief\" of role %s, %s", pid, mischief, c.says))

			impatient := packtest.As(h.Target, h.Owner)
			impatient.CommitLockTimeout = time.Second
			_, err = pack.Run(t.Context(), impatient, packtest.Everything, packtest.Log(t))
			packtest.ExpectError(t, err, fault.ExitFailure, "gave up", fmt.Sprintf("pid %d (mischief", pid))
			packtest.ExpectStored(t, h.Admin, 0, 1, 2, 10, 11, 12, 13)
			packtest.Run(t, conn, "SELECT pg_advisory_unlock_all()")
			seen, err = status.Look(t.Context(), monitor, migrations.Files, packtest.Log(t))
			if err != nil || len(seen.Graph.WritersLock) != 0 {
				t.Errorf("%+v, %v", seen.Graph, err)
			}
			packtest.Pack(t, packtest.As(h.Target, h.Owner), packtest.Everything)
			packtest.ExpectStored(t, h.Admin, 0, 1, 2)
		})
	}
}
