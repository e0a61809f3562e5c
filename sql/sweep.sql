-- Deletes one batch of garbage, or leaves everything as it was. The rows are
-- deleted first, while the site goes on: nobody needs them. Only then, for a
-- check and the commit, the writers' lock: had anybody stored a reference to
-- something unreachable since the graph was settled, the batch is rolled back.
-- Where the site is so busy that the lock is not to be had, one more try is made
-- the other way round, for as few objects as the site can wait for.
CREATE OR REPLACE FUNCTION relpack.sweep(
    batch integer DEFAULT 10000,
    pack_time timestamptz DEFAULT now() - interval '24 hours',
    decoder boolean DEFAULT false,
    OUT outcome text, OUT objects bigint, OUT bytes bigint, OUT blobs bigint, OUT remaining bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
DECLARE
    v_batch bigint[];
    v_limit integer := batch;
    v_saturated boolean := false;
    v_start timestamptz;
BEGIN
    -- Whatever wrote before in this transaction would hold the lock on.
    IF EXISTS (SELECT FROM relpack.writer WHERE pid = pg_backend_pid()) THEN
        RAISE EXCEPTION 'this transaction has written to object_state already'
            USING ERRCODE = 'RP002', HINT = 'Call relpack.sweep() outside BEGIN ... COMMIT, once a statement.';
    END IF;
    IF (batch BETWEEN 1 AND 1000000) IS NOT TRUE THEN
        RAISE EXCEPTION 'a batch has 1 to 1000000 objects, not %', batch USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.require_settled();
    PERFORM relpack.require_unreferred();
    IF relpack.doom_outdated(pack_time) THEN
        PERFORM relpack.doom(pack_time);
    END IF;
    LOOP
        v_batch := relpack.sweep_choose(v_limit);
        IF v_batch IS NULL THEN
            -- The last ones may have been set aside.
            UPDATE relpack.storage SET begun_until = 0 WHERE storage.begun_until > 0;
            outcome := 'done';
            remaining := 0;
            EXIT;
        END IF;
        v_start := clock_timestamp();
        SELECT tried.outcome, tried.objects, tried.bytes, tried.blobs, tried.remaining
        INTO outcome, objects, bytes, blobs, remaining
        FROM relpack.sweep_try(v_batch, v_saturated, decoder) AS tried;
        CASE outcome
        WHEN 'held' THEN
            IF relpack.set_aside_held(v_batch) = 0 THEN
                outcome := 'busy';
            ELSE
                PERFORM relpack.spare_set_aside(), relpack.scratch_clear('relpack.spared');
            END IF;
        WHEN 'saturated' THEN
            -- As many as are deleted in 30 ms.
            v_limit := least(v_limit, greatest(
                1,
                cardinality(v_batch) * 30 / greatest(extract(epoch FROM clock_timestamp() - v_start) * 1000 - 50, 1)));
            v_saturated := true;
        ELSE
            NULL;
        END CASE;
        EXIT WHEN outcome NOT IN ('held', 'saturated');
    END LOOP;
    IF outcome NOT IN ('swept', 'undecoded') THEN
        objects := 0;
        bytes := 0;
        blobs := 0;
        RETURN;
    END IF;
    PERFORM relpack.sweep_hurry();
END;
$$;

COMMENT ON FUNCTION relpack.sweep(integer, timestamptz, boolean) IS
    'Deletes up to batch unreachable objects, and cleans the graph. '
    'They were last changed and cut off before pack_time; NULL: all unreachable ones. '
    'outcome: swept; done: there is nothing to delete; busy: a writer was in the way, try again; stale: something was '
    'written since the last capture, run "relpack pack"; unmarked: a transaction can be undone that wrote one, see '
    'relpack.trim_mark(). Unless swept, everything is as it was. '
    'bytes of states; remaining: chosen, not yet deleted. '
    'Call it outside BEGIN ... COMMIT: in an open transaction it holds up the site, for 2 seconds at most. '
    'decoder is for relpack itself, which decodes what was written in the meantime: undecoded can''t be committed '
    'until relpack.sweep_decoded() has found that none of it refers to what is unreachable or gone.';
