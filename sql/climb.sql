-- One round over the suspects: look at a few referrers of each, its own children
-- left out, and climb their parents. One that arrives at the root without meeting
-- a detached object becomes the parent, and the tree below the suspect is alive
-- again without being visited. All suspects of a round see the same tree, so that
-- the new parents can't form a circle. Where a climb met another detached object,
-- that one may be attached by this round: the next tries again. Depth, referrers
-- and rounds are bounded; what the bounds miss is settled by cut, sever, loosen
-- and flow, which are exact.
CREATE OR REPLACE FUNCTION relpack.climb()
RETURNS bigint
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
    v_limits record := relpack.limits();
    v_round integer;
    v_after bigint := -1;
    v_batch bigint[];
    v_found bigint := 0;
    v_count bigint;
BEGIN
    -- Until then, new objects may hang on what is cut off by this.
    IF EXISTS (SELECT FROM relpack.suspect WHERE stage = 'flow') THEN
        RAISE EXCEPTION 'what was attached has not been followed yet' USING ERRCODE = 'RP002',
            HINT = 'Call relpack.reach().';
    END IF;
    UPDATE relpack.storage SET climb_round = climb_round + 1 RETURNING climb_round INTO v_round;
    UPDATE relpack.suspect
    SET stage = 'flow'
    FROM relpack.object
    WHERE suspect.stage = 'climb' AND object.zoid = suspect.zoid AND object.parent IS NOT NULL;
    LOOP
        SELECT array_agg(zoid ORDER BY zoid), max(zoid)
        INTO v_batch, v_after
        FROM (
            SELECT zoid
            FROM relpack.suspect
            WHERE stage = 'climb' AND zoid > v_after
            ORDER BY zoid
            LIMIT v_limits.narrow
        ) AS next;
        EXIT WHEN v_batch IS NULL;
        WITH RECURSIVE path (zoid, inref, at, depth, below) AS (
            SELECT suspect.zoid, referrer.inref, referrer.inref, 0, suspect.zoid
            FROM unnest(v_batch) AS suspect (zoid)
            LEFT JOIN LATERAL (
                SELECT tried.inref
                FROM (
                    SELECT inref
                    FROM relpack.object_inref
                    WHERE object_inref.zoid = suspect.zoid AND object_inref.inref <> suspect.zoid
                    LIMIT v_limits.climb_inrefs
                ) AS tried
                CROSS JOIN LATERAL (
                    SELECT FROM relpack.object WHERE zoid = tried.inref AND parent <> suspect.zoid OFFSET 0
                ) AS attached
                LIMIT v_limits.climb_referrers
            ) AS referrer ON true
            UNION ALL
            SELECT path.zoid, path.inref, object.parent, path.depth + 1, path.at
            FROM path
            JOIN relpack.object ON object.zoid = path.at
            WHERE path.at <> 0
              AND path.depth < v_limits.climb_depth
        ), climbed AS MATERIALIZED (
            SELECT zoid,
                   (array_agg(inref ORDER BY depth) FILTER (WHERE at = 0))[1] AS inref,
                   bool_or(at IS NULL AND below <> zoid) AS stopped
            FROM path
            GROUP BY zoid
        ), attached AS (
            UPDATE relpack.object
            SET parent = climbed.inref, detached_tid = NULL
            FROM climbed
            WHERE object.zoid = climbed.zoid AND climbed.inref IS NOT NULL
        ), decided AS (
            UPDATE relpack.suspect
            SET stage = CASE WHEN climbed.inref IS NULL THEN 'cut' ELSE 'flow' END
            FROM climbed
            WHERE suspect.zoid = climbed.zoid AND (climbed.inref IS NOT NULL OR NOT climbed.stopped)
        )
        SELECT count(*) FILTER (WHERE climbed.inref IS NOT NULL) INTO v_count FROM climbed;
        v_found := v_found + v_count;
    END LOOP;
    IF v_found = 0 OR v_round >= v_limits.climb_rounds THEN
        UPDATE relpack.suspect SET stage = 'cut' WHERE stage = 'climb';
        UPDATE relpack.storage SET climb_round = 0;
    END IF;
    RETURN v_found;
END;
$$;

COMMENT ON FUNCTION relpack.climb() IS
    'Step of relpack.reach(): attaches suspects that have a referrer whose parents lead to the root; returns how many.';
