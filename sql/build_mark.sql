-- Walks from the root breadth-first and notes the level of each object: what is
-- k references away from the root is on level k. A parent one level above makes
-- the tree as shallow as it can be. Used by a first build and by
-- relpack.reshape(), which both choose the parents afterwards.
--
-- A byte for each place: 0 not reached, else 1 + level. The place of an object is
-- its zoid; where zoids are so sparse that most bytes would be of no use, it is
-- the number of zoids below it in a sorted array. Eight bytes are a word of an
-- array, which PL/pgSQL changes in place; int8send() writes the high byte first,
-- so that in relpack.reached.depths the byte of a place is at place # 7 (XOR).
--
-- A narrow level looks its references up by index, a wide one reads all of them
-- once. A FOR loop over a query sees the bytes as they were when the query began.
-- What lies deeper than a byte can say, and objects beyond grow_zoids, are left
-- to relpack.reach_flow().
CREATE OR REPLACE FUNCTION relpack.build_mark()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
SET max_parallel_workers_per_gather = 0
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_limits record := relpack.walk_limits();
    v_objects bigint := (SELECT objects FROM relpack.storage);
    v_highest bigint := greatest((SELECT max(zoid) FROM relpack.staged_object), (SELECT max(zoid) FROM relpack.object), 0);
    v_sparse boolean := v_highest >= least(8 * v_objects, v_limits.grow_zoids);
    -- A record: an array in a variable of its own would be copied for each row.
    v_numbered record;
    v_end bigint := least(v_highest, 9223372036854775806) + 1;
    v_depths bigint[];
    v_bytes bytea;
    v_wide bigint := (SELECT inrefs / v_limits.grow_wide FROM relpack.storage);
    v_frontier bigint[];
    v_next bigint[] := '{0}'::bigint[];
    v_width bigint := 1;
    v_level bigint := 1;
    v_reading boolean;
    v_zoid bigint;
    v_place bigint;
    v_total bigint := 1;
    v_depth bigint := 0;
BEGIN
    PERFORM relpack.scratch_clear('relpack.reached');
    SELECT NULL::bigint[] AS zoids INTO v_numbered;
    IF v_sparse THEN
        -- The root comes first even where it was written after the watermark and is
        -- not read yet: nothing else is where the walk begins.
        SELECT '{0}'::bigint[] || ARRAY(
            SELECT zoid
            FROM (SELECT zoid FROM relpack.staged_object UNION ALL SELECT zoid FROM relpack.object) AS stored
            WHERE zoid > 0
            ORDER BY zoid
            LIMIT v_limits.grow_zoids - 1) AS zoids
        INTO v_numbered;
        v_end := cardinality(v_numbered.zoids);
    END IF;
    v_depths := array_fill(0::bigint, ARRAY[(greatest(v_end - 1, 0) >> 3)::integer + 1], ARRAY[0]);
    v_depths[0] := 1;
    LOOP
        v_level := v_level + 1;
        v_frontier := v_next;
        v_next := '{}'::bigint[];
        v_reading := v_width > v_wide;
        v_width := 0;
        v_bytes := CASE WHEN v_reading THEN (SELECT string_agg(int8send(word), ''::bytea) FROM unnest(v_depths) AS word) END;
        FOR v_zoid, v_place IN
            (SELECT edge.zoid, CASE WHEN v_sparse THEN width_bucket(edge.zoid, v_numbered.zoids) - 1 ELSE edge.zoid END
             FROM relpack.object_inref AS edge
             WHERE v_reading
               AND relpack.build_level(edge.inref, v_bytes, v_sparse, v_numbered.zoids, v_end) = v_level - 1
               AND relpack.build_level(edge.zoid, v_bytes, v_sparse, v_numbered.zoids, v_end) = 0)
            UNION ALL
            (SELECT target.zoid, CASE WHEN v_sparse THEN width_bucket(target.zoid, v_numbered.zoids) - 1 ELSE target.zoid END
             FROM unnest(v_frontier) AS frontier (zoid)
             CROSS JOIN LATERAL (
                 SELECT object_inref.zoid FROM relpack.object_inref WHERE object_inref.inref = frontier.zoid OFFSET 0
             ) AS target
             WHERE NOT v_reading
               AND CASE WHEN v_sparse THEN v_numbered.zoids[width_bucket(target.zoid, v_numbered.zoids)] = target.zoid
                        ELSE target.zoid BETWEEN 0 AND v_end - 1 END)
        LOOP
            IF (v_depths[v_place >> 3] >> ((v_place & 7) << 3)::integer) & 255 = 0 THEN
                v_depths[v_place >> 3] := v_depths[v_place >> 3] | (v_level << ((v_place & 7) << 3)::integer);
                v_width := v_width + 1;
                IF v_width <= v_wide THEN
                    v_next := v_next || v_zoid;
                END IF;
            END IF;
        END LOOP;
        v_total := v_total + v_width;
        v_depth := v_depth + v_width * (v_level - 1);
        EXIT WHEN v_width = 0 OR v_level = v_limits.grow_levels;
    END LOOP;
    INSERT INTO relpack.reached (depths, zoids)
    SELECT string_agg(int8send(word), ''::bytea), v_numbered.zoids
    FROM unnest(v_depths) AS word
    RETURNING depths INTO v_bytes;
    IF v_width > 0 OR v_sparse AND v_end < v_objects THEN
        INSERT INTO relpack.suspect (zoid, stage)
        SELECT DISTINCT edge.inref, 'flow'
        FROM relpack.object_inref AS edge
        WHERE relpack.build_level(edge.inref, v_bytes, v_sparse, v_numbered.zoids, v_end) > 0
          AND coalesce(relpack.build_level(edge.zoid, v_bytes, v_sparse, v_numbered.zoids, v_end), 0) = 0
        ON CONFLICT (zoid) DO UPDATE SET stage = excluded.stage;
    END IF;
    -- Of what lies deeper than this saw nobody knows how deep it is.
    UPDATE relpack.storage
    SET shaped_depth = CASE WHEN NOT EXISTS (SELECT FROM relpack.suspect) THEN v_depth::float8 / v_total END,
        depth_looked_at = clock_timestamp();
    RETURN v_total;
END;
$$;

COMMENT ON FUNCTION relpack.build_mark() IS
    'Step of relpack.build_step() and relpack.reshape(): finds how many references each object is away from the root, '
    'into relpack.reached, and from which objects life has yet to flow on; returns how many were reached.';
