CREATE OR REPLACE FUNCTION relpack.verify_blobs(
    after bigint, nodes integer,
    OUT last bigint, OUT zoids bigint[], OUT tids bigint[])
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
    SELECT max(few.zoid), array_agg(few.zoid) FILTER (WHERE few.live)
    INTO last, zoids
    FROM (
        SELECT object.zoid, object.class = 1 AND object.parent IS NOT NULL AS live
        FROM relpack.object
        WHERE object.zoid > after
        ORDER BY object.zoid
        LIMIT nodes
    ) AS few;
    SELECT array_agg(stored.zoid ORDER BY stored.zoid, stored.tid DESC), array_agg(stored.tid ORDER BY stored.zoid, stored.tid DESC)
    INTO zoids, tids
    FROM unnest(zoids) AS blob (zoid)
    CROSS JOIN LATERAL (
        SELECT octet_length(newest.state) > 0 AS has_state
        FROM relpack.stored() AS newest
        WHERE newest.zoid = blob.zoid
        ORDER BY newest.tid DESC
        LIMIT 1
    ) AS loaded
    CROSS JOIN LATERAL (
        SELECT stored.zoid, stored.tid
        FROM relpack.stored()
        WHERE stored.zoid = blob.zoid AND octet_length(stored.state) > 0
        OFFSET 0
    ) AS stored
    WHERE loaded.has_state;
END;
$$;

COMMENT ON FUNCTION relpack.verify_blobs(bigint, integer) IS
    'Step of "relpack verify": the reachable blobs among the next so many nodes after a zoid, with their stored tids, '
    'whose files must be in the blob directory, of each the newest first, but for what was deleted; '
    'last: the highest of these nodes, NULL after the last one.';
