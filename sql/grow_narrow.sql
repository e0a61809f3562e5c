CREATE OR REPLACE FUNCTION relpack.grow_narrow(frontier_from tid, frontier_level integer)
RETURNS bigint
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
        SELECT zoid FROM relpack.tree WHERE ctid >= frontier_from AND level = frontier_level
        UNION
        SELECT target.zoid
        FROM walk
        CROSS JOIN LATERAL (
            SELECT object_inref.zoid
            FROM relpack.object_inref
            WHERE object_inref.inref = walk.zoid
              AND NOT EXISTS (SELECT FROM relpack.tree WHERE tree.zoid = object_inref.zoid)
            OFFSET 0
        ) AS target
    )
    SELECT row_number() OVER (), zoid FROM walk LIMIT v_limit;
    GET DIAGNOSTICS v_found = ROW_COUNT;
    WITH grown AS (
        INSERT INTO relpack.tree (zoid, parent, level)
        SELECT DISTINCT ON (child.zoid) child.zoid, earlier.zoid, frontier_level
        FROM relpack.walked AS earlier
        CROSS JOIN LATERAL (
            SELECT later.zoid
            FROM relpack.object_inref
            JOIN relpack.walked AS later ON later.zoid = object_inref.zoid
            WHERE object_inref.inref = earlier.zoid
              AND later.place > earlier.place
              AND NOT EXISTS (SELECT FROM relpack.tree WHERE tree.zoid = later.zoid)
            OFFSET 0
        ) AS child
        ORDER BY child.zoid, earlier.place
        RETURNING tree.ctid
    )
    UPDATE relpack.storage
    SET frontier_block = least(storage.frontier_block, placed.block)
    FROM (SELECT (min(ctid)::text::point)[0]::bigint AS block FROM grown) AS placed
    WHERE placed.block IS NOT NULL;
    RETURN CASE v_found WHEN v_limit THEN v_limit ELSE 0 END;
END;
$$;

COMMENT ON FUNCTION relpack.grow_narrow(tid, integer) IS
    'Step of relpack.build_step(): relpack.grow() for a small frontier, many levels at once; 0 when the walk is complete.';
