CREATE OR REPLACE FUNCTION relpack.trim_unmarked(tids bigint[])
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN EXISTS (
        SELECT
        FROM (SELECT DISTINCT unnest(tids) AS tid ORDER BY 1) AS wrote
        LEFT JOIN public.transaction ON transaction.tid = wrote.tid
        WHERE transaction.packed IS NOT TRUE);
END;
$$;

COMMENT ON FUNCTION relpack.trim_unmarked(bigint[]) IS
    'Whether one of these transactions can be undone: it is not marked as packed, or is not there, and may be restored.';
