CREATE OR REPLACE FUNCTION relpack.path_to_root(
    start bigint, OUT step bigint, OUT zoid bigint, OUT class text, OUT reachable boolean, OUT missing boolean)
RETURNS SETOF record
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
    -- An unreachable object has no parent: its chain goes by any referrer not
    -- met before, and ends where there is none.
    WITH RECURSIVE chain AS (
        SELECT 0::bigint AS step, object.zoid, object.parent, object.class, ARRAY[object.zoid] AS met
        FROM relpack.object
        WHERE object.zoid = path_to_root.start
        UNION ALL
        SELECT chain.step + 1, object.zoid, object.parent, object.class,
               CASE WHEN chain.parent IS NULL THEN chain.met || object.zoid ELSE chain.met END
        FROM chain
        JOIN relpack.object
          ON object.zoid = coalesce(chain.parent, (
                SELECT object_inref.inref
                FROM relpack.object_inref
                WHERE object_inref.zoid = chain.zoid
                  AND object_inref.inref <> ALL (chain.met)
                ORDER BY object_inref.inref
                LIMIT 1))
        WHERE chain.parent IS DISTINCT FROM chain.zoid
          AND cardinality(chain.met) <= 1000
    )
    SELECT step, chain.zoid, class.label, chain.parent IS NOT NULL,
           EXISTS (SELECT FROM relpack.missing WHERE missing.zoid = chain.zoid)
    FROM chain
    JOIN relpack.class ON class.id = chain.class
    ORDER BY step;
$$;

COMMENT ON FUNCTION relpack.path_to_root(bigint) IS
    'Why an object is alive: the chain of parents from it up to the root. '
    'For an unreachable object, a chain of referrers up to where it ends (nothing refers to its last object, or only '
    'what was met before; at most 1000). missing: its row vanished, and what hangs on it is kept.';
