package runner

import (
	"testing"
)

// A modelFault is a mistake in the server code: in a function, each text is
// replaced by the one after it.
type modelFault struct {
	name  string
	in    string
	parts []string
}

var modelFaults = []modelFault{
	// Reachability.
	{"a live referrer does not attach", "loosen",
		[]string{"AND object.parent IS NOT NULL\n            LIMIT 1", "AND false\n            LIMIT 1"}},
	{"life does not flow on", "reach_step",
		[]string{"PERFORM relpack.flow();", "DELETE FROM relpack.suspect WHERE stage = 'flow';"}},
	{"life flows one walk far", "flow_narrow",
		[]string{"IF v_found = v_limit THEN", "IF false THEN"}},
	{"life flows one level far", "flow",
		[]string{"SELECT zoid, 'flow' FROM attached", "SELECT zoid, 'judged' FROM attached"}},
	{"subtrees are not detached first", "reach_step",
		[]string{"PERFORM relpack.cut();", "UPDATE relpack.suspect SET stage = 'loose' WHERE stage = 'cut';"}},
	{"a subtree is detached one walk far", "cut_narrow",
		[]string{"CASE v_found WHEN v_limit THEN 'cut' ELSE 'loose' END", "'loose'"}},
	{"a climb stops below the root", "climb",
		[]string{"WHERE at = 0\n", "WHERE depth >= 0\n"}},
	{"the first build walks one stretch far", "grow_narrow",
		[]string{"RETURN CASE v_found WHEN v_limit THEN v_limit ELSE 0 END;", "RETURN 0;"}},

	// Applying.
	{"gone references do not detach", "apply",
		[]string{"WHERE object.zoid = gone.zoid AND object.parent = gone.inref", "WHERE object.zoid = gone.zoid AND false"}},
	{"detached targets of new references are not suspected", "apply",
		[]string{"WHERE object.zoid = born.zoid AND object.parent IS NULL", "WHERE false"}},
	{"new objects are not suspected", "apply",
		[]string{"SELECT zoid, 'climb' FROM born", "SELECT zoid, 'climb' FROM born WHERE false"}},
	{"old references of what was written after the watermark go", "apply",
		[]string{"(examined.tid > v_watermark) IS NOT TRUE", "true"}},
	{"guesses need not name anything", "apply",
		[]string{"WHERE guessed\n", "WHERE false\n"}},

	// Capture.
	{"restored rows make no event", "report_write",
		[]string{"WHERE (written.tid > v_watermark) IS NOT TRUE", "WHERE false"}},
	{"REPEATABLE READ is taken for READ COMMITTED", "report_write",
		[]string{"IF current_setting('transaction_isolation') = 'read committed' THEN", "IF true THEN"}},
	{"deletions make no event", "report_delete",
		[]string{"        SELECT 'deleted', deleted.zoid, deleted.tid\n        FROM deleted;", "        SELECT 'deleted', deleted.zoid, deleted.tid\n        FROM deleted WHERE false;"}},
	{"TRUNCATE makes no event", "report_truncate",
		[]string{"INSERT INTO relpack.write_event (kind) VALUES ('truncated');", ""}},
	{"nothing is compared", "collect",
		[]string{"PERFORM relpack.compare();", ""}},
	{"triggers that were off are not noticed", "doubt",
		[]string{"THEN 'relpack''s triggers were disabled or replaced for a while'", "THEN NULL"}},
	{"salvaged objects are not read again", "collect",
		[]string{"SELECT zoid FROM relpack.problem WHERE kind = 'salvaged'", "SELECT zoid FROM relpack.problem WHERE false"}},

	// Grace.
	{"the grace is one tid too short", "doom",
		[]string{"greatest(object.tid, object.detached_tid) > v_tid\n", "greatest(object.tid, object.detached_tid) > v_tid + 1\n"}},
	{"the grace is one tid too long", "doom",
		[]string{"greatest(object.tid, object.detached_tid) > v_tid\n", "greatest(object.tid, object.detached_tid) >= v_tid\n"}},
	{"the grace begins with the object's own tid", "doom",
		[]string{"greatest(object.tid, object.detached_tid) > v_tid\n", "object.tid > v_tid\n"}},
	{"an abandoned run starts the grace", "collect",
		[]string{"IF EXISTS (SELECT FROM relpack.pending) THEN", "IF false THEN"}},
	{"open transactions do not cap", "capped_pack_time",
		[]string{"least(pack_time, clock_timestamp(), v_oldest)", "least(pack_time, clock_timestamp())"}},
	{"captures do not cap", "capped_tid",
		[]string{"capture.read_until >= v_oldest", "false"}},
	{"what is reached by what stays is not spared", "doom",
		[]string{"PERFORM relpack.spare();", "UPDATE relpack.spared SET stage = 'done';"}},
	{"what is reached by what stays is spared one walk far", "spare_narrow",
		[]string{"CASE v_found WHEN v_limit THEN 'new' ELSE 'done' END", "'done'"}},
	{"the highest tid goes", "doom",
		[]string{"object.zoid = v_last\n", "false\n"}},
	{"what was chosen once needs no grace", "doom",
		[]string{"greatest(object.tid, object.detached_tid) > v_begun", "false"}},

	// Deleting.
	{"a sweep does not look at what was committed before its lock", "nothing_new",
		[]string{"THEN 'stale' ELSE 'nothing new' END", "THEN 'nothing new' ELSE 'nothing new' END"}},
	{"a sweep does not look at what was committed since the pack", "nothing_new",
		[]string{"    IF relpack.any_unreachable(v_mentioned, batch) THEN", "    IF false THEN"}},
	{"a sweep looks for its own batch only", "any_unreachable",
		[]string{"zoid = ANY (mentioned) AND parent IS NULL", "false"}},
	{"a sweep deletes what was written anew", "sweep",
		[]string{"count(*) FILTER (WHERE known.tid = locked.tid)", "count(known.tid)"}},
	{"a sweep leaves references behind", "sweep",
		[]string{"DELETE FROM relpack.object_inref WHERE inref = ANY (v_batch);", "PERFORM;"}},
	{"a sweep miscounts", "sweep",
		[]string{"inrefs = storage.inrefs - v_inrefs", "inrefs = storage.inrefs"}},
	{"an undecodable object does not block", "require_settled",
		[]string{"WHERE problem.blocks AND object.parent IS NOT NULL", "WHERE false"}},
	{"blobs do not get into the outbox", "report_delete",
		[]string{"WHERE object.class = 1\n", "WHERE false\n"}},
	{"a blob's class is taken from another revision", "report_delete",
		[]string{" AND known.tid = deleted.tid", ""}},
	{"TRUNCATE leaves the outbox", "report_truncate",
		[]string{"DELETE FROM relpack.blob_removal;", ""}},
}

// Histories that find nothing prove nothing: each mistake must be found by
// one of the first histories.
func TestEveryFaultIsFound(t *testing.T) {
	t.Parallel()
	histories := modelNumber(t, "RELPACK_FAULT_HISTORIES", 0)
	if histories == 0 {
		t.Skip("takes many minutes: make soak sets RELPACK_FAULT_HISTORIES")
	}
	for _, fault := range modelFaults {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			text, err := mutated(fault.in, fault.parts...)
			if err != nil {
				t.Fatal(err)
			}
			counts, found := searchHistories(t, func(w *modelWorker) { run(t, w.app, text) }, 1, histories, 1, false)
			if found == nil {
				t.Fatalf("%d histories did not find it", counts["limits:drawn"])
			}
			t.Logf("found by history %d: %v", found.seed, found.err)
		})
	}
}
