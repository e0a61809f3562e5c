-- The recursive query yields objects in the order of discovery. Each of those
-- that were found has a referrer before it, so that parents can't form a circle.
-- What has the parent that it would get is left alone: below an object that is
-- cut off and held by something else, that is most.
--
-- Statistics have a walk find many times what it does. The hash table that keeps
-- its objects apart is made that large at once, but for work_mem, and zeroed: with
-- 4 MB that took twice as long as the walk. It grows when it has to.
--
-- Arrays are looked up in as subqueries, which a generic plan hashes. As constants
-- they are hashed too, but the planner then looks at each element, and that again
-- for each condition. IS TRUE keeps such a subquery from becoming a join.
CREATE OR REPLACE FUNCTION relpack.reach_flow_deep(attached bigint[], cut_off bigint[])
RETURNS bigint[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64kB'
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_limit constant bigint := (relpack.walk_limits()).walk;
    v_walked bigint[];
BEGIN
    WITH RECURSIVE walk (zoid) AS (
        SELECT zoid FROM unnest(attached) AS begun (zoid)
        UNION
        SELECT target.zoid
        FROM walk
        CROSS JOIN LATERAL (
            SELECT zoid FROM relpack.object_inref WHERE inref = walk.zoid OFFSET 0
        ) AS target
        WHERE target.zoid IN (SELECT unnest(cut_off))
           OR EXISTS (SELECT FROM relpack.object WHERE object.zoid = target.zoid AND parent IS NULL OFFSET 0)
    )
    SELECT coalesce(array_agg(zoid), '{}') INTO v_walked FROM (SELECT zoid FROM walk LIMIT v_limit) AS bounded;
    UPDATE relpack.object
    SET parent = chosen.inref, detached_tid = NULL
    FROM (
        SELECT DISTINCT ON (target.zoid) target.zoid, walked.zoid AS inref
        FROM unnest(v_walked) WITH ORDINALITY AS walked (zoid, place)
        CROSS JOIN LATERAL (
            SELECT zoid
            FROM relpack.object_inref
            WHERE inref = walked.zoid
              AND (zoid IN (SELECT unnest(v_walked))) IS TRUE
              AND zoid NOT IN (SELECT unnest(attached))
            OFFSET 0
        ) AS target
        ORDER BY target.zoid, walked.place
    ) AS chosen
    WHERE object.zoid = chosen.zoid AND object.parent IS DISTINCT FROM chosen.inref;
    DELETE FROM relpack.suspect WHERE zoid = ANY (v_walked);
    IF cardinality(v_walked) < v_limit THEN
        RETURN v_walked;
    END IF;
    -- Cut short: some of what was found refers to more.
    INSERT INTO relpack.suspect (zoid, stage)
    SELECT walked.zoid, 'flow'
    FROM unnest(v_walked) AS walked (zoid)
    CROSS JOIN LATERAL (
        SELECT
        FROM (
            SELECT zoid
            FROM relpack.object_inref
            WHERE inref = walked.zoid AND (zoid IN (SELECT unnest(v_walked))) IS NOT TRUE
            OFFSET 0
        ) AS target
        WHERE target.zoid IN (SELECT unnest(cut_off))
           OR EXISTS (SELECT FROM relpack.object WHERE object.zoid = target.zoid AND parent IS NULL OFFSET 0)
        LIMIT 1
    ) AS more;
    RETURN v_walked;
END;
$$;

COMMENT ON FUNCTION relpack.reach_flow_deep(bigint[], bigint[]) IS
    'Step of relpack.reach(): relpack.reach_flow() from a few attached objects, many levels at once, to detached objects '
    'and to those that are about to be; returns all that are attached then.';
