package preserved

// faults are mistakes in the server code: in a function, each text is replaced by the
// one after it. The history drawn from the seed finds it; after a change of what is
// drawn, another one.
var faults = []struct {
	name, in string
	seed     uint64
	parts    []string
}{
	{"the pack time moves, and nothing is read again", "horizon_set", 1,
		[]string{"AND EXISTS (SELECT FROM relpack.stored() AS another", "AND false AND EXISTS (SELECT FROM relpack.stored() AS another"}},
	{"the pack time moves back, and nothing is read again", "horizon_set", 35,
		[]string{"changed.tid > greatest(least(v_storage.horizon_tid, goal_tid), v_storage.cleared_tid)", "changed.tid > v_storage.horizon_tid"}},
	{"the pack time moves on, and nothing is read again", "horizon_set", 1,
		[]string{"changed.tid <= greatest(v_storage.horizon_tid, goal_tid)", "changed.tid <= v_storage.horizon_tid"}},
	{"what a later revision names does not count", "trim_kept", 33,
		[]string{"later.prev_tid < v_first", "later.prev_tid < v_first AND false"}},
	{"the newest revision up to the pack time does not count", "trim_kept", 3,
		[]string{"stored.tid >= v_first)", "stored.tid > v_first)"}},
	{"only the newest revision counts", "trim_kept", 1,
		[]string{"IF v_first = v_newest THEN\n        RETURN NEXT v_first;", "IF true THEN\n        RETURN NEXT v_newest;"}},
	{"of what was set back only some revisions count", "trim_kept", 3,
		[]string{"IF v_first IS NOT NULL AND NOT EXISTS (", "IF false AND NOT EXISTS ("}},
	{"what is restored counts as trimmed", "capture_list", 123,
		[]string{"UPDATE relpack.storage SET cleared_tid = 0 WHERE cleared_tid <> 0;", "PERFORM;"}},
	{"a state that was exchanged is no news", "trigger_rewrite", 45,
		[]string{"AND replaced.state IS NOT DISTINCT FROM written.state", ""}},
	{"what was set back is trimmed", "trim_leaves", 3,
		[]string{"\n          AND (current_object.tid = (SELECT max(newest.tid) FROM public.object_state AS newest\n                                     WHERE newest.zoid = chosen.zoid)) IS TRUE", ""}},
	{"what is new is garbage like any other", "spare_young", 3,
		[]string{"least(applied_tid, horizon_tid)", "applied_tid"}},
	{"what was set back is garbage like any other", "spare_young", 5,
		[]string{"IF relpack.keeps_history() THEN\n        INSERT", "IF false THEN\n        INSERT"}},
	{"commits are not read", "capture_changes", 1,
		[]string{"SELECT DISTINCT stored.zoid\n        FROM relpack.stored()\n        WHERE stored.tid > applied", "SELECT DISTINCT stored.zoid\n        FROM relpack.stored()\n        WHERE stored.tid > applied AND false"}},
	{"deletions by others are silent", "trigger_delete", 49,
		[]string{"WHERE v_graph <> 'none'\n          AND NOT EXISTS (", "WHERE false\n          AND NOT EXISTS ("}},
	{"a setting that was never made is NULL, and so is what is compared with it", "trigger_delete", 1795936682,
		[]string{"'relpack.sweeping', true) IS NOT DISTINCT FROM", "'relpack.sweeping', true) ="}},
	{"a sweep does not look at what was committed meanwhile", "sweep_recheck", 17,
		[]string{"WHERE stored.tid > (SELECT applied_tid FROM relpack.storage)", "WHERE false"}},
	{"nobody looks for open transactions", "trim_until", 21,
		[]string{"CASE WHEN v_oldest IS NOT NULL THEN coalesce((", "CASE WHEN false THEN coalesce(("}},
	{"the last transaction is not marked", "trim_mark", 1, []string{"tid <= until_tid", "tid < until_tid"}},
	{"nothing is marked", "trim_mark", 1, []string{"WHERE tid = ANY (v_tids);", "WHERE false;"}},
	{"files go that an open transaction may read", "blobs_stamp", 12,
		[]string{"greatest(clock_timestamp(), v_begun)", "'-infinity'"}},
	{"files go of revisions that came back", "blobs_next", 20,
		[]string{"removal.tid = listed.tid\n          AND stored.zoid", "removal.tid = listed.tid AND false\n          AND stored.zoid"}},
	{"files of a blob stay as long as it is stored", "blobs_next", 12,
		[]string{"AND stored.zoid = listed.zoid AND stored.tid = listed.tid;", "AND stored.zoid = listed.zoid;"}},
	{"files of old revisions are forgotten", "trim_blobs", 10, []string{"WHERE position(", "WHERE false AND position("}},
	{"what was written since the last trim is not looked at", "trim_list", 1, []string{"changed.tid > v_since", "changed.tid > until_tid"}},
	{"what has a later revision than the pack time is not looked at", "trim_list", 1,
		[]string{"AND changed.tid <= until_tid", "AND changed.tid = (SELECT max(tid) FROM public.transaction)"}},
	{"after a restore only what is new is trimmed", "capture_list", 3,
		[]string{"IF v_reported OR v_storage.graph = 'doubtful' THEN\n        -- What was restored", "IF false THEN\n        -- What was restored"}},
}
