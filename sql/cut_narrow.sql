CREATE OR REPLACE FUNCTION relpack.cut_narrow()
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
    v_detached bigint;
    v_found bigint;
BEGIN
    SELECT greatest(watermark, noticed_tid) INTO v_detached FROM relpack.storage;
    PERFORM relpack.clear_scratch('relpack.walked');
    INSERT INTO relpack.walked (place, zoid)
    WITH RECURSIVE walk (zoid) AS (
        SELECT zoid FROM relpack.suspect WHERE stage = 'cut'
        UNION ALL
        SELECT child.zoid
        FROM walk
        CROSS JOIN LATERAL (
            SELECT object.zoid
            FROM relpack.object_inref
            JOIN relpack.object ON object.zoid = object_inref.zoid
            WHERE object_inref.inref = walk.zoid AND object.parent = walk.zoid AND object.zoid <> 0
            OFFSET 0
        ) AS child
    )
    SELECT row_number() OVER (), zoid FROM walk LIMIT v_limit;
    GET DIAGNOSTICS v_found = ROW_COUNT;
    UPDATE relpack.object
    SET parent = NULL, detached_tid = v_detached
    FROM relpack.walked
    WHERE object.zoid = walked.zoid AND object.parent IS NOT NULL;
    INSERT INTO relpack.suspect (zoid, stage)
    SELECT zoid, CASE v_found WHEN v_limit THEN 'cut' ELSE 'loose' END
    FROM relpack.walked
    ON CONFLICT (zoid) DO UPDATE SET stage = excluded.stage;
END;
$$;

COMMENT ON FUNCTION relpack.cut_narrow() IS
    'Step of relpack.reach(): relpack.cut() for a small frontier, many levels at once.';
