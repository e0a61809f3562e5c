-- The ways up of many referrers run together, and each object on them is visited
-- once, however long they are. The recursive query holds what it visits in memory,
-- and begins with a hash table as large as work_mem (see relpack.reach_flow_deep());
-- hence the bound. Called with the settings of relpack.ways_up().
CREATE OR REPLACE FUNCTION relpack.ways_walk(
    asked bigint[], tries bigint, most bigint,
    OUT suspects bigint[], OUT tried_for integer[], OUT tried bigint[],
    OUT zoids bigint[], OUT above bigint[], OUT visited bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT coalesce(array_agg(suspect.zoid), '{}')
    INTO suspects
    FROM unnest(asked) AS suspect (zoid)
    CROSS JOIN LATERAL (
        SELECT FROM relpack.object WHERE zoid = suspect.zoid AND parent IS NULL OFFSET 0
    ) AS detached;
    SELECT coalesce(array_agg(hanging.place), '{}'), coalesce(array_agg(hanging.inref), '{}')
    INTO tried_for, tried
    FROM (
        SELECT suspect.place::integer, referrer.inref
        FROM unnest(suspects) WITH ORDINALITY AS suspect (zoid, place)
        CROSS JOIN LATERAL (
            SELECT inref
            FROM relpack.object_inref
            WHERE object_inref.zoid = suspect.zoid AND inref <> suspect.zoid
            ORDER BY inref
            LIMIT tries
        ) AS referrer
        CROSS JOIN LATERAL (
            SELECT
            FROM relpack.object
            WHERE object.zoid = referrer.inref
              AND (object.parent <> suspect.zoid
                   OR object.parent IS NULL AND (object.zoid IN (SELECT unnest(suspects))) IS TRUE)
            OFFSET 0
        ) AS attached
        LIMIT most
    ) AS hanging;
    visited := cardinality(tried);
    IF visited >= most OR visited = 0 THEN
        RETURN;
    END IF;
    WITH RECURSIVE way (zoid, parent) AS (
        SELECT object.zoid, object.parent
        FROM unnest(tried) AS referrer (zoid)
        CROSS JOIN LATERAL (SELECT zoid, parent FROM relpack.object WHERE zoid = referrer.zoid OFFSET 0) AS object
        UNION
        SELECT object.zoid, object.parent
        FROM way
        CROSS JOIN LATERAL (SELECT zoid, parent FROM relpack.object WHERE zoid = way.parent OFFSET 0) AS object
    )
    SELECT coalesce(array_agg(zoid), '{}'), coalesce(array_agg(parent), '{}')
    INTO zoids, above
    FROM (SELECT zoid, parent FROM way LIMIT most) AS bounded;
    visited := cardinality(zoids);
END;
$$;

COMMENT ON FUNCTION relpack.ways_walk(bigint[], bigint, bigint) IS
    'Step of relpack.ways_up(): the referrers of detached objects, and all that is above these in the tree. '
    'suspects: those of the objects that are detached. tried: so many referrers of each; tried_for: the place of that suspect. '
    'zoids and above: each object on the ways, and its parent. visited: how many; with "most" of them it gave up.';
