-- What reading states doesn't show: nodes whose object is not stored any more,
-- and references to what never was. A chunk of nodes a call, by index.
CREATE OR REPLACE FUNCTION relpack.verify_nodes(
    after bigint, nodes integer,
    OUT last bigint, OUT missing bigint[], OUT dangling bigint, OUT dangling_zoids bigint[])
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET max_parallel_workers_per_gather = 0
AS $$
BEGIN
    PERFORM relpack.lock_storage();
    SELECT max(few.zoid), array_agg(few.zoid) FILTER (WHERE few.gone)
    INTO last, missing
    FROM (
        SELECT object.zoid,
               NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = object.zoid)
               AND NOT EXISTS (SELECT FROM relpack.missing WHERE missing.zoid = object.zoid) AS gone
        FROM relpack.object
        WHERE object.zoid > after
        ORDER BY object.zoid
        LIMIT nodes
    ) AS few;
    IF missing IS NOT NULL THEN
        -- Sorted or hashed, but never in a loop: there may be many of both.
        SELECT array_agg(gone.zoid)
        INTO missing
        FROM (
            SELECT unnest(missing) AS zoid
            EXCEPT
            SELECT event.zoid FROM relpack.write_event AS event
        ) AS gone
        LEFT JOIN LATERAL (
            SELECT pending.zoid
            FROM relpack.pending
            WHERE pending.zoid = gone.zoid
            OFFSET 0
        ) AS awaited ON true
        WHERE awaited.zoid IS NULL
          AND NOT EXISTS (SELECT FROM relpack.write_event AS event WHERE event.kind = 'truncated');
    END IF;
    IF EXISTS (SELECT FROM relpack.suspect) THEN
        RETURN;
    END IF;
    SELECT count(*), (array_agg(edge.zoid ORDER BY edge.zoid))[:10]
    INTO dangling, dangling_zoids
    FROM (
        SELECT DISTINCT object_inref.zoid
        FROM relpack.object_inref
        WHERE object_inref.zoid > after AND (last IS NULL OR object_inref.zoid <= last)
    ) AS edge
    LEFT JOIN LATERAL (
        SELECT object.zoid
        FROM relpack.object
        WHERE object.zoid = edge.zoid
        OFFSET 0
    ) AS node ON true
    WHERE node.zoid IS NULL
      AND NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = edge.zoid)
      AND EXISTS (SELECT
                  FROM relpack.object_inref AS reference
                  JOIN relpack.object AS referrer ON referrer.zoid = reference.inref
                  WHERE reference.zoid = edge.zoid AND referrer.parent IS NOT NULL
                  OFFSET 0); -- else all edges are joined with all, where statistics know of no live object
END;
$$;

COMMENT ON FUNCTION relpack.verify_nodes(bigint, integer) IS
    'Step of "relpack verify": looks at the next so many nodes after a zoid. '
    'last: the highest of them, NULL after the last node. '
    'missing: those that are not stored, though nothing reported their deletion (nor relpack.missing has them). '
    'dangling, dangling_zoids: how many zoids up to there are referred to by live objects and not stored, and ten of '
    'them.';
