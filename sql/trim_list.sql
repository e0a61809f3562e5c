-- By index on tid, then on the object: what was not written since costs nothing.
CREATE OR REPLACE FUNCTION relpack.trim_list(until_tid bigint)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_since bigint;
BEGIN
    PERFORM relpack.require_pack_lock(history => true);
    PERFORM relpack.lock_storage(history => true);
    v_since := relpack.trim_since();
    IF v_since = 0 THEN
        RETURN false;
    END IF;
    INSERT INTO relpack.to_trim (zoid)
    SELECT DISTINCT changed.zoid
    FROM public.object_state AS changed
    WHERE changed.tid > v_since
      AND changed.tid <= until_tid
      AND EXISTS (SELECT FROM public.object_state AS older WHERE older.zoid = changed.zoid AND older.tid < changed.tid OFFSET 0)
    ON CONFLICT DO NOTHING;
    RETURN true;
END;
$$;

COMMENT ON FUNCTION relpack.trim_list(bigint) IS
    'Lists in relpack.to_trim the objects of which a trim up to until_tid may take a revision, so that '
    'relpack.trim_find(listed => true) looks at these only. False: nobody knows which these are (relpack.trim_since()), '
    'and a trim has to go through all objects. For the session that holds the pack lock.';
