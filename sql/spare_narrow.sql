CREATE OR REPLACE FUNCTION relpack.spare_narrow()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_material = off
SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
    v_limit constant bigint := (relpack.limits()).walk;
    v_found bigint;
BEGIN
    PERFORM relpack.clear_scratch('relpack.walked');
    INSERT INTO relpack.walked (place, zoid)
    WITH RECURSIVE walk (zoid) AS (
        SELECT zoid FROM relpack.spared WHERE stage = 'new'
        UNION
        SELECT target.zoid
        FROM walk
        CROSS JOIN LATERAL (
            SELECT object_inref.zoid
            FROM relpack.object_inref
            JOIN relpack.object ON object.zoid = object_inref.zoid
            WHERE object_inref.inref = walk.zoid
              AND object.parent IS NULL
              AND NOT EXISTS (SELECT FROM relpack.spared WHERE spared.zoid = object_inref.zoid)
            OFFSET 0
        ) AS target
    )
    SELECT row_number() OVER (), zoid FROM walk LIMIT v_limit;
    GET DIAGNOSTICS v_found = ROW_COUNT;
    INSERT INTO relpack.spared (zoid, stage)
    SELECT zoid, CASE v_found WHEN v_limit THEN 'new' ELSE 'done' END
    FROM relpack.walked
    ON CONFLICT (zoid) DO UPDATE SET stage = excluded.stage;
END;
$$;

COMMENT ON FUNCTION relpack.spare_narrow() IS
    'Step of relpack.doom(): spares what a few spared objects refer to, many levels at once.';
