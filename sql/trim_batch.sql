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
    v_zoids bigint[];
    v_tids bigint[];
    v_followed_zoids bigint[]; -- of objects that have later revisions
    v_followed_tids bigint[];
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
    -- Of most objects the newest revision supersedes all others, and none is later than that.
    SELECT array_agg(DISTINCT goes.zoid) FILTER (WHERE NOT goes.current),
           array_agg(goes.zoid) FILTER (WHERE goes.current), array_agg(goes.tid) FILTER (WHERE goes.current),
           array_agg(goes.zoid) FILTER (WHERE goes.newest > until_tid), array_agg(goes.tid) FILTER (WHERE goes.newest > until_tid)
    INTO left_alone, v_zoids, v_tids, v_followed_zoids, v_followed_tids
    FROM (
        SELECT object.zoid, asked.tid, newest.tid AS newest, newest.current
        FROM (
            SELECT known.zoid, array_agg(known.tid) AS tids
            FROM (SELECT unnest(zoids) AS zoid, unnest(tids) AS tid) AS known
            GROUP BY known.zoid
            ORDER BY known.zoid
        ) AS object
        CROSS JOIN LATERAL (
            SELECT found.tid, EXISTS (
                       SELECT
                       FROM public.current_object
                       WHERE current_object.zoid = object.zoid AND (current_object.tid = found.tid) IS TRUE) AS current
            FROM (SELECT max(stored.tid) AS tid FROM public.object_state AS stored WHERE stored.zoid = object.zoid) AS found
            OFFSET 0
        ) AS newest
        CROSS JOIN LATERAL (
            SELECT CASE WHEN newest.tid <= until_tid
                        THEN newest.tid
                        ELSE (SELECT max(stored.tid)
                              FROM public.object_state AS stored
                              WHERE stored.zoid = object.zoid AND stored.tid <= until_tid) END AS tid
            OFFSET 0
        ) AS kept
        CROSS JOIN LATERAL unnest(object.tids) AS asked (tid)
        WHERE NOT newest.current OR asked.tid < kept.tid
    ) AS goes;
    PERFORM relpack.trim_pend(left_alone);
    IF v_followed_zoids IS NOT NULL THEN
        SELECT array_agg(goes.zoid), array_agg(goes.tid)
        INTO v_zoids, v_tids
        FROM (SELECT unnest(v_zoids) AS zoid, unnest(v_tids) AS tid) AS goes
        WHERE (goes.zoid, goes.tid) NOT IN (
            SELECT later.zoid, later.tid FROM relpack.trim_named(v_followed_zoids, v_followed_tids, until_tid) AS later);
    END IF;
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
