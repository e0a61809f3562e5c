-- An undo of a transaction whose predecessors are gone would un-create objects:
-- RelStorage undoes no transaction that is marked as packed. An earlier trim may have come
-- further: see relpack.trim_marks().
CREATE OR REPLACE FUNCTION relpack.trim_mark(
    until_tid bigint, after_tid bigint, batch integer,
    OUT marked bigint, OUT last_tid bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_known bigint;
    v_until bigint;
    v_tids bigint[];
BEGIN
    PERFORM relpack.trim_held();
    v_known := relpack.trim_marks(0);
    UPDATE relpack.storage SET marked_tid = v_known WHERE marked_tid < 0 OR marked_tid > v_known; -- unless a TRUNCATE came in between
    v_until := greatest(until_tid, v_known);
    v_tids := ARRAY(
        SELECT tid
        FROM public.transaction
        WHERE tid > greatest(after_tid, 0) AND tid <= v_until AND packed IS NOT TRUE
        ORDER BY tid
        LIMIT batch);
    last_tid := v_tids[batch];
    marked := 0;
    -- A commit before RelStorage 3.0 locks the whole table: it is not waited for in vain.
    IF cardinality(v_tids) > 0 THEN
        PERFORM relpack.require_history();
        UPDATE public.transaction SET packed = true WHERE tid = ANY (v_tids);
        GET DIAGNOSTICS marked = ROW_COUNT;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.trim_mark(bigint, bigint, integer) IS
    'Marks transactions up to until_tid as packed, or as far as an earlier trim has come, so that nobody undoes them: a '
    'batch of those after after_tid; last_tid: the last of these, NULL where there are no more.';
