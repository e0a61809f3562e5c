-- The pack time of a history-preserving storage, and the graph that belongs to it. What
-- is to be read again is listed in the transaction that moves the horizon: whatever is
-- not in relpack.pending has the references of what is kept up to horizon_tid. Another
-- horizon keeps other revisions only of objects that have one in between, besides
-- others.
CREATE OR REPLACE FUNCTION relpack.horizon_move(pack_time timestamptz, OUT until_tid bigint, OUT listed bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_storage relpack.storage;
BEGIN
    PERFORM relpack.trim_require();
    until_tid := relpack.trim_until(pack_time);
    listed := 0;
    SELECT * INTO STRICT v_storage FROM relpack.storage;
    IF v_storage.graph IN ('current', 'doubtful') THEN
        until_tid := least(until_tid, v_storage.applied_tid);
        INSERT INTO relpack.pending (zoid)
        SELECT DISTINCT changed.zoid
        FROM relpack.stored() AS changed
        WHERE changed.tid > least(v_storage.horizon_tid, until_tid)
          AND changed.tid <= greatest(v_storage.horizon_tid, until_tid)
          AND EXISTS (SELECT FROM relpack.stored() AS another WHERE another.zoid = changed.zoid AND another.tid <> changed.tid)
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS listed = ROW_COUNT;
    ELSIF v_storage.graph <> 'none' THEN
        RAISE EXCEPTION 'the graph is not built yet' USING ERRCODE = 'RP002', HINT = 'Run "relpack pack".';
    END IF;
    UPDATE relpack.storage
    SET horizon_tid = horizon_move.until_tid,
        horizon_capped = coalesce(pack_time, 'infinity') < 'infinity',
        doomed_tid = 0;
END;
$$;

COMMENT ON FUNCTION relpack.horizon_move(timestamptz) IS
    'Fixes up to which tid a pack of a history-preserving storage with this pack time goes (until_tid: relpack.trim_until(), '
    'but not beyond what was applied), and has the objects read again of which it keeps other revisions than the graph '
    'knows: so many (listed). For the session that holds the pack lock.';
