CREATE OR REPLACE FUNCTION relpack.spare_narrow()
RETURNS void
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
        SELECT zoid FROM relpack.spared WHERE stage = 'new'
        UNION
        SELECT object_inref.zoid
        FROM walk
        JOIN relpack.object_inref ON object_inref.inref = walk.zoid
        JOIN relpack.object ON object.zoid = object_inref.zoid
        WHERE object.parent IS NULL
          AND NOT EXISTS (SELECT FROM relpack.spared WHERE spared.zoid = object_inref.zoid)
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
