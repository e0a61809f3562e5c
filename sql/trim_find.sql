-- Goes through the primary key, an object after the other, from the oldest revision
-- on: all objects, or those that are listed. What is found is judged again by who
-- deletes it. One row more is read than judged: of the last one nobody knows what comes
-- after it.
CREATE OR REPLACE FUNCTION relpack.trim_find(
    until_tid bigint, after_zoid bigint, after_tid bigint, batch integer, rows_read integer,
    listed boolean DEFAULT false, judged boolean DEFAULT true,
    OUT zoids bigint[], OUT tids bigint[], OUT sizes bigint[], OUT revisions bigint, OUT bytes bigint,
    OUT left_alone bigint[], OUT last_zoid bigint, OUT last_tid bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET max_parallel_workers_per_gather = 0
SET plan_cache_mode = force_custom_plan
SET work_mem = '16MB'
AS $$
DECLARE
    v_zoids bigint[];
    v_tids bigint[];
    v_fits bigint;
    -- A large object unlinked takes a lock until the transaction ends.
    v_locks bigint := current_setting('max_locks_per_transaction')::bigint
                      * current_setting('max_connections')::bigint / 4;
BEGIN
    IF (batch >= 1 AND rows_read >= 1) IS NOT TRUE THEN
        RAISE EXCEPTION 'batch and rows_read are 1 at least, not % and %', batch, rows_read USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM relpack.lock_storage(history => true);
    revisions := 0;
    bytes := 0;
    -- Beside each row the next one.
    SELECT array_agg(read.zoid) FILTER (WHERE read.superseded), array_agg(read.tid) FILTER (WHERE read.superseded),
           max(read.zoid) FILTER (WHERE read.place = rows_read AND read.followed),
           max(read.tid) FILTER (WHERE read.place = rows_read AND read.followed)
    INTO v_zoids, v_tids, last_zoid, last_tid
    FROM (
        SELECT stored.zoid, stored.tid, row_number() OVER next AS place, lead(stored.zoid) OVER next IS NOT NULL AS followed,
               lead(stored.zoid) OVER next = stored.zoid AND lead(stored.tid) OVER next <= until_tid AS superseded
        FROM (
            (SELECT object_state.zoid, object_state.tid
             FROM public.object_state
             WHERE NOT listed AND (object_state.zoid, object_state.tid) > (after_zoid, after_tid)
             ORDER BY object_state.zoid, object_state.tid
             LIMIT rows_read + 1)
            UNION ALL
            (SELECT few.zoid, revision.tid
             FROM relpack.to_trim AS few
             CROSS JOIN LATERAL (
                 SELECT object_state.tid
                 FROM public.object_state
                 WHERE object_state.zoid = few.zoid AND object_state.tid > CASE WHEN few.zoid = after_zoid THEN after_tid ELSE 0 END
                 ORDER BY object_state.tid
                 LIMIT rows_read + 1
             ) AS revision
             WHERE listed AND few.zoid >= after_zoid
             ORDER BY few.zoid, revision.tid
             LIMIT rows_read + 1)
        ) AS stored
        WINDOW next AS (ORDER BY stored.zoid, stored.tid)
    ) AS read;
    IF v_zoids IS NULL THEN
        RETURN;
    END IF;
    v_fits := least(cardinality(v_zoids), batch);
    IF to_regclass('public.blob_chunk') IS NOT NULL THEN
        v_fits := relpack.trim_fit(v_zoids[:v_fits], v_tids[:v_fits], v_locks);
    END IF;
    IF v_fits < cardinality(v_zoids) OR v_fits = batch THEN
        last_zoid := v_zoids[v_fits];
        last_tid := v_tids[v_fits];
    END IF;
    v_zoids := v_zoids[:v_fits];
    v_tids := v_tids[:v_fits];
    IF NOT judged THEN
        zoids := v_zoids;
        tids := v_tids;
        revisions := cardinality(v_zoids);
        RETURN;
    END IF;
    left_alone := ARRAY(SELECT relpack.trim_leaves(ARRAY(SELECT DISTINCT unnest(v_zoids) ORDER BY 1)));
    SELECT array_agg(goes.zoid), array_agg(goes.tid), array_agg(stored.state_size), count(*), sum(stored.state_size)
    INTO zoids, tids, sizes, revisions, bytes
    FROM unnest(v_zoids, v_tids) AS goes (zoid, tid)
    CROSS JOIN LATERAL (
        SELECT state_size
        FROM public.object_state
        WHERE object_state.zoid = goes.zoid AND object_state.tid BETWEEN goes.tid AND goes.tid
        OFFSET 0
    ) AS stored
    WHERE goes.zoid <> ALL (left_alone)
      AND (goes.zoid, goes.tid) NOT IN (SELECT later.zoid, later.tid FROM relpack.trim_named(v_zoids, v_tids, until_tid) AS later);
    PERFORM relpack.trim_pend(left_alone);
    bytes := coalesce(bytes, 0);
END;
$$;

COMMENT ON FUNCTION relpack.trim_find(bigint, bigint, bigint, integer, integer, boolean, boolean) IS
    'Finds revisions that a later one up to until_tid supersedes, and none later than that names. A trim removes them. At '
    'most a batch, of the next rows_read rows of object_state after this one; listed: of the objects in relpack.to_trim '
    'alone. judged => false: whatever later ones name, and of all objects, as relpack.trim_batch() judges it again; bytes is '
    '0, sizes and left_alone NULL. zoids, tids, sizes: of each revision. left_alone: objects that stay as they are '
    '(relpack.trim_leaves()), and are read again for the graph. last_zoid, last_tid: where to go on; NULL: that was all. '
    'Raises invalid_parameter_value when batch or rows_read is below 1.';
