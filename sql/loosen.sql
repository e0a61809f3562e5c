-- For objects that nothing hangs on. One that is detached and that an attached
-- one refers to is attached to it, and life flows on from there; the others are
-- unreachable unless it flows to them. As a step of relpack.reach() nothing is
-- left to cut, and what is attached is live; in relpack.apply() it may hang on
-- what is to be cut off.
CREATE OR REPLACE FUNCTION relpack.loosen(tried bigint[])
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
    v_attached bigint[];
BEGIN
    WITH chosen AS MATERIALIZED (
        SELECT loose.zoid, referrer.inref
        FROM unnest(tried) AS loose (zoid)
        CROSS JOIN LATERAL (
            SELECT FROM relpack.object WHERE zoid = loose.zoid AND parent IS NULL OFFSET 0
        ) AS detached
        CROSS JOIN LATERAL (
            SELECT object_inref.inref
            FROM relpack.object_inref
            CROSS JOIN LATERAL (
                SELECT FROM relpack.object WHERE zoid = object_inref.inref AND parent IS NOT NULL OFFSET 0
            ) AS attached
            WHERE object_inref.zoid = loose.zoid AND object_inref.inref <> loose.zoid
            LIMIT 1
        ) AS referrer
    ), attached AS (
        UPDATE relpack.object
        SET parent = chosen.inref, detached_tid = NULL
        FROM chosen
        WHERE object.zoid = chosen.zoid
    )
    SELECT array_agg(zoid) INTO v_attached FROM chosen;
    DELETE FROM relpack.suspect WHERE zoid = ANY (tried);
    INSERT INTO relpack.suspect (zoid, stage)
    SELECT zoid, 'flow' FROM unnest(v_attached) AS attached (zoid);
END;
$$;

COMMENT ON FUNCTION relpack.loosen(bigint[]) IS
    'Step of relpack.apply() and relpack.reach(): attaches those of some detached objects that an attached one refers to; the others are suspects no more.';
