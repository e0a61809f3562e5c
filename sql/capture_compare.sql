-- Every (zoid, tid) of the storage against the graph, those above the
-- watermark too, as in relpack.capture_list. A tid above what was collected tells
-- nothing of the state, should the graph have it: what it was read ahead of may be
-- forgotten.
CREATE OR REPLACE FUNCTION relpack.capture_compare()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
AS $$
DECLARE
    v_collected bigint := (SELECT listed_tid FROM relpack.storage);
    v_count bigint;
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.lock_storage();
    IF relpack.keeps_history() THEN
        -- The newest tid tells nothing of those before it.
        INSERT INTO relpack.pending (zoid)
        SELECT stored.zoid FROM relpack.stored()
        UNION
        SELECT object.zoid FROM relpack.object
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS v_count = ROW_COUNT;
        RETURN v_count;
    END IF;
    INSERT INTO relpack.pending (zoid)
    SELECT coalesce(stored.zoid, object.zoid)
    FROM relpack.stored()
    FULL JOIN relpack.object ON object.zoid = stored.zoid
    WHERE stored.tid IS DISTINCT FROM object.tid OR stored.tid > v_collected
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END;
$$;

COMMENT ON FUNCTION relpack.capture_compare() IS
    'Compares every object''s tid with the graph and puts what differs into relpack.pending; returns how many. '
    'Reads all of object_state and relpack.object once. In a history-preserving storage all objects count as different.';
