-- The last step of a sweep: gets the writers' lock and looks at what was
-- written since the graph was settled. Most of that is looked at before the
-- lock is taken, so that it is held for a few rows only; a row whose
-- transaction was seen complete then need not be seen again. Whoever can decode
-- looks himself, under the lock: on a busy site there is always a state that is
-- compressed, or that names garbage by a weak reference.
CREATE OR REPLACE FUNCTION relpack.nothing_new(batch bigint[], last_tid bigint, high bigint, decoder boolean)
RETURNS text
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_applied bigint;
    v_seen text[];
    v_mentioned bigint[];
    v_fresh bigint[];
    v_bytes bigint;
BEGIN
    SELECT applied_tid INTO v_applied FROM relpack.storage;
    -- Looking takes about half a second a megabyte. What is too much to look
    -- at is for "relpack pack" to decode.
    IF (SELECT count(*) = 1000 OR sum(length(few.state)) > 1000000
        FROM (SELECT state FROM public.object_state WHERE tid > v_applied LIMIT 1000) AS few) THEN
        RETURN 'stale';
    END IF;
    IF NOT decoder THEN
        -- In this order: what is counted as seen is among what is looked at next.
        SELECT array_agg(DISTINCT xmin::text)
        INTO v_seen
        FROM public.object_state
        WHERE tid > v_applied;
        SELECT array_agg(DISTINCT mentioned)
        INTO v_mentioned
        FROM public.object_state AS fresh
        CROSS JOIN LATERAL relpack.windows(fresh.state, high) AS mentioned
        WHERE fresh.tid > v_applied;
    END IF;
    IF relpack.any_unreachable(v_mentioned, batch) THEN
        RETURN 'stale';
    END IF;

    IF NOT relpack.try_writers_lock() THEN
        RETURN 'busy';
    END IF;
    -- Triggers switched off, a table exchanged: since the run began.
    IF relpack.doubt() IS NOT NULL
       OR EXISTS (SELECT FROM relpack.write_event WHERE kind = 'truncated')
       OR (SELECT count(*) FROM (SELECT FROM relpack.write_event LIMIT 1001) AS few) > 1000
       OR coalesce((SELECT max(tid) FROM public.object_state), 0) < last_tid THEN
        RETURN 'stale';
    END IF;
    SELECT array_agg(fresh.zoid), sum(length(fresh.state))
    INTO v_fresh, v_bytes
    FROM (
        SELECT object_state.zoid, object_state.state
        FROM public.object_state
        WHERE object_state.tid > v_applied
          AND (object_state.xmin::text = ANY (v_seen)) IS NOT TRUE
        UNION ALL
        SELECT object_state.zoid, object_state.state
        FROM relpack.write_event
        JOIN public.object_state ON object_state.zoid = write_event.zoid
    ) AS fresh;
    -- To decode is some hundred times as fast.
    IF v_bytes > (CASE WHEN decoder THEN 500000 ELSE 50000 END) THEN
        RETURN 'stale';
    END IF;
    IF decoder AND v_fresh IS NOT NULL THEN
        RETURN 'undecoded';
    END IF;
    SELECT array_agg(DISTINCT mentioned)
    INTO v_mentioned
    FROM public.object_state AS fresh
    CROSS JOIN LATERAL relpack.windows(fresh.state, high) AS mentioned
    WHERE fresh.zoid = ANY (v_fresh);
    RETURN CASE WHEN relpack.any_unreachable(v_mentioned, batch) THEN 'stale' ELSE 'nothing new' END;
END;
$$;

COMMENT ON FUNCTION relpack.nothing_new(bigint[], bigint, bigint, boolean) IS
    'Step of relpack.sweep(): "nothing new" when, with the writers'' lock held, nothing written since the graph was settled may refer to an unreachable object (high is the highest of them); else busy or stale. With decoder undecoded when anything was written: the caller looks at it while it holds the lock.';
