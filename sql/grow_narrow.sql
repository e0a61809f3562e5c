CREATE OR REPLACE FUNCTION relpack.grow_narrow(frontier_from tid, frontier_level integer)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $$
DECLARE
    v_limit constant bigint := 20000;
    v_found bigint;
BEGIN
    TRUNCATE relpack.walked;
    INSERT INTO relpack.walked (place, zoid)
    WITH RECURSIVE walk (zoid) AS (
        SELECT zoid FROM relpack.tree WHERE ctid >= frontier_from AND level = frontier_level
        UNION
        SELECT object_inref.zoid
        FROM walk
        JOIN relpack.object_inref ON object_inref.inref = walk.zoid
        WHERE NOT EXISTS (SELECT FROM relpack.tree WHERE tree.zoid = object_inref.zoid)
    )
    SELECT row_number() OVER (), zoid FROM walk LIMIT v_limit;
    GET DIAGNOSTICS v_found = ROW_COUNT;
    INSERT INTO relpack.tree (zoid, parent, level)
    SELECT child.zoid, referrer.inref, frontier_level
    FROM relpack.walked AS child
    CROSS JOIN LATERAL (
        SELECT object_inref.inref
        FROM relpack.object_inref
        JOIN relpack.walked AS earlier ON earlier.zoid = object_inref.inref
        WHERE object_inref.zoid = child.zoid AND earlier.place < child.place
        LIMIT 1
    ) AS referrer
    WHERE NOT EXISTS (SELECT FROM relpack.tree WHERE tree.zoid = child.zoid);
    RETURN CASE v_found WHEN v_limit THEN v_limit ELSE 0 END;
END;
$$;

COMMENT ON FUNCTION relpack.grow_narrow(tid, integer) IS
    'Step of relpack.build_step(): relpack.grow() for a small frontier, many levels at once; 0 when the walk is complete.';
