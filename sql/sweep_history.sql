-- What the graph calls garbage in a history-preserving storage has one revision, which
-- is its current one, is the one that the graph knows, and nobody can undo: else nothing
-- goes. current_object first: its key points at the revision. For
-- relpack.sweep_delete() alone. What is no plain comparison goes by no index: by that on
-- tid all objects of a transaction would be read for each of them.
CREATE OR REPLACE FUNCTION relpack.sweep_history(chosen bigint[], OUT zoids bigint[], OUT tids bigint[])
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1ms'
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_horizon bigint := (SELECT horizon_tid FROM relpack.storage);
    v_rows bigint;
BEGIN
    IF current_setting('relpack.sweeping', true) IS DISTINCT FROM pg_current_xact_id()::text
       OR EXISTS (SELECT FROM relpack.storage WHERE cleared_tid < horizon_tid) THEN
        RAISE EXCEPTION 'relpack.sweep_history() is a step of relpack.sweep()' USING ERRCODE = 'RP002', HINT = 'Call relpack.sweep().';
    END IF;
    -- Each row of each of them: of two rows of one object, one is not known.
    SELECT array_agg(stored.zoid), array_agg(stored.tid),
           count(*) FILTER (WHERE EXISTS (
               SELECT
               FROM relpack.object
               JOIN relpack.doomed ON doomed.zoid = object.zoid
               JOIN public.current_object ON current_object.zoid = object.zoid AND (current_object.tid = object.tid) IS TRUE
               WHERE object.zoid = stored.zoid AND object.tid = stored.tid AND object.parent IS NULL
                 AND object.tid <= v_horizon
               OFFSET 0)) -- else all of relpack.doomed may be hashed each time
    INTO zoids, tids, v_rows
    FROM relpack.stored()
    WHERE stored.zoid = ANY (chosen);
    IF v_rows <> cardinality(chosen) OR v_rows <> coalesce(cardinality(zoids), 0) THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'stale';
    END IF;
    IF relpack.trim_unmarked(tids) THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'unmarked';
    END IF;
    DELETE FROM public.current_object
    USING unnest(zoids, tids) AS gone (zoid, tid)
    WHERE current_object.zoid = gone.zoid AND (current_object.tid = gone.tid) IS TRUE;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    -- A BEFORE trigger of others keeps a row, one that comes after stores it again.
    IF (v_rows <> cardinality(chosen)
        OR EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'public.current_object'::regclass AND NOT tgisinternal))
       AND EXISTS (SELECT FROM public.current_object WHERE current_object.zoid = ANY (chosen)) THEN
        PERFORM relpack.trim_left();
    END IF;
    IF cardinality(chosen) <> (SELECT deleted.revisions FROM relpack.trim_delete(zoids, tids, whiteouts => false) AS deleted) THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'stale';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.sweep_history(bigint[]) IS
    'Step of relpack.sweep_delete() in a history-preserving storage: deletes these objects. '
    'Returns their rows. Raises RP003 (stale) unless each is in relpack.doomed and has one revision, known, '
    'current and no later than the horizon, RP003 (unmarked) where one can be undone.';
