-- Judges each revision anew, and deletes those that a later one up to until_tid
-- supersedes, unless one later than that names it: an undo of the later one looks for
-- it. What was written while this ran is looked at afterwards, by a new snapshot: then
-- nothing that can be undone may name what is gone.
CREATE OR REPLACE FUNCTION relpack.trim_batch(
    until_tid bigint, zoids bigint[], tids bigint[],
    OUT revisions bigint, OUT bytes bigint, OUT seconds double precision, OUT large bigint, OUT large_bytes bigint,
    OUT gone bigint[], OUT sizes bigint[], OUT left_alone bigint[])
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET lock_timeout = '100ms'
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan
SET work_mem = '16MB'
AS $$
DECLARE
    v_objects bigint[] := ARRAY(SELECT DISTINCT unnest(zoids) ORDER BY 1);
    v_zoids bigint[];
    v_tids bigint[];
    v_naming bigint[];
BEGIN
    PERFORM relpack.trim_begin(until_tid);
    -- Whatever comes later is on the disk only together with this.
    PERFORM set_config('synchronous_commit', 'off', true);
    revisions := 0;
    bytes := 0;
    seconds := 0;
    large := 0;
    large_bytes := 0;
    left_alone := ARRAY(SELECT relpack.trim_leaves(v_objects));
    PERFORM relpack.trim_pend(left_alone);
    SELECT array_agg(goes.zoid), array_agg(goes.tid)
    INTO v_zoids, v_tids
    FROM (
        SELECT kept.zoid, asked.tid
        FROM (
            SELECT asked.zoid, array_agg(asked.tid) AS tids
            FROM (SELECT unnest(zoids) AS zoid, unnest(tids) AS tid) AS asked
            GROUP BY asked.zoid
            ORDER BY asked.zoid
        ) AS object
        CROSS JOIN LATERAL (
            SELECT object.zoid, max(stored.tid) AS tid
            FROM public.object_state AS stored
            WHERE stored.zoid = object.zoid AND stored.tid <= until_tid
        ) AS kept
        CROSS JOIN LATERAL unnest(object.tids) AS asked (tid)
        WHERE asked.tid < kept.tid AND object.zoid <> ALL (left_alone)
    ) AS goes
    WHERE (goes.zoid, goes.tid) NOT IN (SELECT later.zoid, later.tid FROM relpack.trim_named(zoids, tids, until_tid) AS later);
    IF v_zoids IS NULL THEN
        RETURN;
    END IF;
    SELECT deleted.revisions, deleted.bytes, deleted.seconds, deleted.gone_zoids, deleted.gone_tids, deleted.gone_sizes,
           deleted.large, deleted.large_bytes
    INTO revisions, bytes, seconds, gone, v_tids, sizes, large, large_bytes
    FROM relpack.trim_delete(v_zoids, v_tids, whiteouts => false) AS deleted;
    v_naming := ARRAY(SELECT naming.named_by FROM relpack.trim_named(gone, v_tids, 0) AS naming);
    -- Of a transaction that lost a row of its own, half would be undone.
    IF relpack.trim_unmarked(v_tids || v_naming) THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'unmarked';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.trim_batch(bigint, bigint[], bigint[]) IS
    'Removes old revisions, with their blobs. Of those given it takes what later ones up to until_tid supersede and none '
    'later than that names; returns how many, the bytes of their states, how long the deletion took, and the large objects '
    'that went; gone, sizes: object and bytes of each revision that went; left_alone: objects that stay '
    'as they are (relpack.trim_leaves()), and are read again for the graph. Raises RP002 before '
    'relpack.trim_settle() was true, RP003 (unmarked) where a transaction can be undone that wrote one of them '
    'or, be it meanwhile, one that names one.';
