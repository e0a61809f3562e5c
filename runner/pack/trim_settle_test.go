package pack_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
)

// settled tells whether a session that takes the pack lock now would go on at once.
func settled(t *testing.T, conn *pgx.Conn) bool {
	t.Helper()
	packtest.Run(t, conn, "SELECT relpack.try_pack_lock()")
	defer packtest.Run(t, conn, "SELECT relpack.release_pack_lock()")
	return packtest.Get[bool](t, conn, "SELECT relpack.trim_settle()")
}

func TestATrimWaitsForWhoHasVotedAndForNobodyElse(t *testing.T) {
	t.Parallel()
	for version, vote := range map[zodbtest.Version]string{
		zodbtest.V21: "UPDATE current_object SET tid = tid WHERE zoid = 7",
		zodbtest.V30: "SELECT FROM current_object WHERE zoid = 7 FOR UPDATE",
		zodbtest.V42: "SELECT pg_advisory_xact_lock(7)",
	} {
		file, h := newTrimmed(t, version)
		threeRevisions(t, h)
		other := packtest.Session(t, file)
		for _, test := range []struct {
			does string
			want bool
		}{
			{vote, false},
			{"SELECT FROM object_state", true},
			{"LOCK TABLE current_object IN SHARE UPDATE EXCLUSIVE MODE", true}, // as VACUUM does
			{"SELECT pg_advisory_xact_lock_shared(7)", true},                   // readCurrent
		} {
			packtest.Run(t, other, "BEGIN")
			packtest.Run(t, other, test.does)
			if got := settled(t, h.Conn); got != test.want {
				t.Errorf("%s: beside %s it is settled: %v", version, test.does, got)
			}
			packtest.Run(t, other, "COMMIT")
		}
		// A session of somebody else's may hold such a lock for ever.
		packtest.Run(t, other, "SELECT pg_advisory_lock(7)")
		if !settled(t, h.Conn) {
			t.Errorf("%s: a lock without a transaction is waited for", version)
		}
	}
}
