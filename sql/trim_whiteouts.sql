-- Objects that were deleted, or whose creation was undone. A range of blocks at a
-- time: no index tells what has no state. A row that moves meanwhile is the next
-- run's.
CREATE OR REPLACE FUNCTION relpack.trim_whiteouts(
    until_tid bigint, first_block bigint, blocks bigint,
    OUT zoids bigint[], OUT next_block bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET max_parallel_workers_per_gather = 0
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    PERFORM relpack.lock_storage(history => true);
    next_block := first_block + blocks;
    IF next_block > pg_relation_size('public.object_state') / current_setting('block_size')::bigint THEN
        next_block := NULL;
    END IF;
    zoids := ARRAY(
        SELECT stored.zoid
        FROM public.object_state AS stored
        JOIN public.current_object ON current_object.zoid = stored.zoid AND (current_object.tid = stored.tid) IS TRUE
        WHERE stored.state IS NULL
          AND stored.tid <= until_tid
          AND stored.ctid >= format('(%s,0)', first_block)::tid
          AND stored.ctid < format('(%s,0)', first_block + blocks)::tid
          AND NOT EXISTS (
              SELECT FROM public.object_state AS newer WHERE newer.zoid = stored.zoid AND newer.tid > stored.tid)
        ORDER BY stored.zoid);
END;
$$;

COMMENT ON FUNCTION relpack.trim_whiteouts(bigint, bigint, bigint) IS
    'Objects whose newest revision has no state and is not later than until_tid, in so many blocks of object_state; '
    'next_block: where to go on, NULL: that was all.';
