-- For detached objects, each with the tree that hangs on it, all at once: which
-- of them have a referrer whose parents lead to the root. A way ends at the root or
-- at another detached object; where that is one of those asked about and is saved
-- by something else, it goes on from there.
--
-- Those saved are settled in a queue from the root on. One may hang on what has
-- left the queue, and may change to a shallower parent while it is in it: so a
-- parent never hangs on its child.
--
-- Arrays are joined by hash, other than in the rest of relpack.reach_step(): in a
-- loop that would be quadratic.
CREATE OR REPLACE FUNCTION relpack.ways_up(
    asked bigint[], tries bigint, most bigint,
    OUT saved bigint[], OUT parents bigint[], OUT visited bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = on
SET enable_nestloop = off
SET work_mem = '64kB'
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_suspects bigint[];
    v_tried_for integer[];      -- place among the suspects, of each referrer
    v_tried bigint[];
    v_zoids bigint[];           -- the referrers and all above them
    v_above bigint[];
    v_up integer[];             -- place of the parent; NULL: the way ends here
    v_place integer[];          -- of each suspect on the ways
    v_end integer[];            -- where a way ends
    v_depth integer[];          -- and how far up that is
    v_for integer[];            -- the referrers again, sorted by where their way ends
    v_referrer bigint[];
    v_referrer_end integer[];
    v_referrer_depth integer[];
    v_first integer[];          -- the first of those that end here
    v_root integer;
    v_queue integer[] := '{0}'::integer[];
    v_next integer := 1;
    v_parent bigint[];
    v_parent_depth integer[];
    v_over boolean[];
    v_from integer;
    v_base integer;
    i integer;
    j integer;
    k integer;
BEGIN
    SELECT walked.suspects, walked.tried_for, walked.tried, walked.zoids, walked.above, walked.visited
    INTO v_suspects, v_tried_for, v_tried, v_zoids, v_above, visited
    FROM relpack.ways_walk(asked, tries, most) AS walked;
    IF visited >= most OR visited = 0 THEN
        RETURN;
    END IF;

    PERFORM set_config('work_mem', '16MB', true);
    SELECT array_agg(above.place ORDER BY way.place), min(way.place) FILTER (WHERE way.zoid = 0)
    INTO v_up, v_root
    FROM unnest(v_zoids, v_above) WITH ORDINALITY AS way (zoid, parent, place)
    LEFT JOIN unnest(v_zoids) WITH ORDINALITY AS above (zoid, place) ON above.zoid = way.parent AND way.zoid <> 0;
    SELECT coalesce(array_agg(way.place ORDER BY suspect.place), '{}')
    INTO v_place
    FROM unnest(v_suspects) WITH ORDINALITY AS suspect (zoid, place)
    LEFT JOIN unnest(v_zoids) WITH ORDINALITY AS way (zoid, place) ON way.zoid = suspect.zoid;
    SELECT ways.ends, ways.depths INTO v_end, v_depth FROM relpack.ways_ends(v_up) AS ways;
    IF v_end IS NULL THEN
        -- The tree is damaged.
        visited := most;
        RETURN;
    END IF;
    SELECT coalesce(array_agg(referrer.place ORDER BY way_end, depth), '{}'),
           coalesce(array_agg(referrer.zoid ORDER BY way_end, depth), '{}'),
           coalesce(array_agg(way_end ORDER BY way_end, depth), '{}'), coalesce(array_agg(depth ORDER BY way_end, depth), '{}')
    INTO v_for, v_referrer, v_referrer_end, v_referrer_depth
    FROM unnest(v_tried_for, v_tried) AS referrer (place, zoid)
    JOIN unnest(v_zoids, v_end, v_depth) AS way (zoid, way_end, depth) ON way.zoid = referrer.zoid;
    v_first := array_fill(0, ARRAY[visited::integer]);
    FOR i IN REVERSE cardinality(v_for) .. 1 LOOP
        v_first[v_referrer_end[i]] := i;
    END LOOP;

    v_parent := array_fill(NULL::bigint, ARRAY[cardinality(v_suspects)]);
    v_parent_depth := array_fill(NULL::integer, ARRAY[cardinality(v_suspects)]);
    v_over := array_fill(false, ARRAY[cardinality(v_suspects)]);
    WHILE v_next <= cardinality(v_queue) LOOP
        v_from := v_queue[v_next];
        v_next := v_next + 1;
        IF v_from = 0 THEN
            k := v_root;
            v_base := 0;
        ELSE
            v_over[v_from] := true;
            k := v_place[v_from];
            v_base := v_parent_depth[v_from] + 1;
        END IF;
        CONTINUE WHEN k IS NULL;
        i := v_first[k];
        WHILE i > 0 AND v_referrer_end[i] = k LOOP
            j := v_for[i];
            IF v_parent[j] IS NULL THEN
                v_queue := v_queue || j;
                v_parent[j] := v_referrer[i];
                v_parent_depth[j] := v_base + v_referrer_depth[i];
            ELSIF NOT v_over[j] AND v_base + v_referrer_depth[i] < v_parent_depth[j] THEN
                v_parent[j] := v_referrer[i];
                v_parent_depth[j] := v_base + v_referrer_depth[i];
            END IF;
            i := i + 1;
        END LOOP;
    END LOOP;
    SELECT array_agg(suspect.zoid), array_agg(suspect.parent)
    INTO saved, parents
    FROM unnest(v_suspects, v_parent) AS suspect (zoid, parent)
    WHERE suspect.parent IS NOT NULL;
END;
$$;

COMMENT ON FUNCTION relpack.ways_up(bigint[], bigint, bigint) IS
    'Step of relpack.reach_climb() and relpack.reach_attach(): which of some detached objects hang on the root by a '
    'referrer. '
    'Of so many referrers of each (NULL: all) the shallowest that does becomes the parent. '
    'visited: how many objects were looked at: with "most" of them it gave up, and nothing is said.';
