-- A commit in its second phase may name a transaction that nothing names any more:
-- it began before that, and has ended a week later. Neither the newest one nor one of
-- today goes: RelStorage chooses the next tid by the first, and clients ask for the
-- others. A commit before RelStorage 3.0 locks the whole table: it is waited for before
-- any row is locked, where there is one to remove.
CREATE OR REPLACE FUNCTION relpack.trim_transactions(
    batch integer, after_tid bigint,
    OUT removed bigint, OUT last_tid bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET lock_timeout = '1ms'
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_week timestamptz := clock_timestamp() - interval '7 days';
    v_struck bigint;
    v_listed bigint[];
    v_free bigint[];
    v_before bigint := relpack.time_to_tid(clock_timestamp() - interval '24 hours');
BEGIN
    removed := 0;
    IF NOT EXISTS (SELECT FROM relpack.emptied WHERE since < v_week) THEN
        RETURN;
    END IF;
    v_listed := ARRAY(
        SELECT tid
        FROM relpack.emptied
        WHERE tid > after_tid AND since < v_week
        ORDER BY tid
        LIMIT batch);
    last_tid := v_listed[cardinality(v_listed)];
    IF last_tid IS NULL THEN
        RETURN;
    END IF;
    PERFORM relpack.trim_require();
    -- As relpack.trim_batch() does.
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM set_config('lock_timeout', '100ms', true);
    LOCK TABLE public.transaction IN ROW EXCLUSIVE MODE;
    PERFORM set_config('lock_timeout', '1ms', true);
    v_free := ARRAY(
        SELECT transaction.tid
        FROM public.transaction
        WHERE transaction.tid = ANY (v_listed)
          AND transaction.packed
          AND transaction.tid > 0
          AND transaction.tid < v_before
          AND transaction.tid < (SELECT max(newest.tid) FROM public.transaction AS newest)
        ORDER BY transaction.tid
        FOR UPDATE SKIP LOCKED);
    -- Looked at after they were locked: nobody can name one of them from here on.
    v_free := ARRAY(
        SELECT free.tid
        FROM unnest(v_free) AS free (tid)
        WHERE NOT EXISTS (SELECT FROM public.object_state WHERE object_state.tid = free.tid)
          AND NOT EXISTS (SELECT FROM public.object_state WHERE object_state.prev_tid = free.tid));
    -- Of the keys' own queries too, which would be planned anew for each row.
    PERFORM set_config('plan_cache_mode', 'auto', true);
    DELETE FROM public.transaction WHERE transaction.tid = ANY (v_free);
    GET DIAGNOSTICS removed = ROW_COUNT;
    PERFORM set_config('plan_cache_mode', 'force_custom_plan', true);
    -- One that is named again, or gone, is listed no more.
    DELETE FROM relpack.emptied
    WHERE emptied.tid = ANY (v_listed)
      AND ((removed = cardinality(v_free) AND emptied.tid = ANY (v_free))
           OR NOT EXISTS (SELECT FROM public.transaction WHERE transaction.tid = emptied.tid)
           OR EXISTS (SELECT FROM public.object_state WHERE object_state.tid = emptied.tid)
           OR EXISTS (SELECT FROM public.object_state WHERE object_state.prev_tid = emptied.tid));
    GET DIAGNOSTICS v_struck = ROW_COUNT;
    UPDATE relpack.storage SET emptied = greatest(0, emptied - v_struck);
END;
$$;

COMMENT ON FUNCTION relpack.trim_transactions(integer, bigint) IS
    'Removes transactions that were listed in relpack.emptied at least seven days ago and that no revision names: a batch '
    'of those after after_tid; last_tid: the last one that was looked at, NULL where there are no more.';
