package runner

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"relpack/migrations"
	"relpack/runner/fault"
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
			h := newHouse(t)
			commitAt(t, h.as(t, h.app), 48*time.Hour, garden)
			dryRun(t, as(h.target, h.owner))
			mischief := newRole(t, h.admin)
			run(t, h.admin, "GRANT pg_read_all_stats TO "+h.owner)
			monitor := as(h.target, h.owner)
			conn := h.as(t, mischief)
			run(t, conn, "SET application_name = 'mischief'")
			run(t, conn, c.statement)
			pid := conn.PgConn().PID()
			seen, err := status.Look(t.Context(), monitor, migrations.Files, testLog(t))
			if err != nil || len(seen.Graph.WritersLock) != 1 {
				t.Fatalf("%+v, %v", seen.Graph, err)
			}
			var text bytes.Buffer
			if err := seen.Write(&text); err != nil {
				t.Fatal(err)
			}
			expectWords(t, text.String(), "writers' lock", fmt.Sprintf("pid %d, application \"mischief\" of role %s, %s", pid, mischief, c.says))

			impatient := as(h.target, h.owner)
			impatient.CommitLockTimeout = time.Second
			_, err = pack.Run(t.Context(), impatient, everything, testLog(t))
			expectError(t, err, fault.ExitFailure, "gave up", fmt.Sprintf("pid %d (mischief", pid))
			expectStored(t, h.admin, 0, 1, 2, 10, 11, 12, 13)
			run(t, conn, "SELECT pg_advisory_unlock_all()")
			seen, err = status.Look(t.Context(), monitor, migrations.Files, testLog(t))
			if err != nil || len(seen.Graph.WritersLock) != 0 {
				t.Errorf("%+v, %v", seen.Graph, err)
			}
			packStorage(t, as(h.target, h.owner), everything)
			expectStored(t, h.admin, 0, 1, 2)
		})
	}
}
