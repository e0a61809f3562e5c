-- current_object first: its key points at the revision. A client that stores the
-- object again waits for us, or we don't find it as it was. Only an object of one
-- revision goes: older ones are trimmed before. A commit before RelStorage 3.0 locks all
-- of current_object: it is waited for before any row is locked.
CREATE OR REPLACE FUNCTION relpack.trim_uncreated(
    until_tid bigint, chosen bigint[],
    OUT objects bigint)
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
    v_zoids bigint[];
    v_tids bigint[];
BEGIN
    PERFORM relpack.trim_begin(until_tid);
    PERFORM set_config('lock_timeout', '100ms', true);
    LOCK TABLE public.current_object IN ROW EXCLUSIVE MODE;
    PERFORM set_config('lock_timeout', '1ms', true);
    SELECT array_agg(stored.zoid ORDER BY stored.zoid), array_agg(stored.tid ORDER BY stored.zoid)
    INTO v_zoids, v_tids
    FROM unnest(chosen) AS few (zoid)
    JOIN public.object_state AS stored ON stored.zoid = few.zoid
    JOIN public.current_object ON current_object.zoid = stored.zoid AND (current_object.tid = stored.tid) IS TRUE
    WHERE stored.state IS NULL
      AND stored.zoid <> 0
      AND stored.tid <= until_tid
      AND NOT EXISTS (
          SELECT FROM public.object_state AS another WHERE another.zoid = stored.zoid AND another.tid <> stored.tid);
    objects := 0;
    IF v_zoids IS NULL THEN
        RETURN;
    END IF;
    IF relpack.trim_unmarked(v_tids) THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'unmarked';
    END IF;
    -- Their nodes go with the next apply: nobody has to be told that they are missing.
    IF EXISTS (SELECT FROM relpack.storage WHERE graph <> 'none') THEN
        PERFORM set_config('relpack.trimming', pg_current_xact_id()::text, true);
        INSERT INTO relpack.missing (zoid, accepted)
        SELECT object.zoid, true
        FROM unnest(v_zoids) AS gone (zoid)
        JOIN relpack.object ON object.zoid = gone.zoid
        ON CONFLICT (zoid) DO UPDATE SET accepted = true;
        INSERT INTO relpack.pending (zoid)
        SELECT gone.zoid FROM unnest(v_zoids) AS gone (zoid)
        ON CONFLICT DO NOTHING;
    END IF;
    DELETE FROM public.current_object
    USING unnest(v_zoids, v_tids) AS gone (zoid, tid)
    WHERE current_object.zoid = gone.zoid AND (current_object.tid = gone.tid) IS TRUE;
    GET DIAGNOSTICS objects = ROW_COUNT;
    IF EXISTS (SELECT
               FROM unnest(v_zoids, v_tids) AS gone (zoid, tid)
               JOIN public.current_object ON current_object.zoid = gone.zoid AND (current_object.tid = gone.tid) IS TRUE) THEN
        PERFORM relpack.trim_left();
    END IF;
    IF objects <> cardinality(v_zoids)
       OR objects <> (SELECT deleted.revisions FROM relpack.trim_delete(v_zoids, v_tids, whiteouts => true) AS deleted) THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'changed';
    END IF;
    PERFORM set_config('relpack.trimming', '', true);
    IF relpack.anyone_waits() THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'busy';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.trim_uncreated(bigint, bigint[]) IS
    'Removes those of these objects whose only revision has no state and is not later than until_tid, referred to or not: '
    'who loads them gets a POSKeyError before and afterwards. Raises as relpack.trim_batch() does, and RP003 (busy) where a '
    'client waits.';
