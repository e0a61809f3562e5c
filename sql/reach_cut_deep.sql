-- A walk that comes to its end has met all there is to cut, so that it can be
-- decided at once what of it hangs on something else as well.
CREATE OR REPLACE FUNCTION relpack.reach_cut_deep(most bigint, allowed bigint)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_walked bigint[];
BEGIN
    WITH RECURSIVE walk (zoid) AS (
        SELECT zoid FROM relpack.suspect WHERE stage = 'cut'
        UNION ALL
        SELECT target.zoid
        FROM walk
        CROSS JOIN LATERAL (
            SELECT zoid FROM relpack.object_inref WHERE inref = walk.zoid OFFSET 0
        ) AS target
        CROSS JOIN LATERAL (
            SELECT FROM relpack.object WHERE zoid = target.zoid AND parent = walk.zoid AND zoid <> 0 OFFSET 0
        ) AS child
    )
    SELECT array_agg(zoid) INTO v_walked FROM (SELECT zoid FROM walk LIMIT most) AS bounded;
    IF cardinality(v_walked) < most THEN
        PERFORM relpack.reach_split(v_walked);
        RETURN cardinality(v_walked);
    ELSIF most > allowed THEN
        RETURN most;
    END IF;
    UPDATE relpack.object
    SET parent = NULL, detached_tid = (SELECT detach_tid FROM relpack.storage)
    WHERE zoid = ANY (v_walked) AND parent IS NOT NULL;
    INSERT INTO relpack.suspect (zoid, stage)
    SELECT zoid, 'cut' FROM unnest(v_walked) AS walked (zoid)
    ON CONFLICT (zoid) DO UPDATE SET stage = excluded.stage;
    RETURN most;
END;
$$;

COMMENT ON FUNCTION relpack.reach_cut_deep(bigint, bigint) IS
    'Step of relpack.reach(): relpack.reach_cut() for a small frontier, many levels at once, and relpack.reach_split() if it '
    'comes to its end before it has met so many objects; returns how many. '
    'Where these are more than are allowed it leaves them alone.';
