package graph_test

import (
	"fmt"
	"testing"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
)

// What a pack writes by functions, in whichever of its sessions, is refused to
// everybody while another session holds the pack lock, and to those of a pack that
// has lost it.
func TestWhatAPackWritesIsWrittenForTheHolderOfThePackLockAlone(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.DryRun(t, target)
	holder := packtest.Session(t, target)
	if !packtest.Get[bool](t, holder, "SELECT relpack.try_pack_lock()") {
		t.Fatal("the pack lock is not to be had")
	}
	packtest.Run(t, conn, "INSERT INTO relpack.scan_range (first_block, last_block) VALUES (7, 8)")
	before := packtest.Get[string](t, conn, writtenByPacks)
	for call, state := range map[string]string{
		"scan_resume()":                                     fault.StateLocked,
		"reread_done()":                                     fault.StateLocked,
		"forget_referrer('other')":                          fault.StateLocked,
		"accept_if_missing('{1}')":                          fault.StateLocked,
		"pend(pg_backend_pid(), '{1}')":                     fault.StateLost,
		"run_begin(1, 'test')":                              fault.StateLost,
		"commit_durably(%[1]d, 1, 1)":                       fault.StateLost,
		"apply_join(%[1]d)":                                 fault.StateLost,
		"commit_durably(%[2]d, -1, 1)":                      fault.StateRefused, // it would wait for nobody
		"run_end(1, '', '', 1,1,1,1,1,1)":                   fault.StateLost,
		"scan_done(%[1]d, 7, 1, 1, 1, 0, '{1}', '{2}', '')": fault.StateLost,
	} {
		sql := fmt.Sprintf("SELECT relpack."+call+" /* %[1]d %[2]d */", conn.PgConn().PID(), holder.PgConn().PID())
		if _, err := conn.Exec(t.Context(), sql); !fault.IsState(err, state) {
			t.Errorf("%s: %v, want SQLSTATE %s", call, err, state)
		}
	}
	if after := packtest.Get[string](t, conn, writtenByPacks); after != before {
		t.Errorf("%s\nbecame\n%s", before, after)
	}
}

const writtenByPacks = `
	SELECT concat_ws(E'\n', (SELECT storage FROM relpack.storage), (SELECT array_agg(run ORDER BY id) FROM relpack.run),
	                 (SELECT array_agg(scan_range) FROM relpack.scan_range), (SELECT array_agg(pending) FROM relpack.pending),
	                 (SELECT array_agg(problem) FROM relpack.problem))`
