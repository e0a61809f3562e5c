package orphans_test

import (
	"testing"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
)

// Of a blob with a long history its many later revisions are read before writers have to
// wait. What is committed then is looked at while they wait.
func TestALongHistoryIsReadBeforeWritersWait(t *testing.T) {
	t.Parallel()
	s, a, unnamed := newPackedShelf(t)
	packtest.Run(t, s.conn, "SELECT relpack.try_pack_lock()")
	packtest.Run(t, s.conn, "CREATE TABLE list AS SELECT * FROM relpack.blobs_listed()")
	if got := s.removable(s.conn, a.Second, a.Now, "list", unnamed, unnamed-1); len(got) != 2 {
		t.Fatalf("%d", got)
	}
	packtest.Run(t, s.conn, "INSERT INTO transaction (tid, packed, username, description) VALUES ($1, true, '', '')", unnamed)
	// A commit of a client that had loaded the vanished revision.
	late := a.Write(t, 0, map[int64][]byte{2: zodbtest.Record(zodbtest.Blob)})
	packtest.Run(t, s.conn, "UPDATE object_state SET prev_tid = $1 WHERE zoid = 2 AND tid = $2", unnamed, late)
	if got := s.removable(s.conn, a.Second, a.Now, "list", unnamed, unnamed-1); len(got) != 1 || got[0] != unnamed-1 {
		t.Errorf("an undo of what was committed since would look for the first of them: %d may go", got)
	}
	const judged = `SELECT verdict FROM relpack.blobs_judge('{2}', ARRAY[$1::bigint], 0, $2)`
	for after, want := range map[int64]string{0: "missing", late - 1: "missing", late: "unnamed"} {
		if got := packtest.Get[string](t, s.conn, judged, unnamed, after); got != want {
			t.Errorf("asked about undos of what is later than %d: %s, want %s", after, got, want)
		}
	}
	packtest.Run(t, s.conn, "UPDATE object_state SET prev_tid = $1 WHERE zoid = 2 AND tid = $2", unnamed, a.Now)
	packtest.Run(t, s.conn, "UPDATE object_state SET prev_tid = $1 WHERE zoid = 2 AND tid = $2", a.Now, late)
	packtest.Run(t, s.conn, "DELETE FROM relpack.write_event")
	if got := s.removable(s.conn, a.Second, a.Now, "list", unnamed, unnamed-1); len(got) != 1 || got[0] != unnamed-1 {
		t.Errorf("an undo of what was captured would look for the first of them: %d may go", got)
	}
}
