-- current_object is the truth: an object that was set back to an older revision, or
-- has no current one, stays as it is. Its tid is compared so that no index on tid is used:
-- see relpack.sweep_history().
CREATE OR REPLACE FUNCTION relpack.trim_leaves(zoids bigint[])
RETURNS SETOF bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    RETURN QUERY
    SELECT chosen.zoid
    FROM unnest(zoids) AS chosen (zoid)
    WHERE NOT EXISTS (
        SELECT
        FROM public.current_object
        WHERE current_object.zoid = chosen.zoid
          AND (current_object.tid = (SELECT max(newest.tid) FROM public.object_state AS newest
                                     WHERE newest.zoid = chosen.zoid)) IS TRUE);
END;
$$;

COMMENT ON FUNCTION relpack.trim_leaves(bigint[]) IS
    'Which of these objects a trim leaves as they are: current_object does not name their newest revision.';
