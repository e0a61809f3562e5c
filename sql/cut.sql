-- Detaches the whole subtree of suspects that no climb could save. Only when
-- nothing is left to cut does a parent prove life. Small frontiers go many
-- levels at once, as in relpack.flow(). The children of an object are what it
-- refers to and is the parent of.
CREATE OR REPLACE FUNCTION relpack.cut()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = on
SET enable_hashjoin = on
SET enable_mergejoin = on
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_stage text := 'cut';
    v_watermark bigint;
    v_frontier bigint;
BEGIN
    SELECT count(*) INTO v_frontier
    FROM (SELECT FROM relpack.suspect WHERE stage = v_stage LIMIT 100001) AS few;
    IF v_frontier <= 1000 THEN
        PERFORM relpack.cut_narrow();
        RETURN;
    END IF;
    SELECT watermark INTO v_watermark FROM relpack.storage;
    PERFORM relpack.choose_plan(v_frontier);
    WITH frontier AS MATERIALIZED (
        UPDATE relpack.suspect SET stage = 'loose' WHERE stage = v_stage RETURNING zoid
    ), detached AS (
        UPDATE relpack.object
        SET parent = NULL, detached_tid = v_watermark
        FROM frontier
        JOIN relpack.object_inref ON object_inref.inref = frontier.zoid
        WHERE object.zoid = object_inref.zoid
          AND object.parent = frontier.zoid
          AND object.zoid <> 0
        RETURNING object.zoid
    )
    INSERT INTO relpack.suspect (zoid, stage)
    SELECT zoid, v_stage FROM detached
    ON CONFLICT (zoid) DO UPDATE SET stage = excluded.stage;
END;
$$;

COMMENT ON FUNCTION relpack.cut() IS
    'Step of relpack.reach(): detaches the children of suspects that were not saved.';
