-- Most objects were made after one that refers to them and have a higher zoid:
-- read in ascending order, an object is alive if the least that refers to it
-- is, and that is known by then. One pass over the primary key's index settles
-- them, with a bit for each zoid as memory. Passes over the rest follow, with
-- all their referrers: who was moved under something younger is found by the
-- next, with all that hangs on it; who hangs on something younger each time, by
-- one that goes down. They end when they find little. Life flows on to what is
-- left, from all that has seen it: when an object was looked at, in the last
-- pass, and was not found, then what was alive and referred to it was found
-- later in that pass; or one of both has a zoid beyond the bits.
--
-- A query that is looped over sees the bits as they were when it began.
CREATE OR REPLACE FUNCTION relpack.grow()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashagg = off
SET enable_sort = off
SET max_parallel_workers_per_gather = 0
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_limits record := relpack.limits();
    v_end bigint;
    v_reached bigint[];
    v_zoid bigint;
    v_inref bigint;
    v_passes integer := 1;
    v_upward boolean;
    v_few bigint := (SELECT objects / 200 FROM relpack.storage);
    v_found bigint;
    v_total bigint := 1;
    v_zoids bigint[] := '{}'::bigint[];
    v_inrefs bigint[] := '{}'::bigint[];
BEGIN
    SELECT least(greatest(max(zoid), 0) + 1, v_limits.grow_zoids) INTO v_end FROM relpack.object_inref;
    v_reached := array_fill(0::bigint, ARRAY[((v_end - 1) >> 6)::integer + 1], ARRAY[0]);
    v_reached[0] := 1;
    FOR v_zoid, v_inref IN
        SELECT least.zoid, least.inref
        FROM (
            SELECT DISTINCT ON (zoid) zoid, inref
            FROM relpack.object_inref
            WHERE zoid > 0 AND zoid < v_end AND inref >= 0
            ORDER BY zoid, inref
        ) AS least
        WHERE least.inref < least.zoid
    LOOP
        IF (v_reached[v_inref >> 6] >> (v_inref & 63)::integer) & 1 = 1 THEN
            v_reached[v_zoid >> 6] := v_reached[v_zoid >> 6] | (1::bigint << (v_zoid & 63)::integer);
            v_total := v_total + 1;
        END IF;
    END LOOP;
    PERFORM relpack.clear_scratch('relpack.tree'), relpack.clear_scratch('relpack.reached');
    WHILE v_passes < 3 OR (v_passes < v_limits.grow_passes AND v_found > v_few) LOOP
        v_passes := v_passes + 1;
        v_upward := v_passes % 2 = 0;
        v_found := 0;
        FOR v_zoid, v_inref IN
            (SELECT zoid, inref
             FROM relpack.object_inref
             WHERE v_upward AND zoid > 0 AND zoid < v_end AND inref >= 0 AND inref < v_end
               AND (v_reached[CASE WHEN zoid < v_end THEN zoid >> 6 END] >> (zoid & 63)::integer) & 1 = 0
             ORDER BY zoid)
            UNION ALL
            (SELECT zoid, inref
             FROM relpack.object_inref
             WHERE NOT v_upward AND zoid > 0 AND zoid < v_end AND inref >= 0 AND inref < v_end
               AND (v_reached[CASE WHEN zoid < v_end THEN zoid >> 6 END] >> (zoid & 63)::integer) & 1 = 0
             ORDER BY zoid DESC)
        LOOP
            IF (v_reached[v_inref >> 6] >> (v_inref & 63)::integer) & 1 = 1
               AND (v_reached[v_zoid >> 6] >> (v_zoid & 63)::integer) & 1 = 0 THEN
                v_reached[v_zoid >> 6] := v_reached[v_zoid >> 6] | (1::bigint << (v_zoid & 63)::integer);
                v_found := v_found + 1;
                v_zoids := v_zoids || v_zoid;
                v_inrefs := v_inrefs || v_inref;
                IF v_found % 10000 = 0 THEN
                    INSERT INTO relpack.tree (zoid, parent, pass)
                    SELECT found.zoid, found.inref, v_passes
                    FROM unnest(v_zoids, v_inrefs) AS found (zoid, inref);
                    v_zoids := '{}'::bigint[];
                    v_inrefs := '{}'::bigint[];
                END IF;
            END IF;
        END LOOP;
        INSERT INTO relpack.tree (zoid, parent, pass)
        SELECT found.zoid, found.inref, v_passes
        FROM unnest(v_zoids, v_inrefs) AS found (zoid, inref);
        v_zoids := '{}'::bigint[];
        v_inrefs := '{}'::bigint[];
        v_total := v_total + v_found;
    END LOOP;
    INSERT INTO relpack.suspect (zoid, stage)
    SELECT zoid, 'flow' FROM relpack.tree WHERE pass = v_passes
    UNION
    SELECT inref, 'flow'
    FROM relpack.object_inref
    WHERE zoid >= v_end AND inref >= 0
      AND (v_reached[CASE WHEN inref < v_end THEN inref >> 6 END] >> (inref & 63)::integer) & 1 = 1;
    INSERT INTO relpack.reached (zoids) VALUES (v_reached);
    RETURN v_total;
END;
$$;

COMMENT ON FUNCTION relpack.grow() IS
    'Step of relpack.build_step(): finds which objects hang on the root, for relpack.fill(), and from which of them life has yet to flow on; returns how many.';
