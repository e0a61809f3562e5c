-- What stays keeps what it refers to. As in relpack.reach_flow(), small frontiers go
-- many levels at once.
CREATE OR REPLACE FUNCTION relpack.doom_spare()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashagg = off
AS $$
DECLARE
    v_narrow bigint := (relpack.walk_limits()).narrow;
BEGIN
    IF NOT EXISTS (SELECT FROM relpack.spared WHERE stage = 'new' OFFSET v_narrow) THEN
        PERFORM relpack.doom_spare_deep();
        RETURN;
    END IF;
    WITH frontier AS MATERIALIZED (
        UPDATE relpack.spared SET stage = 'done' WHERE stage = 'new' RETURNING zoid
    )
    INSERT INTO relpack.spared (zoid, stage)
    SELECT DISTINCT target.zoid, 'new'
    FROM frontier
    CROSS JOIN LATERAL (
        SELECT zoid FROM relpack.object_inref WHERE inref = frontier.zoid OFFSET 0
    ) AS target
    CROSS JOIN LATERAL (
        SELECT FROM relpack.object WHERE zoid = target.zoid AND parent IS NULL OFFSET 0
    ) AS detached
    ON CONFLICT DO NOTHING;
END;
$$;

COMMENT ON FUNCTION relpack.doom_spare() IS
    'Step of relpack.doom(): spares the unreachable objects that newly spared ones refer to.';
