-- Life flows from objects that were attached to every detached object they
-- refer to, transitively. Small frontiers (a chain, a new document) go many
-- levels in one recursive query, which stops after a bounded number of
-- objects; wide ones go level by level in set-based statements.
CREATE OR REPLACE FUNCTION relpack.reach_flow()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashagg = off
AS $$
DECLARE
    v_narrow bigint := (relpack.walk_limits()).narrow;
BEGIN
    IF NOT EXISTS (SELECT FROM relpack.suspect WHERE stage = 'flow' OFFSET v_narrow) THEN
        PERFORM relpack.reach_flow_deep(ARRAY(SELECT zoid FROM relpack.suspect WHERE stage = 'flow'), '{}');
        RETURN;
    END IF;
    WITH frontier AS MATERIALIZED (
        DELETE FROM relpack.suspect WHERE stage = 'flow' RETURNING zoid
    ), reached AS (
        SELECT target.zoid, min(frontier.zoid) AS inref
        FROM frontier
        CROSS JOIN LATERAL (
            SELECT zoid FROM relpack.object_inref WHERE inref = frontier.zoid OFFSET 0
        ) AS target
        CROSS JOIN LATERAL (
            SELECT FROM relpack.object WHERE zoid = target.zoid AND parent IS NULL OFFSET 0
        ) AS detached
        GROUP BY target.zoid
    ), attached AS (
        UPDATE relpack.object
        SET parent = reached.inref, detached_tid = NULL
        FROM reached
        WHERE object.zoid = reached.zoid
        RETURNING object.zoid
    )
    INSERT INTO relpack.suspect (zoid, stage)
    SELECT zoid, 'flow' FROM attached
    ON CONFLICT (zoid) DO UPDATE SET stage = excluded.stage;
END;
$$;

COMMENT ON FUNCTION relpack.reach_flow() IS
    'Step of relpack.reach(): attaches the detached objects that newly attached ones refer to.';
