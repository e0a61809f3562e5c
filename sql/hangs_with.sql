-- Referrers of garbage are garbage, or it would not be any: the walk up meets no
-- other object. UNION keeps each once; LIMIT ends it.
CREATE OR REPLACE FUNCTION relpack.hangs_with(
    start bigint, most integer DEFAULT 100000,
    OUT objects bigint, OUT bytes bigint, OUT deletable_after timestamptz, OUT complete boolean)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
BEGIN
    WITH RECURSIVE above AS (
        SELECT object.zoid
        FROM relpack.object
        WHERE object.zoid = start AND object.parent IS NULL
        UNION
        SELECT referrer.zoid
        FROM above
        CROSS JOIN LATERAL (
            SELECT object_inref.inref
            FROM relpack.object_inref
            WHERE object_inref.zoid = above.zoid
            OFFSET 0
        ) AS edge
        CROSS JOIN LATERAL (
            SELECT object.zoid
            FROM relpack.object
            WHERE object.zoid = edge.inref AND object.parent IS NULL
            OFFSET 0
        ) AS referrer
    )
    SELECT count(*), coalesce(sum(unreachable.size), 0),
           CASE WHEN count(*) > 0 THEN
               greatest(relpack.tid_to_time(max(unreachable.since)), (SELECT unreferred FROM relpack.storage),
                        -- An earlier pack time has more of the old revisions.
                        (SELECT relpack.tid_to_time(horizon_tid) FROM relpack.storage WHERE keeps_history AND horizon_tid > 0))
               + interval '24 hours'
           END,
           count(*) <= most
    INTO objects, bytes, deletable_after, complete
    FROM (SELECT above.zoid FROM above LIMIT most::bigint + 1) AS met
    CROSS JOIN LATERAL (
        SELECT detached.size, detached.since
        FROM relpack.detached
        WHERE detached.zoid = met.zoid
        OFFSET 0
    ) AS unreachable;
    objects := least(objects, most);
    IF NOT complete THEN
        deletable_after := NULL;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.hangs_with(bigint, integer) IS
    'How many unreachable objects refer to an unreachable one, directly or through others, itself included, and their '
    'bytes. '
    'deletable_after: from when a pack with the default grace of one day deletes it: all of these must be beyond it; '
    'in a history-preserving storage a day after the last pack time at the latest. '
    'complete: false where there are more than "most"; then nobody knows from when.';
