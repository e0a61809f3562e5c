-- Most objects were made after one that refers to them and have a higher zoid:
-- with references read in the order of who refers, whether that one is alive is
-- known by the time its own are read. One pass upwards over the references from
-- lower to higher zoids settles all objects that can be reached so, with a bit
-- for each zoid as memory. What is alive only because something younger refers
-- to it (it was moved under that, or its container was) is found by a pass
-- downwards over the other references; what hangs on that, by one upwards again;
-- and so on, until a pass finds little. Each settles all references of its
-- direction, so that life has yet to flow on from what the last one found, and
-- from who refers to zoids beyond the bits.
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
    v_highest bigint := (SELECT max(zoid) FROM relpack.staged_object);
    v_end bigint := least(greatest(v_highest, 0) + 1, v_limits.grow_zoids);
    v_reached bigint[] := array_fill(0::bigint, ARRAY[((v_end - 1) >> 6)::integer + 1], ARRAY[0]);
    v_zoid bigint;
    v_inref bigint;
    v_passes integer := 1;
    v_upward boolean;
    v_few bigint := (SELECT objects / 200 FROM relpack.storage);
    v_found bigint;
    v_total bigint;
    v_zoids bigint[] := '{}'::bigint[];
    v_inrefs bigint[] := '{}'::bigint[];
BEGIN
    PERFORM relpack.clear_scratch('relpack.tree'), relpack.clear_scratch('relpack.reached');
    v_reached[0] := 1;
    FOR v_zoid, v_inref IN
        SELECT zoid, inref
        FROM relpack.object_inref
        WHERE inref >= 0 AND inref < zoid AND zoid < v_end
        ORDER BY inref
    LOOP
        IF (v_reached[v_inref >> 6] >> (v_inref & 63)::integer) & 1 = 1 THEN
            v_reached[v_zoid >> 6] := v_reached[v_zoid >> 6] | (1::bigint << (v_zoid & 63)::integer);
        END IF;
    END LOOP;
    -- The parents of these are found by relpack.fill().
    INSERT INTO relpack.reached (zoids) VALUES (v_reached);
    v_total := (SELECT sum(bit_count(word::bit(64))) FROM unnest(v_reached) AS word);
    LOOP
        v_passes := v_passes + 1;
        v_upward := v_passes % 2 = 1;
        v_found := 0;
        FOR v_zoid, v_inref IN
            (SELECT zoid, inref
             FROM relpack.object_inref
             WHERE v_upward AND inref >= 0 AND inref < zoid AND zoid < v_end
               AND (v_reached[CASE WHEN zoid < v_end THEN zoid >> 6 END] >> (zoid & 63)::integer) & 1 = 0
             ORDER BY inref)
            UNION ALL
            (SELECT zoid, inref
             FROM relpack.object_inref
             WHERE NOT v_upward AND inref > zoid AND inref < v_end AND zoid >= 0
               AND (v_reached[CASE WHEN zoid BETWEEN 0 AND v_end - 1 THEN zoid >> 6 END] >> (zoid & 63)::integer) & 1 = 0
             ORDER BY inref DESC)
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
        EXIT WHEN v_found <= v_few OR v_passes >= v_limits.grow_passes;
    END LOOP;
    INSERT INTO relpack.suspect (zoid, stage)
    SELECT zoid, 'flow' FROM relpack.tree WHERE pass = v_passes;
    IF v_highest >= v_end THEN
        INSERT INTO relpack.suspect (zoid, stage)
        SELECT DISTINCT inref, 'flow'
        FROM relpack.object_inref
        WHERE zoid >= v_end AND inref >= 0
          AND (v_reached[CASE WHEN inref < v_end THEN inref >> 6 END] >> (inref & 63)::integer) & 1 = 1
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN v_total;
END;
$$;

COMMENT ON FUNCTION relpack.grow() IS
    'Step of relpack.build_step(): finds which objects hang on the root, for relpack.fill(), and from which of them life has yet to flow on; returns how many.';
