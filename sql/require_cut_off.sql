-- The last look before a deletion, past all that led to the choice: nothing chosen
-- may have a live referrer. Whoever lost a suspect would lose live objects. Most
-- referrers of garbage are chosen themselves, and only the others are looked up.
-- For many that is one pass over relpack.doomed, for a few it goes by index: the
-- size of the table tells. References are looked up in the order in which objects
-- were chosen, that of zoids.
CREATE OR REPLACE FUNCTION relpack.require_cut_off()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET jit = off
SET enable_hashjoin = on
SET enable_mergejoin = off
SET enable_seqscan = on
SET enable_bitmapscan = off
SET max_parallel_workers_per_gather = 0
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_held text;
BEGIN
    WITH kept AS MATERIALIZED (
        SELECT edge.zoid, edge.inref
        FROM (
            SELECT doomed.zoid, referrer.inref
            FROM relpack.doomed
            CROSS JOIN LATERAL (
                SELECT inref FROM relpack.object_inref WHERE object_inref.zoid = doomed.zoid OFFSET 0
            ) AS referrer
        ) AS edge
        LEFT JOIN relpack.doomed AS chosen ON chosen.zoid = edge.inref
        WHERE chosen.zoid IS NULL
    )
    SELECT string_agg(format('%s (from %s)', few.zoid, few.inref), ', ' ORDER BY few.zoid)
    INTO v_held
    FROM (
        SELECT kept.zoid, min(kept.inref) AS inref
        FROM kept
        CROSS JOIN LATERAL (
            SELECT FROM relpack.object WHERE object.zoid = kept.inref AND object.parent IS NOT NULL OFFSET 0
        ) AS live
        GROUP BY kept.zoid
        ORDER BY kept.zoid
        LIMIT 10
    ) AS few;
    IF v_held IS NOT NULL THEN
        RAISE EXCEPTION 'the graph does not describe the storage: live objects refer to what would be deleted: zoid %', v_held
            USING ERRCODE = 'RP002',
                  CONSTRAINT = 'what_is_deleted_is_cut_off',
                  HINT = 'Run "relpack pack": it reads everything again, and mends the graph.';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_cut_off() IS
    'Step of relpack.doom(): raises RP002 when a live object refers to one of relpack.doomed, which can''t be where '
    'the graph describes the storage.';
