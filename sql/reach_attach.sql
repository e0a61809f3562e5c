-- For objects that nothing hangs on, when nothing is left to cut, so that what is
-- attached is live. One that is detached and that an attached one refers to is
-- attached to it, and life flows on from there; the others are unreachable
-- unless it flows to them.
CREATE OR REPLACE FUNCTION relpack.reach_attach(tried bigint[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_limits record := relpack.walk_limits();
    v_tries bigint := v_limits.climb_inrefs;
    v_left bigint[] := tried;
    v_ways record;
BEGIN
    DELETE FROM relpack.suspect WHERE zoid = ANY (tried);
    LOOP
        v_ways := relpack.ways_up(v_left, v_tries, v_limits.climb_visits);
        IF v_ways.visited >= v_limits.climb_visits THEN
            PERFORM relpack.begin_reshape('much refers to what was cut off');
            RETURN;
        END IF;
        UPDATE relpack.object
        SET parent = saved.parent, detached_tid = NULL
        FROM unnest(v_ways.saved, v_ways.parents) AS saved (zoid, parent)
        WHERE object.zoid = saved.zoid;
        INSERT INTO relpack.suspect (zoid, stage)
        SELECT zoid, 'flow' FROM unnest(v_ways.saved) AS saved (zoid);
        EXIT WHEN v_tries IS NULL;
        -- A few referrers of each were tried, of which many may be garbage.
        v_left := ARRAY(
            SELECT zoid
            FROM unnest(v_left) AS detached (zoid)
            WHERE EXISTS (SELECT FROM relpack.object_inref WHERE object_inref.zoid = detached.zoid OFFSET v_tries)
              AND (zoid IN (SELECT unnest(v_ways.saved))) IS NOT TRUE);
        EXIT WHEN v_left = '{}';
        v_tries := NULL;
    END LOOP;
END;
$$;

COMMENT ON FUNCTION relpack.reach_attach(bigint[]) IS
    'Step of relpack.reach(): attaches those of some detached objects that an attached one refers to; the others are suspects no more.';
