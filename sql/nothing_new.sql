-- The last step of a sweep: gets the writers' lock and looks at what was
-- written since the graph was settled. Most of that is looked at before the
-- lock is taken, so that it is held for a few rows only; a row whose
-- transaction was seen complete then need not be seen again.
CREATE OR REPLACE FUNCTION relpack.nothing_new(batch bigint[], last_tid bigint)
RETURNS text
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_applied bigint;
    v_seen text[];
    v_mentioned boolean;
    v_rows bigint;
BEGIN
    SELECT applied_tid INTO v_applied FROM relpack.storage;
    SELECT array_agg(DISTINCT fresh.xmin::text), bool_or(relpack.may_mention(fresh.state, batch)), count(*)
    INTO v_seen, v_mentioned, v_rows
    FROM (
        SELECT object_state.xmin, object_state.state
        FROM public.object_state
        WHERE object_state.tid > v_applied
        LIMIT 1000
    ) AS fresh;
    IF v_mentioned OR v_rows = 1000 THEN
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
    PERFORM
    FROM public.object_state
    WHERE object_state.tid > v_applied
      AND (object_state.xmin::text = ANY (v_seen)) IS NOT TRUE
      AND relpack.may_mention(object_state.state, batch);
    IF FOUND THEN
        RETURN 'stale';
    END IF;
    PERFORM
    FROM relpack.write_event
    JOIN public.object_state ON object_state.zoid = write_event.zoid
    WHERE relpack.may_mention(object_state.state, batch);
    IF FOUND THEN
        RETURN 'stale';
    END IF;
    RETURN 'nothing new';
END;
$$;

COMMENT ON FUNCTION relpack.nothing_new(bigint[], bigint) IS
    'Step of relpack.sweep(): "nothing new" when, with the writers'' lock held, nothing written since the graph was settled may refer to an unreachable object; else busy or stale.';
