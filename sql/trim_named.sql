-- Each index is said, whatever the planner expects: that on prev_tid has the revisions of
-- other objects as well. It serves an object of which many are asked about, and that has
-- far more: of these the rows between the tids that were asked for are compared. "IS TRUE"
-- makes a lookup in a hash of it.
CREATE OR REPLACE FUNCTION relpack.trim_named(
    zoids bigint[], tids bigint[], after_tid bigint,
    OUT zoid bigint, OUT tid bigint, OUT named_by bigint)
RETURNS SETOF record
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan
SET work_mem = '16MB'
AS $$
BEGIN
    RETURN QUERY
    WITH object AS MATERIALIZED (
        SELECT known.zoid, known.oldest, known.newest,
               known.asked > 1000
               AND EXISTS (
                   SELECT
                   FROM public.object_state
                   WHERE object_state.zoid = known.zoid AND (object_state.zoid, object_state.tid) > (known.zoid, after_tid)
                   OFFSET 50 * known.asked) AS long
        FROM (SELECT asked.zoid, min(asked.tid) AS oldest, max(asked.tid) AS newest, count(*) AS asked
              FROM (SELECT unnest(zoids) AS zoid, unnest(tids) AS tid) AS asked
              GROUP BY asked.zoid
              ORDER BY asked.zoid) AS known
    ), naming AS MATERIALIZED (
        SELECT object.zoid, stored.prev_tid, stored.tid
        FROM object
        CROSS JOIN LATERAL (
            SELECT object_state.prev_tid, object_state.tid
            FROM public.object_state
            WHERE object_state.zoid = object.zoid AND (object_state.zoid, object_state.tid) > (object.zoid, after_tid)
              AND object_state.prev_tid + 0 BETWEEN object.oldest AND object.newest
            OFFSET 0
        ) AS stored
        WHERE NOT object.long
        UNION ALL
        SELECT object.zoid, stored.prev_tid, stored.tid
        FROM object
        CROSS JOIN LATERAL (
            SELECT object_state.prev_tid, object_state.tid
            FROM public.object_state
            WHERE object_state.zoid + 0 = object.zoid AND object_state.tid + 0 > after_tid
              AND object_state.prev_tid BETWEEN object.oldest AND object.newest
            OFFSET 0
        ) AS stored
        WHERE object.long
    )
    SELECT naming.zoid, naming.prev_tid, naming.tid
    FROM naming
    WHERE ((naming.zoid, naming.prev_tid) IN (SELECT unnest(zoids), unnest(tids))) IS TRUE;
END;
$$;

COMMENT ON FUNCTION relpack.trim_named(bigint[], bigint[], bigint) IS
    'Which of these revisions stored ones later than after_tid name in prev_tid, and which do: an undo of these looks '
    'for that revision.';
