-- Little work_mem for the reason that relpack.reach_flow_deep() has.
CREATE OR REPLACE FUNCTION relpack.doom_spare_deep()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64kB'
AS $$
DECLARE
    v_limit constant bigint := (relpack.walk_limits()).walk;
    v_walked bigint[];
BEGIN
    WITH RECURSIVE walk (zoid) AS (
        SELECT zoid FROM relpack.spared WHERE stage = 'new'
        UNION
        SELECT target.zoid
        FROM walk
        CROSS JOIN LATERAL (
            SELECT zoid FROM relpack.object_inref WHERE inref = walk.zoid OFFSET 0
        ) AS target
        CROSS JOIN LATERAL (
            SELECT FROM relpack.object WHERE zoid = target.zoid AND parent IS NULL OFFSET 0
        ) AS detached
        WHERE NOT EXISTS (SELECT FROM relpack.spared WHERE spared.zoid = target.zoid OFFSET 0)
    )
    SELECT array_agg(zoid) INTO v_walked FROM (SELECT zoid FROM walk LIMIT v_limit) AS bounded;
    INSERT INTO relpack.spared (zoid, stage)
    SELECT zoid, CASE cardinality(v_walked) WHEN v_limit THEN 'new' ELSE 'done' END
    FROM unnest(v_walked) AS walked (zoid)
    ON CONFLICT (zoid) DO UPDATE SET stage = excluded.stage;
END;
$$;

COMMENT ON FUNCTION relpack.doom_spare_deep() IS
    'Step of relpack.doom(): spares what a few spared objects refer to, many levels at once.';
