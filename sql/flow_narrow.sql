-- The recursive query yields objects in the order of discovery; the parent of
-- each is a referrer discovered before it, so that parents can't form a circle.
CREATE OR REPLACE FUNCTION relpack.flow_narrow()
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
        SELECT zoid FROM relpack.suspect WHERE stage = 'flow'
        UNION
        SELECT target.zoid
        FROM walk
        CROSS JOIN LATERAL (
            SELECT zoid FROM relpack.object_inref WHERE inref = walk.zoid OFFSET 0
        ) AS target
        CROSS JOIN LATERAL (
            SELECT FROM relpack.object WHERE zoid = target.zoid AND parent IS NULL OFFSET 0
        ) AS detached
    )
    SELECT row_number() OVER (), zoid FROM walk LIMIT v_limit;
    GET DIAGNOSTICS v_found = ROW_COUNT;
    DELETE FROM relpack.suspect WHERE stage = 'flow';
    UPDATE relpack.object
    SET parent = chosen.inref, detached_tid = NULL
    FROM (
        SELECT child.zoid, referrer.inref
        FROM relpack.walked AS child
        CROSS JOIN LATERAL (
            SELECT FROM relpack.object WHERE zoid = child.zoid AND parent IS NULL OFFSET 0
        ) AS detached
        CROSS JOIN LATERAL (
            SELECT object_inref.inref
            FROM relpack.object_inref
            CROSS JOIN LATERAL (
                SELECT FROM relpack.walked WHERE zoid = object_inref.inref AND place < child.place OFFSET 0
            ) AS earlier
            WHERE object_inref.zoid = child.zoid
            LIMIT 1
        ) AS referrer
    ) AS chosen
    WHERE object.zoid = chosen.zoid;
    IF v_found = v_limit THEN
        -- Cut off: what was found may refer to more.
        INSERT INTO relpack.suspect (zoid, stage)
        SELECT zoid, 'flow' FROM relpack.walked
        ON CONFLICT (zoid) DO UPDATE SET stage = 'flow';
    ELSE
        DELETE FROM relpack.suspect USING relpack.walked WHERE suspect.zoid = walked.zoid;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.flow_narrow() IS
    'Step of relpack.reach(): relpack.flow() for a small frontier, many levels at once.';
