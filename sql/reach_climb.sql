-- Looks for a way up to the root for all suspects together, and attaches those
-- that have one: the trees below them are alive again without being visited. A
-- few referrers of each are tried first, as an object may have a million, which
-- are mostly alive or below it; then all. What is not saved is settled by the
-- stages cut, attach and flow, which are exact. Batches can depend on each other: they
-- are gone through until none gains anything. From what was saved life flows on
-- only where it refers to something detached. Where all that is dearer than new
-- parents for all objects, relpack.reshape() chooses these: what is known to be too
-- much is not begun, and what was done counts when there is something to cut.
CREATE OR REPLACE FUNCTION relpack.reach_climb()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_limits record := relpack.walk_limits();
    v_tries bigint := v_limits.climb_inrefs;
    v_suspects bigint;
    v_left bigint;
    v_after bigint;
    v_batch bigint[];
    v_batches integer;
    v_ways record;
    v_saved bigint;
    v_found bigint := 0;
BEGIN
    UPDATE relpack.suspect
    SET stage = 'flow'
    FROM relpack.object
    WHERE suspect.stage = 'climb' AND object.zoid = suspect.zoid AND object.parent IS NOT NULL;
    SELECT count(*) INTO v_suspects FROM relpack.suspect WHERE stage = 'climb';
    UPDATE relpack.storage
    SET walked_objects = walked_objects + v_suspects
    RETURNING greatest(objects, v_limits.reshape_share * v_limits.reshape_least) - v_limits.reshape_share * walked_objects
    INTO STRICT v_left;
    IF v_left < 0 THEN
        PERFORM relpack.begin_reshape('much has changed');
        RETURN 0;
    END IF;
    v_left := v_left + v_limits.reshape_share * v_suspects;
    LOOP
        v_after := -1;
        v_batches := 0;
        v_saved := 0;
        LOOP
            SELECT array_agg(zoid ORDER BY zoid), max(zoid)
            INTO v_batch, v_after
            FROM (
                SELECT zoid
                FROM relpack.suspect
                WHERE stage = 'climb' AND zoid > v_after
                ORDER BY zoid
                LIMIT v_limits.together
            ) AS next;
            EXIT WHEN v_batch IS NULL;
            v_batches := v_batches + 1;
            v_left := v_left - v_limits.reshape_share * cardinality(v_batch);
            IF v_left < 0 THEN
                PERFORM relpack.begin_reshape('much has changed');
                RETURN v_found;
            END IF;
            v_ways := relpack.ways_up(v_batch, v_tries, v_limits.climb_visits);
            v_left := v_left - v_ways.visited;
            IF v_ways.visited >= v_limits.climb_visits THEN
                PERFORM relpack.begin_reshape('from what changed it is far to the root');
                RETURN v_found;
            END IF;
            UPDATE relpack.object
            SET parent = saved.parent, detached_tid = NULL
            FROM unnest(v_ways.saved, v_ways.parents) AS saved (zoid, parent)
            WHERE object.zoid = saved.zoid;
            DELETE FROM relpack.suspect WHERE zoid = ANY (v_ways.saved);
            INSERT INTO relpack.suspect (zoid, stage)
            SELECT saved.zoid, 'flow'
            FROM unnest(v_ways.saved) AS saved (zoid)
            CROSS JOIN LATERAL (
                SELECT
                FROM (SELECT zoid FROM relpack.object_inref WHERE inref = saved.zoid OFFSET 0) AS target
                CROSS JOIN LATERAL (
                    SELECT FROM relpack.object WHERE zoid = target.zoid AND parent IS NULL OFFSET 0
                ) AS detached
                LIMIT 1
            ) AS further;
            v_saved := v_saved + coalesce(cardinality(v_ways.saved), 0);
        END LOOP;
        v_found := v_found + v_saved;
        CONTINUE WHEN v_saved > 0 AND v_batches > 1;
        EXIT WHEN v_tries IS NULL OR NOT EXISTS (
            SELECT
            FROM relpack.suspect
            WHERE suspect.stage = 'climb'
              AND EXISTS (SELECT FROM relpack.object_inref WHERE object_inref.zoid = suspect.zoid OFFSET v_tries));
        v_tries := NULL;
    END LOOP;
    UPDATE relpack.suspect SET stage = 'cut' WHERE stage = 'climb';
    RETURN v_found;
END;
$$;

COMMENT ON FUNCTION relpack.reach_climb() IS
    'Step of relpack.reach(): attaches suspects that have a referrer whose parents lead to the root; returns how many.';
