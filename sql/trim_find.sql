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
    v_read_zoids bigint[];
    v_read_tids bigint[];
    v_zoids bigint[];
    v_tids bigint[];
    v_fits bigint;
    -- A large object unlinked takes a lock until the transaction ends.
    v_locks bigint := current_setting('max_locks_per_transaction')::bigint
                      * current_setting('max_connections')::bigint / 4;
BEGIN
    PERFORM relpack.lock_storage(history => true);
    IF listed THEN
        SELECT array_agg(stored.zoid), array_agg(stored.tid)
        INTO v_read_zoids, v_read_tids
        FROM (
            SELECT few.zoid, revision.tid
            FROM relpack.to_trim AS few
            CROSS JOIN LATERAL (
                SELECT object_state.tid
                FROM public.object_state
                WHERE object_state.zoid = few.zoid AND object_state.tid > CASE WHEN few.zoid = after_zoid THEN after_tid ELSE 0 END
                ORDER BY object_state.tid
                LIMIT rows_read + 1
            ) AS revision
            WHERE few.zoid >= after_zoid
            ORDER BY few.zoid, revision.tid
            LIMIT rows_read + 1
        ) AS stored;
    ELSE
        SELECT array_agg(stored.zoid), array_agg(stored.tid)
        INTO v_read_zoids, v_read_tids
        FROM (
            SELECT object_state.zoid, object_state.tid
            FROM public.object_state
            WHERE (object_state.zoid, object_state.tid) > (after_zoid, after_tid)
            ORDER BY object_state.zoid, object_state.tid
            LIMIT rows_read + 1
        ) AS stored;
    END IF;
    revisions := 0;
    bytes := 0;
    IF v_read_zoids IS NULL THEN
        RETURN;
    END IF;
    IF cardinality(v_read_zoids) > rows_read THEN
        last_zoid := v_read_zoids[rows_read];
        last_tid := v_read_tids[rows_read];
    END IF;
    -- Beside each row the next one.
    SELECT array_agg(superseded.zoid), array_agg(superseded.tid)
    INTO v_zoids, v_tids
    FROM (
        SELECT read.zoid, read.tid
        FROM (
            SELECT unnest(v_read_zoids) AS zoid, unnest(v_read_tids) AS tid,
                   unnest(v_read_zoids[2:]) AS next_zoid, unnest(v_read_tids[2:]) AS next_tid,
                   generate_subscripts(v_read_zoids, 1) AS place
        ) AS read
        WHERE read.next_zoid = read.zoid AND read.next_tid <= until_tid
        ORDER BY read.place
        LIMIT batch
    ) AS superseded;
    IF v_zoids IS NOT NULL THEN
        v_fits := cardinality(v_zoids);
        IF to_regclass('public.blob_chunk') IS NOT NULL THEN
            v_fits := relpack.trim_fit(v_zoids, v_tids, v_locks);
        END IF;
        IF v_fits < cardinality(v_zoids) OR v_fits = batch THEN
            last_zoid := v_zoids[v_fits];
            last_tid := v_tids[v_fits];
        END IF;
        v_zoids := v_zoids[1:v_fits];
        v_tids := v_tids[1:v_fits];
        left_alone := ARRAY(SELECT relpack.trim_leaves(ARRAY(SELECT DISTINCT unnest(v_zoids) ORDER BY 1)));
    END IF;
    IF NOT judged THEN
        zoids := v_zoids;
        tids := v_tids;
        revisions := cardinality(v_zoids);
    ELSIF v_zoids IS NOT NULL THEN
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
    END IF;
    PERFORM relpack.trim_pend(left_alone);
    revisions := coalesce(revisions, 0);
    bytes := coalesce(bytes, 0);
END;
$$;

COMMENT ON FUNCTION relpack.trim_find(bigint, bigint, bigint, integer, integer, boolean, boolean) IS
    'Finds revisions that a later one up to until_tid supersedes, and none later than that names. A trim removes them. At '
    'most a batch, of the next rows_read rows of object_state after this one; listed: of the objects in relpack.to_trim '
    'alone. judged => false: whatever later ones name, and left_alone too, as relpack.trim_batch() judges it again; bytes is '
    '0, sizes NULL. zoids, tids, sizes: of each revision. left_alone: objects that stay as they are (relpack.trim_leaves()), and are read '
    'again for the graph. last_zoid, last_tid: where to go on; NULL: that was all.';
