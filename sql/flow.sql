-- Life flows from objects that were attached to every detached object they
-- refer to, transitively. Small frontiers (a chain, a new document) go many
-- levels in one recursive query, which stops after a bounded number of
-- objects; wide ones go level by level in set-based statements.
CREATE OR REPLACE FUNCTION relpack.flow()
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
    v_stage text := 'flow';
    v_frontier bigint;
BEGIN
    SELECT count(*) INTO v_frontier
    FROM (SELECT FROM relpack.suspect WHERE stage = v_stage LIMIT 100001) AS few;
    IF v_frontier <= 1000 THEN
        PERFORM relpack.flow_narrow();
        RETURN;
    END IF;
    PERFORM relpack.choose_plan(v_frontier);
    WITH frontier AS MATERIALIZED (
        DELETE FROM relpack.suspect WHERE stage = v_stage RETURNING zoid
    ), reached AS (
        SELECT object_inref.zoid, min(object_inref.inref) AS inref
        FROM frontier
        JOIN relpack.object_inref ON object_inref.inref = frontier.zoid
        JOIN relpack.object ON object.zoid = object_inref.zoid
        WHERE object.parent IS NULL
        GROUP BY object_inref.zoid
    ), attached AS (
        UPDATE relpack.object
        SET parent = reached.inref, detached_tid = NULL
        FROM reached
        WHERE object.zoid = reached.zoid
        RETURNING object.zoid
    )
    INSERT INTO relpack.suspect (zoid, stage)
    SELECT zoid, v_stage FROM attached
    ON CONFLICT (zoid) DO UPDATE SET stage = excluded.stage;
END;
$$;

COMMENT ON FUNCTION relpack.flow() IS
    'Step of relpack.reach(): attaches the detached objects that newly attached ones refer to.';
