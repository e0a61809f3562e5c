-- Nothing is left to cut: whatever has a parent is live. A detached object
-- with a live referrer is attached to it, and life flows on from there.
CREATE OR REPLACE FUNCTION relpack.loosen()
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
    v_limit constant bigint := (relpack.limits()).loose;
BEGIN
    WITH tried AS MATERIALIZED (
        SELECT zoid FROM relpack.suspect WHERE stage = 'loose' LIMIT v_limit
    ), chosen AS (
        SELECT tried.zoid, referrer.inref
        FROM tried
        LEFT JOIN LATERAL (
            SELECT object_inref.inref
            FROM relpack.object_inref
            JOIN relpack.object ON object.zoid = object_inref.inref
            WHERE object_inref.zoid = tried.zoid
              AND object_inref.inref <> tried.zoid
              AND object.parent IS NOT NULL
            LIMIT 1
        ) AS referrer ON true
    ), attached AS (
        UPDATE relpack.object
        SET parent = chosen.inref, detached_tid = NULL
        FROM chosen
        WHERE object.zoid = chosen.zoid AND object.parent IS NULL AND chosen.inref IS NOT NULL
    )
    UPDATE relpack.suspect
    SET stage = CASE WHEN chosen.inref IS NULL THEN 'judged' ELSE 'flow' END
    FROM chosen
    WHERE suspect.zoid = chosen.zoid;
END;
$$;

COMMENT ON FUNCTION relpack.loosen() IS
    'Step of relpack.reach(): attaches detached objects that a live one refers to.';
