-- Detaches the whole subtree of suspects that no climb could save. Only when
-- nothing is left to cut does a parent prove life. Small frontiers go many
-- levels at once, as in relpack.reach_flow(). The children of an object are what it
-- refers to and is the parent of. Where so many objects are to be detached that
-- new parents for all cost less, relpack.reshape() takes over.
CREATE OR REPLACE FUNCTION relpack.reach_cut()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_limits record := relpack.walk_limits();
    v_detached bigint;
    v_left bigint;
    v_cut bigint;
BEGIN
    SELECT detach_tid, greatest(objects / v_limits.reshape_share, v_limits.reshape_least) - walked_objects
    INTO v_detached, v_left
    FROM relpack.storage;
    IF NOT EXISTS (SELECT FROM relpack.suspect WHERE stage = 'cut' OFFSET v_limits.narrow) THEN
        v_cut := relpack.reach_cut_deep(least(v_limits.walk, greatest(v_left, v_limits.narrow) + 1), v_left);
    ELSE
        WITH frontier AS MATERIALIZED (
            UPDATE relpack.suspect SET stage = 'attach' WHERE stage = 'cut' RETURNING zoid
        ), child AS MATERIALIZED (
            SELECT target.zoid
            FROM frontier
            CROSS JOIN LATERAL (
                SELECT zoid FROM relpack.object_inref WHERE inref = frontier.zoid OFFSET 0
            ) AS target
            CROSS JOIN LATERAL (
                SELECT FROM relpack.object WHERE zoid = target.zoid AND parent = frontier.zoid AND zoid <> 0 OFFSET 0
            ) AS attached
            LIMIT greatest(v_left, 0) + 1
        ), detached AS (
            UPDATE relpack.object
            SET parent = NULL, detached_tid = v_detached
            FROM child
            WHERE object.zoid = child.zoid
            RETURNING object.zoid
        ), suspected AS (
            INSERT INTO relpack.suspect (zoid, stage)
            SELECT zoid, 'cut' FROM detached
            ON CONFLICT (zoid) DO UPDATE SET stage = excluded.stage
        )
        SELECT count(*) INTO v_cut FROM detached;
    END IF;
    IF v_cut > v_left THEN
        PERFORM relpack.begin_reshape('much of the tree hangs on what was cut off');
    ELSE
        UPDATE relpack.storage SET walked_objects = walked_objects + v_cut;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.reach_cut() IS
    'Step of relpack.reach(): detaches the children of suspects that were not saved.';
