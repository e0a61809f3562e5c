-- Detaches the whole subtree of suspects that no climb could save. Only when
-- nothing is left to cut does a parent prove life. Small frontiers go many
-- levels at once, as in relpack.flow(). The children of an object are what it
-- refers to and is the parent of.
CREATE OR REPLACE FUNCTION relpack.cut()
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
    v_narrow bigint := (relpack.limits()).narrow;
    v_detached bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM relpack.suspect WHERE stage = 'cut' OFFSET v_narrow) THEN
        PERFORM relpack.cut_narrow();
        RETURN;
    END IF;
    SELECT detach_tid INTO v_detached FROM relpack.storage;
    WITH frontier AS MATERIALIZED (
        UPDATE relpack.suspect SET stage = 'loose' WHERE stage = 'cut' RETURNING zoid
    ), child AS MATERIALIZED (
        SELECT target.zoid
        FROM frontier
        CROSS JOIN LATERAL (
            SELECT zoid FROM relpack.object_inref WHERE inref = frontier.zoid OFFSET 0
        ) AS target
        CROSS JOIN LATERAL (
            SELECT FROM relpack.object WHERE zoid = target.zoid AND parent = frontier.zoid AND zoid <> 0 OFFSET 0
        ) AS attached
    ), detached AS (
        UPDATE relpack.object
        SET parent = NULL, detached_tid = v_detached
        FROM child
        WHERE object.zoid = child.zoid
        RETURNING object.zoid
    )
    INSERT INTO relpack.suspect (zoid, stage)
    SELECT zoid, 'cut' FROM detached
    ON CONFLICT (zoid) DO UPDATE SET stage = excluded.stage;
END;
$$;

COMMENT ON FUNCTION relpack.cut() IS
    'Step of relpack.reach(): detaches the children of suspects that were not saved.';
