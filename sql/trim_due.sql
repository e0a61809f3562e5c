-- As relpack.trim_transactions() decides, after relpack.trim_mark(). Each is looked up: a
-- plan that goes through object_state for a few would take as long as a build.
CREATE OR REPLACE FUNCTION relpack.trim_due(until_tid bigint)
RETURNS bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    v_until bigint := relpack.trim_marks(until_tid);
BEGIN
    RETURN (
        SELECT count(*)
        FROM relpack.emptied
        WHERE since < clock_timestamp() - interval '7 days'
          AND tid < relpack.time_to_tid(clock_timestamp() - interval '24 hours')
          AND tid < (SELECT max(newest.tid) FROM public.transaction AS newest)
          AND EXISTS (
              SELECT FROM public.transaction
              WHERE transaction.tid = emptied.tid AND (transaction.packed OR transaction.tid <= v_until)
              OFFSET 0)
          AND NOT EXISTS (SELECT FROM public.object_state WHERE object_state.tid = emptied.tid OFFSET 0)
          AND NOT EXISTS (SELECT FROM public.object_state WHERE object_state.prev_tid = emptied.tid OFFSET 0));
END;
$$;

COMMENT ON FUNCTION relpack.trim_due(bigint) IS
    'For a dry run: how many transactions relpack.trim_transactions() would remove, after relpack.trim_mark() up to until_tid.';
