package revision

import (
	"sync"
	"sync/atomic"
	"testing"

	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
)

// faults are mistakes in the server code: in a function, each text is replaced by the
// one after it. Histories must find each.
var faults = []struct {
	name, in string
	parts    []string
}{
	{"an object that was set back is trimmed", "trim_batch", []string{" AND (current_object.tid = found.tid) IS TRUE", ""}},
	{"what a later revision names goes", "trim_batch", []string{"IF v_followed_zoids IS NOT NULL", "IF false"}},
	{"what is named since a batch was judged goes", "trim_batch", []string{"relpack.trim_named(gone, v_tids, 0)", "relpack.trim_named('{}', '{}', 0)"}},
	{"what is named by one that can be undone goes", "trim_batch", []string{"relpack.trim_unmarked(v_tids || v_naming)", "relpack.trim_unmarked(v_tids)"}},
	{"nobody waits for undos and votes", "trim_settle", []string{"RETURN v_stage = 'settled';", "PERFORM set_config('relpack.settling', 'settled', false); RETURN true;"}},
	{"nobody waits for votes", "trim_writers", []string{"mode = 'ExclusiveLock'", "false"}},
	{"the newest revision up to the pack time goes", "trim_delete",
		[]string{"max(chosen.tid) AS newest", "max(chosen.tid) + 1 AS newest",
			"((stored.zoid, stored.tid) IN (SELECT unnest(zoids), unnest(tids))) IS TRUE", "true"}},
	{"what is older than one that goes goes as well", "trim_delete",
		[]string{"min(chosen.tid) AS oldest", "0 AS oldest",
			"((stored.zoid, stored.tid) IN (SELECT unnest(zoids), unnest(tids))) IS TRUE", "true"}},
	{"the last transaction is not marked", "trim_mark", []string{"tid <= v_until", "tid < v_until"}},
	{"nothing is marked", "trim_mark", []string{"WHERE tid = ANY (v_tids);", "WHERE false;"}},
	{"a whiteout stays", "trim_whiteouts", []string{"stored.tid <= until_tid", "stored.tid < until_tid"}},
	{"one of two revisions is passed over", "trim_find", []string{"max(read.tid) FILTER (WHERE read.place = rows_read AND", "max(read.tid) FILTER (WHERE read.place = rows_read + 1 OR"}},
}

// Histories that find nothing prove nothing.
func TestEveryFaultIsFound(t *testing.T) {
	t.Parallel()
	most := pgtest.Number(t, "RELPACK_FAULT_HISTORIES", 0)
	if most == 0 {
		t.Skip("takes a minute: make histories sets RELPACK_FAULT_HISTORIES")
	}
	var next atomic.Int64
	var group sync.WaitGroup
	for range 2 {
		w := newWorker(t)
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(faults)); i = next.Add(1) - 1 {
				fault := faults[i]
				t.Run(fault.name, func(t *testing.T) {
					if found := w.find(t, fault.in, fault.parts, most); found == 0 {
						t.Errorf("not found by %d histories", most)
					} else {
						t.Logf("found by seed %d", found)
					}
				})
			}
		})
	}
	group.Wait()
}

// find is the seed of the first history that fails because of a mistake, which is there
// until then.
func (w *worker) find(t *testing.T, in string, parts []string, most int64) (seed int64) {
	t.Helper()
	exec := func(parts ...string) {
		t.Helper()
		text, err := zodbtest.Mutated(in, parts...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.site.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	exec(parts...)
	defer exec()
	for seed := range most {
		if err := w.play(t.Context(), uint64(seed+1)); err != nil {
			return seed + 1
		}
	}
	return 0
}

// Histories are played seldom: a function that was written anew is found here.
func TestEveryFaultIsOneOfTheServerCode(t *testing.T) {
	t.Parallel()
	for _, fault := range faults {
		if _, err := zodbtest.Mutated(fault.in, fault.parts...); err != nil {
			t.Errorf("%s: %v", fault.name, err)
		}
	}
}
