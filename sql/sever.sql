-- What all suspects hang on is lost: no climb saved it. Of the objects below,
-- those that something else refers to that has a parent, and what these refer
-- to, are alive; the others are detached. Most of what is cut is one or the
-- other, and each is written once. Objects that were detached before may be
-- among what comes to life. In the order in which that is found each but the
-- first has a referrer before it, so that parents can't form a circle.
--
-- The arrays must be constants in the plan: only these are hashed.
CREATE OR REPLACE FUNCTION relpack.sever(cut_off bigint[])
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
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_limit constant bigint := (relpack.limits()).walk;
    v_detached bigint;
    v_held bigint[];
    v_holders bigint[];
    v_saved bigint[];
BEGIN
    SELECT greatest(watermark, noticed_tid) INTO v_detached FROM relpack.storage;
    SELECT coalesce(array_agg(loose.zoid), '{}'), coalesce(array_agg(holder.inref), '{}')
    INTO v_held, v_holders
    FROM unnest(cut_off) AS loose (zoid)
    CROSS JOIN LATERAL (
        SELECT other.inref
        FROM (
            SELECT object_inref.inref
            FROM relpack.object_inref
            WHERE object_inref.zoid = loose.zoid AND object_inref.inref <> ALL (cut_off)
            OFFSET 0
        ) AS other
        CROSS JOIN LATERAL (
            SELECT FROM relpack.object WHERE zoid = other.inref AND parent IS NOT NULL OFFSET 0
        ) AS live
        LIMIT 1
    ) AS holder;
    WITH RECURSIVE saved (zoid) AS (
        SELECT zoid FROM unnest(v_held) AS held (zoid)
        UNION
        SELECT target.zoid
        FROM saved
        CROSS JOIN LATERAL (
            SELECT zoid FROM relpack.object_inref WHERE inref = saved.zoid OFFSET 0
        ) AS target
        WHERE target.zoid = ANY (cut_off)
           OR EXISTS (SELECT FROM relpack.object WHERE object.zoid = target.zoid AND parent IS NULL OFFSET 0)
    )
    SELECT coalesce(array_agg(zoid), '{}') INTO v_saved FROM (SELECT zoid FROM saved LIMIT v_limit) AS bounded;
    IF cardinality(v_saved) = v_limit THEN
        -- More than that comes to life: step by step.
        UPDATE relpack.object
        SET parent = NULL, detached_tid = v_detached
        WHERE zoid = ANY (cut_off) AND parent IS NOT NULL;
        PERFORM relpack.loosen(cut_off);
        RETURN;
    END IF;
    UPDATE relpack.object
    SET parent = NULL, detached_tid = v_detached
    WHERE zoid = ANY (cut_off) AND zoid <> ALL (v_saved) AND parent IS NOT NULL;
    UPDATE relpack.object
    SET parent = chosen.inref, detached_tid = NULL
    FROM (
        SELECT held.zoid, held.inref
        FROM unnest(v_held, v_holders) AS held (zoid, inref)
        UNION ALL
        (
            SELECT DISTINCT ON (target.zoid) target.zoid, saved.zoid
            FROM unnest(v_saved) WITH ORDINALITY AS saved (zoid, place)
            CROSS JOIN LATERAL (
                SELECT zoid
                FROM relpack.object_inref
                WHERE inref = saved.zoid AND zoid = ANY (v_saved) AND zoid <> ALL (v_held)
                OFFSET 0
            ) AS target
            ORDER BY target.zoid, saved.place
        )
    ) AS chosen
    WHERE object.zoid = chosen.zoid;
    DELETE FROM relpack.suspect WHERE stage = 'cut';
END;
$$;

COMMENT ON FUNCTION relpack.sever(bigint[]) IS
    'Step of relpack.reach(): of all objects that hang on suspects in stage cut, these among them, attaches those that are alive otherwise and detaches the others.';
