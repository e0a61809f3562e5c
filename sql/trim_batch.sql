-- Judges each revision anew, and deletes those that a later one up to until_tid
-- supersedes, unless one later than that names it: an undo of the later one looks for
-- it. What was written while this ran is looked at afterwards, by a new snapshot: then
-- nothing that can be undone may name what is gone.
CREATE OR REPLACE FUNCTION relpack.trim_batch(
    until_tid bigint, zoids bigint[], tids bigint[],
    OUT revisions bigint, OUT bytes bigint, OUT seconds double precision)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan
SET work_mem = '16MB'
AS $$
DECLARE
    v_objects bigint[] := ARRAY(SELECT DISTINCT unnest(zoids));
    v_left bigint[];
    v_zoids bigint[];
    v_tids bigint[];
    v_changed boolean;
    v_unmarked boolean;
BEGIN
    PERFORM relpack.trim_begin(until_tid);
    revisions := 0;
    bytes := 0;
    seconds := 0;
    v_left := ARRAY(SELECT relpack.trim_leaves(v_objects));
    SELECT array_agg(goes.zoid), array_agg(goes.tid)
    INTO v_zoids, v_tids
    FROM (
        SELECT kept.zoid, asked.tid
        FROM (
            SELECT asked.zoid, array_agg(DISTINCT asked.tid) AS tids
            FROM unnest(zoids, tids) AS asked (zoid, tid)
            GROUP BY asked.zoid
        ) AS object
        CROSS JOIN LATERAL (
            SELECT object.zoid, max(stored.tid) AS tid
            FROM public.object_state AS stored
            WHERE stored.zoid = object.zoid AND stored.tid <= until_tid
        ) AS kept
        CROSS JOIN LATERAL unnest(object.tids) AS asked (tid)
        WHERE asked.tid < kept.tid AND object.zoid <> ALL (v_left)
    ) AS goes
    JOIN public.object_state AS old ON old.zoid = goes.zoid AND old.tid = goes.tid
    WHERE (goes.zoid, goes.tid) NOT IN (SELECT later.zoid, later.tid FROM relpack.trim_named(zoids, tids, until_tid) AS later);
    IF v_zoids IS NULL THEN
        RETURN;
    END IF;
    -- Half of a transaction is not undone either.
    IF relpack.trim_unmarked(v_tids) THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'unmarked';
    END IF;
    SELECT deleted.revisions, deleted.bytes, deleted.seconds
    INTO revisions, bytes, seconds
    FROM relpack.trim_delete(v_zoids, v_tids, whiteouts => false) AS deleted;
    SELECT bool_or(naming.named_by > until_tid), relpack.trim_unmarked(array_agg(naming.named_by))
    INTO v_changed, v_unmarked
    FROM relpack.trim_named(v_zoids, v_tids, 0) AS naming;
    IF v_changed THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'changed';
    END IF;
    IF v_unmarked THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'unmarked';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.trim_batch(bigint, bigint[], bigint[]) IS
    'Removes those of these revisions, with their blobs, that later ones up to until_tid supersede and none later than that '
    'names; returns how many, the bytes of their states, and how long the deletion took. Raises RP002 before '
    'relpack.trim_settle() was true, RP003 (unmarked) where transactions up to until_tid are not marked as packed, RP003 '
    '(changed) where a revision that goes was named meanwhile.';
